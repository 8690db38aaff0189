// SPDX-License-Identifier: GPL-2.0

//! What is plotted, in bytes and milliseconds.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::History;
use crate::Sample;
use crate::Totals;

/// How many guests are followed that were told something.
const GUESTS: usize = 5;

/// Memory with a number of guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByGuests {
    pub(super) guests: u64,
    /// What they take.
    pub(super) taken_bytes: u64,
    /// What they would take if nothing were shared among them.
    pub(super) alone_bytes: u64,
}

/// Memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtTime {
    pub(super) time_unix_ms: u64,
    pub(super) unique_bytes: u64,
    pub(super) shared_bytes: u64,
    pub(super) overhead_bytes: u64,
}

/// Memory in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InRange {
    pub(super) name: String,
    pub(super) shared_bytes: u64,
    pub(super) private_bytes: u64,
    pub(super) unshared_bytes: u64,
}

/// What a guest was told, and what its balloon held, over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shrunk {
    pub(super) told: Vec<(u64, u64)>,
    pub(super) held: Vec<(u64, u64)>,
}

/// Returns the median of the samples with each number of guests; those in which a guest was silent
/// say too little.
pub(super) fn by_guests(samples: &[Sample]) -> Vec<ByGuests> {
    let mut all: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for totals in samples.iter().map(Totals::of) {
        if totals.silent > 0 || totals.ready < totals.guests || totals.guests == 0 {
            continue;
        }
        let own = totals.unique_bytes + totals.overhead_bytes;
        let values = (own + totals.shared_bytes, own + totals.mapped_bytes);
        all.entry(totals.guests as u64).or_default().push(values);
    }
    let median = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    all.into_iter()
        .map(|(guests, values)| ByGuests {
            guests,
            taken_bytes: median(values.iter().map(|value| value.0).collect()),
            alone_bytes: median(values.iter().map(|value| value.1).collect()),
        })
        .collect()
}

/// Returns what there was at each time.
pub(super) fn over_time(samples: &[Sample]) -> Vec<AtTime> {
    let at = |sample: &Sample| {
        let totals = Totals::of(sample);
        AtTime {
            time_unix_ms: sample.time_unix_ms,
            unique_bytes: totals.unique_bytes,
            shared_bytes: totals.shared_bytes,
            overhead_bytes: totals.overhead_bytes,
        }
    };
    samples.iter().map(at).collect()
}

/// Adds up the ranges of all guests of each generation, in the order of their addresses.
pub(super) fn by_range(sample: Option<&Sample>) -> Vec<InRange> {
    let mut names: Vec<InRange> = Vec::new();
    let guests = sample.into_iter().flat_map(|sample| &sample.guests);
    for guest in guests {
        for range in &guest.ranges {
            let name = format!("{}.{} {}", guest.system, guest.generation, range.range);
            let at = names.iter().position(|known| known.name == name);
            let at = at.unwrap_or_else(|| {
                names.push(InRange {
                    name,
                    shared_bytes: 0,
                    private_bytes: 0,
                    unshared_bytes: 0,
                });
                names.len() - 1
            });
            if let Some(sum) = names.get_mut(at) {
                sum.shared_bytes += range.proportional_bytes;
                sum.private_bytes += range.private_bytes - range.unshared_bytes;
                sum.unshared_bytes += range.unshared_bytes;
            }
        }
    }
    names
}

/// Returns what guests were told, and what they did, of those that were told to give up most.
pub(super) fn shrinks(history: &History) -> BTreeMap<String, Shrunk> {
    let mut all: BTreeMap<String, Shrunk> = BTreeMap::new();
    for shrink in &history.shrinks {
        let shrunk = all.entry(shrink.guest.clone()).or_default();
        shrunk.told.push((shrink.time_unix_ms, shrink.bytes));
    }
    for sample in &history.samples {
        for guest in &sample.guests {
            let balloon = guest.balloon_bytes;
            if let (Some(shrunk), Some(left)) = (all.get_mut(&guest.name), balloon) {
                let held = guest.memory_bytes.saturating_sub(left);
                shrunk.held.push((sample.time_unix_ms, held));
            }
        }
    }
    let most = |shrunk: &Shrunk| shrunk.told.iter().map(|told| told.1).max();
    let mut order: Vec<_> = all
        .iter()
        .map(|(name, one)| (most(one), name.clone()))
        .collect();
    order.sort_by_key(|(bytes, _)| Reverse(*bytes));
    // In the end they are in the order of their names again.
    for (_, name) in order.into_iter().skip(GUESTS) {
        all.remove(&name);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;
    use crate::Shrink;

    #[test]
    fn samples_with_as_many_guests_give_their_median() {
        let mut large = sample(2);
        large.guests[0].unique_bytes = Some(100 << 20);
        let mut silent = sample(3);
        silent.guests[1].state = "silent".to_owned();
        let samples = [sample(2), large, sample(2), sample(0), silent];
        let expected = ByGuests {
            guests: 2,
            taken_bytes: (2 * 8 + 8) << 20,
            alone_bytes: (2 * 8 + 16) << 20,
        };
        assert_eq!(by_guests(&samples), [expected]);
    }

    #[test]
    fn ranges_of_one_generation_are_added_up() {
        let mut sample = sample(4);
        sample.guests[3].generation = 3;
        let ranges = by_range(Some(&sample));
        let names: Vec<_> = ranges.iter().map(|range| range.name.as_str()).collect();
        let expected = [
            "LX.2 1000-17FF SR",
            "LX.2 1800-1FFFF EN",
            "LX.3 1000-17FF SR",
            "LX.3 1800-1FFFF EN",
        ];
        assert_eq!(names, expected);
        assert_eq!(ranges[0].shared_bytes, 6 << 20);
        assert_eq!(ranges[0].unshared_bytes, 3 * 4096);
        assert_eq!(ranges[0].private_bytes, 0);
    }

    #[test]
    fn those_that_were_told_most_are_followed() {
        let told = |number: u64| Shrink {
            time_unix_ms: number,
            guest: format!("g{number}"),
            bytes: number / 4,
        };
        let history = History {
            shrinks: (0..10).map(told).collect(),
            ..History::default()
        };
        let names: Vec<_> = shrinks(&history).into_keys().collect();
        assert_eq!(names, ["g4", "g5", "g6", "g8", "g9"]);
    }

    #[test]
    fn only_guests_that_were_told_something_are_followed() {
        let history = History {
            samples: vec![sample(3)],
            shrinks: vec![Shrink {
                time_unix_ms: 5,
                guest: "lx2".to_owned(),
                bytes: 7,
            }],
        };
        let shrinks = shrinks(&history);
        assert_eq!(shrinks.len(), 1);
        assert_eq!(shrinks["lx2"].told, [(5, 7)]);
        assert_eq!(shrinks["lx2"].held, [(1_800_000_000_000, 256 << 20)]);
    }
}
