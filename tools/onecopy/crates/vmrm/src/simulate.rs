// SPDX-License-Identifier: GPL-2.0

//! What would have become of a recorded host with another policy.
//!
//! The trace says what guests used and touched; what they give, and what is then available, is
//! computed:
//!
//! - A guest gives what it is asked for, as fast as [`TAKE_BYTES_PER_S`], as long as its processes
//!   can have something. It gets memory back at once, also when its processes use more than it has
//!   left.
//! - It gives first what its processes have freed, as `cmm` does, and then what it never touched, for
//!   which the host gets nothing.
//! - What it touches anew according to the trace, and what its processes use, is there on the host.
//! - The host has as much more available as guests take less than in the trace. While that is more,
//!   nobody waits for memory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::policy::decide;
use crate::policy::Decision;
use crate::policy::Mode;
use crate::policy::Rules;
use crate::policy::State;
use crate::sample::Guest;
use crate::sample::Sample;

/// How fast a driver takes pages.
pub const TAKE_BYTES_PER_S: u64 = 1 << 30;

/// How long a round is that is the first one, in milliseconds.
const FIRST_ROUND_MS: u64 = 1000;

/// What a whole trace came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Rounds.
    pub rounds: u64,
    /// The largest number of guests in one of them.
    pub guests: usize,
    /// Rounds in which memory was taken.
    pub squeeze_rounds: u64,
    /// Rounds in which memory was given back.
    pub ease_rounds: u64,
    /// Targets that were changed.
    pub orders: u64,
    /// How often one guest's target changed its direction.
    pub reversals: u64,
    /// The least that was available in the trace.
    pub recorded_min_available_bytes: u64,
    /// The least that is available in the simulation.
    pub min_available_bytes: u64,
    /// Rounds in which less than the mark `low` was available in the trace.
    pub recorded_low_rounds: u64,
    /// Those in the simulation.
    pub low_rounds: u64,
    /// Rounds in which nothing was available: somebody would have been killed, or swapped out.
    pub short_rounds: u64,
    /// How often a guest's processes used more than was left to them, so that it took memory back.
    pub guest_short_rounds: u64,
}

/// A guest as it is in the simulation.
#[derive(Debug, Clone, Copy)]
struct Simulated {
    incarnation: u64,
    target_bytes: u64,
    taken_bytes: u64,
    resident_bytes: u64,
    /// What the trace said in the round before.
    recorded_resident_bytes: u64,
    /// Whether the target was last raised, or lowered.
    is_rising: Option<bool>,
}

/// A host on which the policy has an effect.
#[derive(Debug)]
pub struct Simulator<'a, R> {
    rules: &'a R,
    state: State,
    guests: BTreeMap<String, Simulated>,
    last_ms: Option<u64>,
    summary: Summary,
}

impl<'a, R: Rules> Simulator<'a, R> {
    /// Begins with guests that were told nothing yet.
    pub fn new(rules: &'a R) -> Self {
        Self {
            rules,
            state: State::default(),
            guests: BTreeMap::new(),
            last_ms: None,
            summary: Summary::default(),
        }
    }

    /// Goes on to the next recorded round. Returns what the policy sees then, and what it decides.
    pub fn step(&mut self, recorded: &Sample) -> (Sample, Decision) {
        let elapsed_ms = self
            .last_ms
            .replace(recorded.unix_ms)
            .map_or(FIRST_ROUND_MS, |last| recorded.unix_ms.saturating_sub(last));
        let sample = self.live(recorded, elapsed_ms);
        let (state, decision) = decide(self.rules, &self.state, &sample);
        self.state = state;
        self.obey(&decision);
        self.count(recorded, &sample, &decision);
        (sample, decision)
    }

