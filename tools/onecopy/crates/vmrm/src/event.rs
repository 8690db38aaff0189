// SPDX-License-Identifier: GPL-2.0

//! What there is to say: as JSON, and in words by the module `text`.

mod text;

use schemars::JsonSchema;
use serde::Serialize;

use crate::policy::Decision;
use crate::policy::Mode;
use crate::policy::Order;
use crate::sample::Host;
use crate::simulate::Summary;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// What is done for the host has changed.
    Mode {
        /// When, in milliseconds since 1970.
        unix_ms: u64,
        /// What is done.
        mode: Mode,
        /// What the host needs, or has too much of.
        wanted_bytes: u64,
        /// What guests give for that, or get.
        moved_bytes: u64,
        /// What guests get for their own sake.
        relieved_bytes: u64,
        /// What all guests are to give.
        target_bytes: u64,
        /// How many guests are managed.
        guests: usize,
        /// The host.
        #[serde(flatten)]
        host: Host,
    },
    /// A guest has a new target.
    Shrink {
        /// When, in milliseconds since 1970.
        unix_ms: u64,
        /// The target, and what it was made of.
        #[serde(flatten)]
        order: Order,
        /// Whether the guest was told.
        delivery: Delivery,
        /// The host.
        host: Host,
    },
    /// A guest does not answer.
    Silent {
        /// Its name.
        guest: String,
        /// Why.
        error: String,
    },
    /// A guest answers again.
    Answers {
        /// Its name.
        guest: String,
    },
    /// The configuration names a guest that does not run.
    Unknown {
        /// The name.
        guest: String,
    },
    /// A guest that was missing runs.
    Known {
        /// The name.
        guest: String,
    },
    /// The host's memory cannot be read; nothing is decided.
    Blind {
        /// Why.
        error: String,
    },
    /// The configuration was read again.
    Reloaded,
    /// The configuration was to be read again, and cannot be used: the old one still holds.
    NotReloaded {
        /// Why.
        error: String,
    },
    /// Rounds are not recorded any more.
    NotRecorded {
        /// Why.
        error: String,
    },
    /// What a simulation came to.
    Summary(Summary),
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Delivery {
    /// The guest's device has it.
    Sent,
    /// Nobody was to be told.
    NotSent,
    /// It could not be sent; it is decided anew in the next round.
    Failed {
        /// Why.
        error: String,
    },
}

impl Event {
    /// Describes what a round is about.
    pub fn mode(unix_ms: u64, decision: &Decision, host: &Host) -> Self {
        Self::Mode {
            unix_ms,
            mode: decision.mode,
            wanted_bytes: decision.wanted_bytes,
            moved_bytes: decision.moved_bytes,
            relieved_bytes: decision.relieved_bytes,
            target_bytes: decision.target_bytes,
            guests: decision.guests,
            host: host.clone(),
        }
    }

    /// Describes an order, and what became of it.
    pub fn shrink(unix_ms: u64, order: &Order, delivery: Delivery, host: &Host) -> Self {
        Self::Shrink {
            unix_ms,
            order: order.clone(),
            delivery,
            host: host.clone(),
        }
    }
}
