// SPDX-License-Identifier: GPL-2.0

//! What the host needs in a round.

use super::state::HostState;
use super::HostRules;
use super::Mode;
use super::BLOCK_BYTES;
use crate::sample::Host;

/// The host swaps out if it has less free swap than a round ago, by more than this part of its
/// memory.
const SWAPPING_PART: u64 = 1024;

/// In a calm round this part of what is above the mark goes back.
const EASE_PART: u64 = 8;

/// What is done, and for how much.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) mode: Mode,
    pub(super) blocks: u64,
    /// Whether the host is being helped until enough is available.
    pub(super) squeezing: bool,
    /// How many rounds in a row have been calm.
    pub(super) calm_rounds: u32,
}

/// The marks, in ascending order.
struct Marks {
    low: u64,
    high: u64,
    ease: u64,
}

impl Marks {
    /// Sizes and shares can be mixed, so their order is known only with the memory.
    fn new(rules: &HostRules, total_bytes: u64) -> Self {
        let low = rules.low.of(total_bytes);
        let high = rules.high.of(total_bytes).max(low);
        let ease = rules.ease.of(total_bytes).max(high);
        Self { low, high, ease }
    }
}

impl Demand {
    pub(super) fn new(rules: &HostRules, before: &HostState, host: &Host, under_way: u64) -> Self {
        let marks = Marks::new(rules, host.total_bytes);
        let available = host.available_bytes;
        let waiting = host.some_hundredths.unwrap_or_default();
        let stressed = waiting > 0 && waiting >= rules.squeeze_pressure.to_hundredths()
            || swaps_out(before, host);
        let squeezing =
            stressed || available < marks.low || before.squeezing && available < marks.high;
        let is_calm =
            !squeezing && available > marks.ease && waiting <= rules.ease_pressure.to_hundredths();
        let calm_rounds = if is_calm {
            before.calm_rounds.saturating_add(1)
        } else {
            0
        };
        let (mode, blocks) = if squeezing {
            let step = if stressed {
                rules.step.of(host.total_bytes)
            } else {
                0
            };
            let missing = marks.high.saturating_sub(available).max(step);
            let blocks = missing.div_ceil(BLOCK_BYTES).saturating_sub(under_way);
            (Mode::Squeeze, blocks)
        } else if is_calm && calm_rounds >= rules.ease_rounds {
            (Mode::Ease, surplus_blocks(available - marks.ease))
        } else {
            (Mode::Hold, 0)
        };
        Self {
            // There is nothing to do for the moment.
            mode: if blocks == 0 { Mode::Hold } else { mode },
            blocks,
            squeezing,
            calm_rounds,
        }
    }
}

fn swaps_out(before: &HostState, host: &Host) -> bool {
    let before = before.swap_free_bytes.unwrap_or_default();
    before.saturating_sub(host.swap_free_bytes) > host.total_bytes / SWAPPING_PART
}

/// A part of the surplus; the last block as a whole.
fn surplus_blocks(bytes: u64) -> u64 {
    let blocks = bytes / BLOCK_BYTES;
    (blocks / EASE_PART).max(1).min(blocks)
}