    /// Returns what the trace came to so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Lets time pass, and returns what is to be seen then.
    fn live(&mut self, recorded: &Sample, elapsed_ms: u64) -> Sample {
        let take_bytes = TAKE_BYTES_PER_S.saturating_mul(elapsed_ms) / 1000;
        let mut guests = BTreeMap::new();
        let mut sample = recorded.clone();
        let (mut saved, mut spent) = (0_u64, 0_u64);
        for guest in &mut sample.guests {
            let before = self.guests.get(&guest.name).copied();
            let before = before.filter(|before| before.incarnation == guest.incarnation);
            let mut simulated = before.unwrap_or_else(|| Simulated::new(guest));
            if simulated.live(guest, take_bytes) {
                self.summary.guest_short_rounds += 1;
            }
            let recorded = guest.resident_bytes.unwrap_or_default();
            saved = saved.saturating_add(recorded.saturating_sub(simulated.resident_bytes));
            spent = spent.saturating_add(simulated.resident_bytes.saturating_sub(recorded));
            simulated.show(guest);
            guests.insert(guest.name.clone(), simulated);
        }
        self.guests = guests;
        let host = &mut sample.host;
        let available = host.available_bytes.saturating_add(saved);
        host.available_bytes = available.saturating_sub(spent).min(host.total_bytes);
        if host.available_bytes > recorded.host.available_bytes {
            host.some_hundredths = host.some_hundredths.map(|_| 0);
            host.full_hundredths = host.full_hundredths.map(|_| 0);
        }
        sample
    }

    fn obey(&mut self, decision: &Decision) {
        for order in &decision.orders {
            let Some(guest) = self.guests.get_mut(&order.guest) else {
                continue;
            };
            guest.target_bytes = order.to_bytes;
            let is_rising = order.to_bytes > order.from_bytes;
            if guest.is_rising.replace(is_rising) == Some(!is_rising) {
                self.summary.reversals += 1;
            }
        }
    }

    fn count(&mut self, recorded: &Sample, sample: &Sample, decision: &Decision) {
        let low = self.rules.host().low.of(sample.host.total_bytes);
        let (before, after) = (recorded.host.available_bytes, sample.host.available_bytes);
        let summary = &mut self.summary;
        if summary.rounds == 0 {
            summary.recorded_min_available_bytes = before;
            summary.min_available_bytes = after;
        }
        summary.rounds += 1;
        summary.guests = summary.guests.max(sample.guests.len());
        summary.squeeze_rounds += u64::from(decision.mode == Mode::Squeeze);
        summary.ease_rounds += u64::from(decision.mode == Mode::Ease);
        summary.orders += decision.orders.len() as u64;
        summary.recorded_min_available_bytes = summary.recorded_min_available_bytes.min(before);
        summary.min_available_bytes = summary.min_available_bytes.min(after);
        summary.recorded_low_rounds += u64::from(before < low);
        summary.low_rounds += u64::from(after < low);
        summary.short_rounds += u64::from(after == 0);
    }
}

impl Simulated {
    /// A guest as the trace first shows it. What it has given by then it goes on giving.
    fn new(guest: &Guest) -> Self {
        let taken_bytes = guest.taken_bytes.unwrap_or_default();
        let resident_bytes = guest.resident_bytes.unwrap_or_default();
        Self {
            incarnation: guest.incarnation,
            target_bytes: taken_bytes,
            taken_bytes,
            resident_bytes,
            recorded_resident_bytes: resident_bytes,
            is_rising: None,
        }
    }

    /// Does what the guest does in a round. Returns whether its processes had to have more than was
    /// left to them.
    fn live(&mut self, recorded: &Guest, take_bytes: u64) -> bool {
        let Some(used_bytes) = used(recorded) else {
            return false;
        };
        let givable = recorded.memory_bytes.saturating_sub(used_bytes);
        let is_short = self.taken_bytes > givable;
        let before = self.taken_bytes;
        let most = self.taken_bytes.saturating_add(take_bytes);
        self.taken_bytes = self.target_bytes.min(most).min(givable);

        let resident = recorded.resident_bytes.unwrap_or_default();
        let touched = resident.saturating_sub(self.recorded_resident_bytes);
        self.recorded_resident_bytes = resident;
        let left = recorded.memory_bytes.saturating_sub(self.taken_bytes);
        let there = self.resident_bytes.saturating_add(touched);
        let there = there.saturating_sub(self.taken_bytes.saturating_sub(before));
        // Of a guest whose memory on the host is not in the trace nothing comes back.
        self.resident_bytes = match recorded.resident_bytes {
            Some(_) => there.max(used_bytes).min(left),
            None => 0,
        };
        is_short
    }

