// SPDX-License-Identifier: GPL-2.0

//! Who gives how much memory, decided from numbers alone.
//!
//! [`decide`] is called once per round. It knows what it decided before by [`State`]. In a round
//! memory is either taken or given back, or neither:
//!
//! - Below the mark `low` the policy squeezes, until `high` is available again. So it does while
//!   processes of the host wait for memory, or the host swaps out. What is asked for and on its way
//!   counts as available already, unless a guest makes no progress with it.
//! - Above the mark `ease`, and when nobody has waited for some rounds, guests get memory back: in
//!   each round a part of what is above the mark.
//!
//! Whatever the host needs, a guest keeps its floor, which is absolute. It is asked only for what its
//! processes could do without, beyond its headroom, and what the host would get something for:
//! memory that the guest never touched costs nothing. A guest that has less than half of its headroom
//! gets memory back at once.
//!
//! On constant samples targets change in one direction only, and come to rest.

mod claim;
mod mode;
mod share;
mod state;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use self::claim::Claim;
use self::mode::Demand;
use self::share::share;
use self::share::Portion;
pub use self::state::State;
use crate::amount::Amount;
use crate::amount::Percent;
use crate::sample::Sample;

/// What guests give is a multiple of this.
pub const BLOCK_BYTES: u64 = 2 << 20;

/// A round without progress more often than this, and what a guest was asked for is no longer
/// counted on.
const PATIENCE_ROUNDS: u32 = 3;

/// How fine the proportions between weights are.
const WEIGHT_SCALE: u64 = 1 << 20;

/// When the host needs memory. The marks are of the host's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRules {
    /// Guests are squeezed when less than this is available,
    pub low: Amount,
    /// until this is.
    pub high: Amount,
    /// Guests get memory back when more than this is available.
    pub ease: Amount,
    /// They are squeezed too when somebody waits for memory for so much of the time,
    pub squeeze_pressure: Percent,
    /// and get nothing back while somebody waits for longer than this.
    pub ease_pressure: Percent,
    /// How many rounds in a row must be calm before guests get memory back.
    pub ease_rounds: u32,
    /// What is asked for in a round when somebody waits although enough is available.
    pub step: Amount,
}

/// What holds for one guest. Amounts are of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestRules {
    /// It keeps this much, whatever happens.
    pub floor: Amount,
    /// This much shall be available to its processes.
    pub headroom: Amount,
    /// The larger, the less it gives compared with others; at least 1.
    pub weight: u32,
}

/// What the policy goes by.
pub trait Rules {
    /// Returns what holds for the host.
    fn host(&self) -> &HostRules;
    /// Returns what holds for the guest of this name; nothing if it is left alone.
    fn guest(&self, name: &str) -> Option<GuestRules>;
}

/// What is done in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing.
    Hold,
    /// Memory is taken.
    Squeeze,
    /// Memory is given back.
    Ease,
}

/// Why a guest's target changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The host needs memory.
    Squeeze,
    /// The host has enough.
    Ease,
    /// The guest has less than half of its headroom.
    GuestNeeds,
    /// The guest would have less than its floor.
    Floor,
}

/// A new target for a guest: `SHRINK`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The guest's name.
    pub guest: String,
    /// Which guest of this name.
    pub incarnation: u64,
    /// Why.
    pub reason: Reason,
    /// What it was to give so far.
    pub from_bytes: u64,
    /// What it is to give from now on; the driver counts it in pages.
    pub to_bytes: u64,
    /// Inputs: its memory, and what the rules make of that.
    pub memory_bytes: u64,
    /// What it has given.
    pub taken_bytes: u64,
    /// What is available to its processes, if it says that.
    pub available_bytes: Option<u64>,
    /// What it takes on the host, if that is known.
    pub resident_bytes: Option<u64>,
    /// What it keeps.
    pub floor_bytes: u64,
    /// What shall be available to its processes.
    pub headroom_bytes: u64,
    /// Its weight.
    pub weight: u32,
}

/// What was decided in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is done.
    pub mode: Mode,
    /// What the host needs beyond what is on its way, or has too much of.
    pub wanted_bytes: u64,
    /// What guests give for that, or get.
    pub moved_bytes: u64,
    /// What guests get besides, because they need it or are to keep it.
    pub relieved_bytes: u64,
    /// What all of them are to give from now on.
    pub target_bytes: u64,
    /// How many guests are managed.
    pub guests: usize,
    /// The targets that change.
    pub orders: Vec<Order>,
}

/// Decides what guests shall give, and returns that with what to remember until the next round.
pub fn decide(rules: &impl Rules, state: &State, sample: &Sample) -> (State, Decision) {
    let mut claims: Vec<Claim<'_>> = sample
        .guests
        .iter()
        .filter_map(|guest| Claim::new(guest, rules.guest(&guest.name)?, state.guest(guest)))
        .collect();
    let under_way = claims.iter().map(Claim::under_way_blocks).sum();
    let demand = Demand::new(rules.host(), state.host(), &sample.host, under_way);
    let moved = match demand.mode {
        Mode::Hold => 0,
        Mode::Squeeze => squeeze(&mut claims, demand.blocks),
        Mode::Ease => ease(&mut claims, demand.blocks),
    };
    // There may be nothing to give back.
    let (mode, blocks) = match demand.mode {
        Mode::Ease if moved == 0 => (Mode::Hold, 0),
        mode => (mode, demand.blocks),
    };
    let decision = Decision {
        mode,
        wanted_bytes: blocks * BLOCK_BYTES,
        moved_bytes: moved * BLOCK_BYTES,
        relieved_bytes: claims.iter().map(|claim| claim.relieved_bytes).sum(),
        target_bytes: claims.iter().map(Claim::target_bytes).sum(),
        guests: claims.len(),
        orders: claims.iter().filter_map(Claim::order).collect(),
    };
    (state.next(sample, &demand, &claims), decision)
}

/// Takes blocks from guests, and returns how many.
fn squeeze(claims: &mut [Claim<'_>], blocks: u64) -> u64 {
    let portion = |claim: &Claim<'_>| Portion {
        cap: claim.room_blocks,
        ratio: claim.room_blocks.saturating_mul(WEIGHT_SCALE)
            / u64::from(claim.rules.weight.max(1)),
    };
    let portions: Vec<_> = claims.iter().map(portion).collect();
    let shares = share(blocks, &portions);
    for (claim, &blocks) in claims.iter_mut().zip(&shares) {
        claim.take(blocks);
    }
    shares.iter().sum()
}

/// Gives blocks back to guests, and returns how many.
fn ease(claims: &mut [Claim<'_>], blocks: u64) -> u64 {
    let portion = |claim: &Claim<'_>| Portion {
        cap: claim.target_blocks,
        ratio: claim
            .target_blocks
            .saturating_mul(u64::from(claim.rules.weight.max(1))),
    };
    let portions: Vec<_> = claims.iter().map(portion).collect();
    let shares = share(blocks, &portions);
    for (claim, &blocks) in claims.iter_mut().zip(&shares) {
        claim.give(blocks);
    }
    shares.iter().sum()
}
