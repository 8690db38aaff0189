// SPDX-License-Identifier: GPL-2.0

//! `onecopy query memory`

use onecopy_observe::Collector;
use onecopy_observe::Memory;

use crate::outcome::MemoryUse;

/// Guests that do not answer are counted, with what is known of them.
pub(in crate::commands) fn run(mut collector: Collector) -> anyhow::Result<MemoryUse> {
    Ok(MemoryUse(Memory::of(&collector.sample()?)))
}
