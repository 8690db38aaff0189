// SPDX-License-Identifier: GPL-2.0

//! What one guest can give in a round.

use super::state::GuestState;
use super::GuestRules;
use super::Order;
use super::Reason;
use super::BLOCK_BYTES;
use super::PATIENCE_ROUNDS;
use crate::sample::Guest;

/// A guest, its target, and what can still be asked of it.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) guest: &'a Guest,
    pub(super) rules: GuestRules,
    /// What it was to give before this round.
    from_blocks: u64,
    /// What it is to give.
    pub(super) target_blocks: u64,
    /// What it can be asked for beyond that.
    pub(super) room_blocks: u64,
    /// For how many rounds it has made no progress although there was something to do.
    pub(super) stalled_rounds: u32,
    /// What it has given.
    pub(super) taken_bytes: u64,
    /// What it gets back for its own sake.
    pub(super) relieved_bytes: u64,
    reason: Reason,
    floor_bytes: u64,
    headroom_bytes: u64,
}

impl<'a> Claim<'a> {
    /// Looks at a guest; nothing if it has never said what it has given.
    pub(super) fn new(
        guest: &'a Guest,
        rules: GuestRules,
        before: Option<&GuestState>,
    ) -> Option<Self> {
        let taken_bytes = guest
            .taken_bytes
            .or(before.map(|before| before.taken_bytes))?;
        // Somebody was here before us: a manager that has ended, or an administrator.
        let from_blocks = before.map_or(taken_bytes / BLOCK_BYTES, |before| before.target_blocks);
        let mut claim = Self {
            guest,
            rules,
            from_blocks,
            target_blocks: from_blocks,
            room_blocks: 0,
            stalled_rounds: before.map_or(0, |before| before.stalled_after(taken_bytes)),
            taken_bytes,
            relieved_bytes: 0,
            reason: Reason::Floor,
            floor_bytes: rules.floor.of(guest.memory_bytes).min(guest.memory_bytes),
            headroom_bytes: rules.headroom.of(guest.memory_bytes),
        };
        claim.keep_floor();
        if guest.taken_bytes.is_some() {
            claim.follow_statistics();
        }
        claim.relieved_bytes = (from_blocks - claim.target_blocks) * BLOCK_BYTES;
        Some(claim)
    }

    fn limit_blocks(&self) -> u64 {
        (self.guest.memory_bytes - self.floor_bytes) / BLOCK_BYTES
    }

    fn keep_floor(&mut self) {
        let limit = self.limit_blocks();
        if self.target_blocks > limit {
            self.target_blocks = limit;
            self.reason = Reason::Floor;
        }
    }

    /// Gives a guest in need something back, and finds out what another one could give.
    fn follow_statistics(&mut self) {
        let Some(available) = self.guest.available_bytes else {
            return;
        };
        // What its processes could have if all of it was theirs again.
        let free = self.taken_bytes.saturating_add(available);
        let projected = free.saturating_sub(self.target_bytes());
        let bearable = free.saturating_sub(self.headroom_bytes) / BLOCK_BYTES;
        if projected < self.headroom_bytes / 2 && bearable < self.target_blocks {
            self.target_blocks = bearable;
            self.reason = Reason::GuestNeeds;
        }
        if self.is_stalled() {
            return;
        }
        let bearable = bearable.min(self.limit_blocks());
        let room = bearable.saturating_sub(self.target_blocks);
        self.room_blocks = room.min(self.worth_blocks(free));
    }

    /// What the host would get at most: what is there only because processes of the guest, or its
    /// page cache, once needed it.
    fn worth_blocks(&self, free_bytes: u64) -> u64 {
        let Some(resident) = self.guest.resident_bytes else {
            return u64::MAX;
        };
        let used = self.guest.memory_bytes.saturating_sub(free_bytes);
        let idle = resident.saturating_sub(used) / BLOCK_BYTES;
        idle.saturating_sub(self.asked_blocks())
    }

    /// What was asked for and is not there yet.
    fn asked_blocks(&self) -> u64 {
        self.target_bytes().saturating_sub(self.taken_bytes) / BLOCK_BYTES
    }

    fn is_stalled(&self) -> bool {
        self.stalled_rounds > PATIENCE_ROUNDS
    }

    /// What the host will soon get.
    pub(super) fn under_way_blocks(&self) -> u64 {
        if self.is_stalled() {
            0
        } else {
            self.asked_blocks()
        }
    }

    pub(super) fn target_bytes(&self) -> u64 {
        self.target_blocks * BLOCK_BYTES
    }

    pub(super) fn take(&mut self, blocks: u64) {
        if blocks > 0 {
            self.target_blocks += blocks;
            self.reason = Reason::Squeeze;
        }
    }

    pub(super) fn give(&mut self, blocks: u64) {
        if blocks > 0 {
            self.target_blocks -= blocks;
            self.reason = Reason::Ease;
        }
    }

    /// Returns what the guest has to be told, if anything changes.
    pub(super) fn order(&self) -> Option<Order> {
        (self.target_blocks != self.from_blocks).then(|| Order {
            guest: self.guest.name.clone(),
            incarnation: self.guest.incarnation,
            reason: self.reason,
            from_bytes: self.from_blocks * BLOCK_BYTES,
            to_bytes: self.target_bytes(),
            memory_bytes: self.guest.memory_bytes,
            taken_bytes: self.taken_bytes,
            available_bytes: self.guest.available_bytes,
            resident_bytes: self.guest.resident_bytes,
            floor_bytes: self.floor_bytes,
            headroom_bytes: self.headroom_bytes,
            weight: self.rules.weight,
        })
    }
}
