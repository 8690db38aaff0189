// SPDX-License-Identifier: GPL-2.0

//! What is known of the host and of its guests at one time.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// The host and its guests, looked at together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// When that was, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The host.
    pub host: Host,
    /// The guests, in any order; no two have the same name.
    pub guests: Vec<Guest>,
}

/// The memory of the host, or of the group of processes that the guests are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// What there is.
    pub total_bytes: u64,
    /// What can be had without swapping.
    pub available_bytes: u64,
    /// The size of the swap.
    pub swap_total_bytes: u64,
    /// What is free of that.
    pub swap_free_bytes: u64,
    /// For how much of the last ten seconds somebody waited for memory, in hundredths of a percent;
    /// nothing if the kernel does not say.
    pub some_hundredths: Option<u32>,
    /// As before, but everybody.
    pub full_hundredths: Option<u32>,
}

/// A guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Differs from that of an earlier guest of this name.
    pub incarnation: u64,
    /// Its memory, including what it has given.
    pub memory_bytes: u64,
    /// What its memory takes on the host, if that is known.
    pub resident_bytes: Option<u64>,
    /// What it has given; nothing if it does not answer or has no balloon.
    pub taken_bytes: Option<u64>,
    /// What its processes could still have, by its own statistics of late, if there are any.
    pub available_bytes: Option<u64>,
}