    /// Writes what there is in the simulation over what was recorded.
    fn show(&self, guest: &mut Guest) {
        if let Some(used_bytes) = used(guest) {
            let left = guest.memory_bytes.saturating_sub(self.taken_bytes);
            guest.available_bytes = Some(left.saturating_sub(used_bytes));
            guest.taken_bytes = Some(self.taken_bytes);
            guest.resident_bytes = guest.resident_bytes.map(|_| self.resident_bytes);
        }
    }
}

/// What a guest's processes and its kernel use, if the trace says it.
fn used(guest: &Guest) -> Option<u64> {
    let free = guest.taken_bytes?.saturating_add(guest.available_bytes?);
    Some(guest.memory_bytes.saturating_sub(free))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Amount;
    use crate::config::Config;
    use crate::sample::Host;

    const MIB: u64 = 1 << 20;

    /// Guests of 1024 MiB on a host that has no more than they all take. One after the other touches
    /// 600 MiB and frees most of it.
    fn recorded(round: u64, count: u64) -> Sample {
        let guest = |number: u64| {
            let done = round > number;
            let resident = if done { 600 } else { 100 };
            Guest {
                name: format!("g{number}"),
                incarnation: 1,
                memory_bytes: 1024 * MIB,
                resident_bytes: Some(resident * MIB),
                taken_bytes: Some(0),
                available_bytes: Some(924 * MIB),
            }
        };
        let guests: Vec<_> = (0..count).map(guest).collect();
        let resident: u64 = guests.iter().filter_map(|guest| guest.resident_bytes).sum();
        Sample {
            unix_ms: round * 5000,
            host: Host {
                total_bytes: 2400 * MIB,
                available_bytes: (2400 * MIB).saturating_sub(resident),
                some_hundredths: Some(if round > 2 { 2000 } else { 0 }),
                ..Host::default()
            },
            guests,
        }
    }

    fn simulate(config: &Config) -> Summary {
        let mut simulator = Simulator::new(config);
        for round in 0..20 {
            simulator.step(&recorded(round, 4));
        }
        simulator.summary().clone()
    }

    #[test]
    fn a_host_that_ran_out_of_memory_does_not_with_the_policy() {
        let summary = simulate(&Config::default());
        assert_eq!((summary.rounds, summary.guests), (20, 4));
        assert_eq!(summary.recorded_min_available_bytes, 0);
        assert_eq!((summary.short_rounds, summary.guest_short_rounds), (0, 0));
        assert!(
            summary.min_available_bytes > 0 && summary.squeeze_rounds > 0,
            "{summary:?}"
        );
        assert_eq!(summary.reversals, 0);
    }

    #[test]
    fn nobody_is_helped_by_guests_that_are_left_alone() {
        let config = Config {
            notify: Vec::new(),
            ..Config::default()
        };
        let summary = simulate(&config);
        assert_eq!(summary.orders, 0);
        assert_eq!(
            summary.min_available_bytes,
            summary.recorded_min_available_bytes
        );
        assert_eq!(summary.low_rounds, summary.recorded_low_rounds);
        assert!(summary.short_rounds > 0);
    }

    #[test]
    fn a_guest_that_needs_its_memory_gets_it_back() {
        let mut config = Config::default();
        config.host.low = Amount::share(5000);
        config.host.high = Amount::share(6000);
        config.host.ease = Amount::share(9000);
        let mut simulator = Simulator::new(&config);
        for round in 0..8 {
            simulator.step(&recorded(round, 4));
        }
        let taken = |sample: &Sample| sample.guests[0].taken_bytes.unwrap();
        let mut busy = recorded(8, 4);
        assert!(taken(&simulator.step(&busy).0) > 200 * MIB);
        busy.guests[0].available_bytes = Some(100 * MIB);
        let (sample, decision) = simulator.step(&busy);
        assert!(taken(&sample) <= 100 * MIB);
        assert_eq!(simulator.summary().guest_short_rounds, 1);
        assert!(decision.relieved_bytes > 0);
    }
}
