// SPDX-License-Identifier: GPL-2.0

//! One guest.

use std::time::Duration;

use onecopy_machine::accounting::BlockUsage;
use onecopy_machine::accounting::Sizes;
use onecopy_machine::accounting::Usage;
use onecopy_system::guests::Record;
use onecopy_system::ranges::Range;
use onecopy_system::Observation;
use onecopy_system::RangeUsage;
use onecopy_system::Running;

use crate::AttachedSample;
use crate::GuestSample;
use crate::ProcessSample;
use crate::RangeSample;

/// The state of a guest whose QEMU does not answer.
pub(crate) const SILENT: &str = "silent";

/// Returns the state to show: until a guest has said that it has its identity it is not one that can be
/// used.
pub(crate) fn state<'a>(record: &Record, state: &'a str) -> &'a str {
    if record.ready {
        state
    } else {
        "starting"
    }
}

/// Returns the reason to show: a guest that is starting need not answer yet.
pub(crate) fn failure(record: &Record, reason: String) -> Option<String> {
    record.ready.then_some(reason)
}

/// Asks a guest. Its process is looked at also when QEMU does not answer.
pub(crate) fn sample(running: &Running, ranges: &[Range], timeout: Duration) -> GuestSample {
    let record = running.record();
    match running.observe(timeout) {
        Ok(observation) => answered(record, ranges, &observation),
        Err(error) => silent(record, chain(&error)),
    }
}

/// Returns a guest of which nothing is known but its record.
pub(crate) fn unknown(record: &Record, reason: String) -> GuestSample {
    GuestSample {
        name: record.guest.to_string(),
        system: record.system.to_string(),
        generation: record.generation,
        pid: record.qemu.map(|qemu| qemu.pid),
        state: state(record, SILENT).to_owned(),
        memory_bytes: record.memory_bytes,
        cpus: record.cpus,
        error: failure(record, reason),
        ..GuestSample::default()
    }
}

fn silent(record: &Record, reason: String) -> GuestSample {
    let sizes = record
        .qemu
        .and_then(|qemu| Sizes::of_process(qemu.pid).ok());
    GuestSample {
        process: sizes.and_then(|sizes| process(record, sizes)),
        ..unknown(record, reason)
    }
}

fn answered(record: &Record, ranges: &[Range], observation: &Observation) -> GuestSample {
    let usage = &observation.usage;
    GuestSample {
        state: state(record, &observation.state).to_owned(),
        balloon_bytes: observation.balloon_bytes,
        process: process(record, usage.process()),
        unique_bytes: Some(usage.unique_bytes()),
        ranges: RangeUsage::divide(&usage.pages(), ranges)
            .iter()
            .map(|range| self::range(range, usage))
            .collect(),
        attached: attached(usage, ranges),
        error: None,
        ..unknown(record, String::new())
    }
}

fn process(record: &Record, sizes: Sizes) -> Option<ProcessSample> {
    // The sizes are those of this process only if it is still the same.
    let cpu_time = record.qemu?.cpu_time()?;
    Some(ProcessSample {
        cpu_seconds: cpu_time.as_secs_f64(),
        pss_bytes: sizes.pss_bytes,
        anonymous_bytes: sizes.anonymous_bytes,
        swap_bytes: sizes.swap_bytes,
    })
}

fn range(range: &RangeUsage, usage: &Usage) -> RangeSample {
    let id = range.range.id();
    let block = usage.blocks.iter().find(|block| block.name == id);
    RangeSample {
        range: range.range.to_string(),
        kind: range.range.kind.to_string(),
        shared_bytes: range.shared_bytes,
        proportional_bytes: block.map_or(0, |block| proportional_bytes(&block.sizes)),
        private_bytes: range.private_bytes,
        unshared_bytes: range.unshared_bytes(),
    }
}

fn attached(usage: &Usage, ranges: &[Range]) -> Vec<AttachedSample> {
    let is_range = |block: &BlockUsage| ranges.iter().any(|range| range.id() == block.name);
    let sample = |block: &BlockUsage| {
        // Memory that belongs to no file may have a name in brackets.
        let file = block.file.as_ref().filter(|file| file.is_absolute())?;
        let Sizes {
            rss_bytes,
            anonymous_bytes,
            swap_bytes,
            ..
        } = block.sizes;
        Some(AttachedSample {
            file: file.display().to_string(),
            shared_bytes: rss_bytes.saturating_sub(anonymous_bytes),
            proportional_bytes: proportional_bytes(&block.sizes),
            private_bytes: anonymous_bytes.saturating_add(swap_bytes),
        })
    };
    let others = usage.blocks.iter().filter(|block| !is_range(block));
    others.filter_map(sample).collect()
}

/// Returns the part of pages of files; those that belong to no file are this process's alone.
fn proportional_bytes(sizes: &Sizes) -> u64 {
    sizes.pss_bytes.saturating_sub(sizes.anonymous_bytes)
}

/// Returns the words of an error with those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
