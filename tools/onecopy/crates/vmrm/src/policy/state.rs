// SPDX-License-Identifier: GPL-2.0

//! What is remembered from one round to the next.

use std::collections::BTreeMap;

use super::claim::Claim;
use super::mode::Demand;
use super::Order;
use super::BLOCK_BYTES;
use crate::sample::Guest;
use crate::sample::Sample;

/// What was decided so far. Nothing is remembered at first: guests that have given something are to
/// go on giving that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    host: HostState,
    guests: BTreeMap<String, GuestState>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostState {
    pub(super) squeezing: bool,
    pub(super) calm_rounds: u32,
    pub(super) swap_free_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestState {
    incarnation: u64,
    pub(super) target_blocks: u64,
    pub(super) taken_bytes: u64,
    stalled_rounds: u32,
}

impl GuestState {
    /// Returns for how many rounds there has been no progress, when so much has been taken by now.
    pub(super) fn stalled_after(&self, taken_bytes: u64) -> u32 {
        let is_behind = taken_bytes.saturating_add(BLOCK_BYTES) <= self.target_blocks * BLOCK_BYTES;
        if is_behind && taken_bytes <= self.taken_bytes {
            self.stalled_rounds.saturating_add(1)
        } else {
            0
        }
    }
}

impl State {
    /// Takes back an order that did not reach its guest: it is given again when there still is
    /// reason to.
    pub fn undo(&mut self, order: &Order) {
        let guest = self.guests.get_mut(&order.guest);
        if let Some(guest) = guest.filter(|guest| guest.incarnation == order.incarnation) {
            guest.target_blocks = order.from_bytes / BLOCK_BYTES;
        }
    }

    /// Returns what a guest is to give, if it is known.
    pub fn target_bytes(&self, guest: &str) -> Option<u64> {
        let guest = self.guests.get(guest)?;
        Some(guest.target_blocks * BLOCK_BYTES)
    }

    pub(super) fn host(&self) -> &HostState {
        &self.host
    }

    /// Returns what is known of a guest, if it is still the same.
    pub(super) fn guest(&self, guest: &Guest) -> Option<&GuestState> {
        let before = self.guests.get(&guest.name)?;
        (before.incarnation == guest.incarnation).then_some(before)
    }

    /// Returns the state after a round. Guests that are not there any more are forgotten.
    pub(super) fn next(&self, sample: &Sample, demand: &Demand, claims: &[Claim<'_>]) -> Self {
        let guest = |claim: &Claim<'_>| {
            let state = GuestState {
                incarnation: claim.guest.incarnation,
                target_blocks: claim.target_blocks,
                taken_bytes: claim.taken_bytes,
                stalled_rounds: claim.stalled_rounds,
            };
            (claim.guest.name.clone(), state)
        };
        Self {
            host: HostState {
                squeezing: demand.squeezing,
                calm_rounds: demand.calm_rounds,
                swap_free_bytes: Some(sample.host.swap_free_bytes),
            },
            guests: claims.iter().map(guest).collect(),
        }
    }
}
