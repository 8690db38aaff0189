// SPDX-License-Identifier: GPL-2.0

//! What holds for every decision.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::sample::Guest;
use crate::sample::Host;

const MIB: u64 = 1 << 20;

/// Rules for guests whose names are numbers: their places in the list.
#[derive(Debug, Clone)]
struct TestRules {
    host: HostRules,
    guests: Vec<Option<GuestRules>>,
}

impl Rules for TestRules {
    fn host(&self) -> &HostRules {
        &self.host
    }

    fn guest(&self, name: &str) -> Option<GuestRules> {
        *self.guests.get(name.parse::<usize>().ok()?)?
    }
}

fn usual() -> HostRules {
    HostRules {
        low: Amount::share(1000),
        high: Amount::share(2000),
        ease: Amount::share(3000),
        squeeze_pressure: Percent::hundredths(1000),
        ease_pressure: Percent::hundredths(100),
        ease_rounds: 2,
        step: Amount::share(200),
    }
}

const RULES: GuestRules = GuestRules {
    floor: Amount::Bytes(128 * MIB),
    headroom: Amount::Bytes(64 * MIB),
    weight: 1,
};

fn rules(guests: &[GuestRules]) -> TestRules {
    TestRules {
        host: usual(),
        guests: guests.iter().copied().map(Some).collect(),
    }
}

/// A host of 4000 MiB, and guests of 512 MiB with 320 MiB available, all of it resident.
fn sample(available_mib: u64, guests: usize) -> Sample {
    let guest = |number: usize| Guest {
        name: number.to_string(),
        incarnation: 1,
        memory_bytes: 512 * MIB,
        resident_bytes: Some(512 * MIB),
        taken_bytes: Some(0),
        available_bytes: Some(320 * MIB),
    };
    Sample {
        unix_ms: 0,
        host: Host {
            total_bytes: 4000 * MIB,
            available_bytes: available_mib * MIB,
            ..Host::default()
        },
        guests: (0..guests).map(guest).collect(),
    }
}

fn targets(state: &State, guests: usize) -> Vec<u64> {
    (0..guests)
        .map(|number| state.target_bytes(&number.to_string()).unwrap_or_default() / MIB)
        .collect()
}

#[test]
fn a_squeeze_asks_for_what_is_missing_and_waits_for_it() {
    let rules = rules(&[RULES; 2]);
    let (state, decision) = decide(&rules, &State::default(), &sample(500, 2));
    assert_eq!(decision.mode, Mode::Hold);
    // Below low it is filled up to high.
    let (state, decision) = decide(&rules, &state, &sample(399, 2));
    assert_eq!(
        (decision.mode, decision.moved_bytes),
        (Mode::Squeeze, 402 * MIB)
    );
    assert_eq!(targets(&state, 2), [202, 200]);
    let (state, decision) = decide(&rules, &state, &sample(399, 2));
    assert_eq!((decision.mode, decision.orders.len()), (Mode::Hold, 0));
    // Half of it has come, and between low and high that is not forgotten.
    let mut half = sample(600, 2);
    for guest in &mut half.guests {
        guest.taken_bytes = Some(100 * MIB);
        guest.available_bytes = Some(220 * MIB);
        guest.resident_bytes = Some(412 * MIB);
    }
    assert_eq!(decide(&rules, &state, &half).1.orders, []);
    half.host.available_bytes = 500 * MIB;
    assert_eq!(decide(&rules, &state, &half).1.moved_bytes, 98 * MIB);
}

#[test]
fn the_heavier_a_guest_the_less_it_gives() {
    let heavy = GuestRules { weight: 3, ..RULES };
    let (state, _) = decide(&rules(&[RULES, heavy]), &State::default(), &sample(600, 2));
    assert_eq!(targets(&state, 2), [0, 0]);
    let (state, _) = decide(&rules(&[RULES, heavy]), &State::default(), &sample(392, 2));
    assert_eq!(targets(&state, 2), [256, 152]);
    let (state, _) = decide(&rules(&[RULES, heavy]), &State::default(), &sample(0, 2));
    assert_eq!(targets(&state, 2), [256, 256]);
}

#[test]
fn memory_that_was_never_touched_is_not_asked_for() {
    let mut sample = sample(0, 2);
    sample.guests[0].resident_bytes = Some(200 * MIB);
    let (state, _) = decide(&rules(&[RULES; 2]), &State::default(), &sample);
    // 192 MiB are in use.
    assert_eq!(targets(&state, 2), [8, 256]);
}

#[test]
fn guests_get_memory_back_when_it_stays_calm() {
    let rules = rules(&[RULES; 2]);
    let mut sample = sample(2000, 2);
    for guest in &mut sample.guests {
        guest.taken_bytes = Some(200 * MIB);
    }
    let (state, decision) = decide(&rules, &State::default(), &sample);
    assert_eq!(decision.mode, Mode::Hold);
    let (state, decision) = decide(&rules, &state, &sample);
    assert_eq!(
        (decision.mode, decision.moved_bytes),
        (Mode::Ease, 100 * MIB)
    );
    assert_eq!(targets(&state, 2), [150, 150]);
    sample.host.some_hundredths = Some(101);
    let (state, decision) = decide(&rules, &state, &sample);
    assert_eq!(decision.mode, Mode::Hold);
    sample.host.some_hundredths = Some(100);
    assert_eq!(decide(&rules, &state, &sample).1.mode, Mode::Hold);
}

#[test]
fn a_guest_in_need_gets_memory_back_during_a_squeeze() {
    let rules = rules(&[RULES; 2]);
    let mut sample = sample(0, 2);
    let (state, _) = decide(&rules, &State::default(), &sample);
    assert_eq!(targets(&state, 2), [256, 256]);
    sample.guests[0].taken_bytes = Some(256 * MIB);
    sample.guests[0].available_bytes = Some(20 * MIB);
    sample.guests[0].resident_bytes = Some(256 * MIB);
    let (state, decision) = decide(&rules, &state, &sample);
    assert_eq!(targets(&state, 2), [212, 256]);
    assert_eq!(decision.orders[0].reason, Reason::GuestNeeds);
    // Between half of the headroom and all of it nothing happens.
    sample.guests[0].taken_bytes = Some(212 * MIB);
    sample.guests[0].available_bytes = Some(40 * MIB);
    assert_eq!(decide(&rules, &state, &sample).1.orders, []);
}

#[test]
fn pressure_and_swapping_count_although_enough_is_available() {
    let rules = rules(&[RULES; 2]);
    let mut waiting = sample(1000, 2);
    waiting.host.some_hundredths = Some(1000);
    let (_, decision) = decide(&rules, &State::default(), &waiting);
    assert_eq!(
        (decision.mode, decision.moved_bytes),
        (Mode::Squeeze, 80 * MIB)
    );

    let mut swapping = sample(1000, 2);
    swapping.host.swap_free_bytes = 100 * MIB;
    let (state, decision) = decide(&rules, &State::default(), &swapping);
    assert_eq!(decision.mode, Mode::Hold);
    swapping.host.swap_free_bytes = 90 * MIB;
    assert_eq!(decide(&rules, &state, &swapping).1.mode, Mode::Squeeze);
}

#[test]
fn others_give_what_a_guest_does_not() {
    let rules = rules(&[RULES; 2]);
    let mut sample = sample(400 - 2, 2);
    sample.guests[1].available_bytes = None;
    let (mut state, decision) = decide(&rules, &State::default(), &sample);
    assert_eq!(targets(&state, 2), [256, 0]);
    assert_eq!(decision.wanted_bytes, 402 * MIB);
    sample.guests[1].available_bytes = Some(320 * MIB);
    for round in 0..5 {
        let (next, decision) = decide(&rules, &state, &sample);
        // The first one does nothing, which is noticed after some rounds.
        let expected = if round == 3 { 110 } else { 0 };
        let expected = if round == 0 { 146 } else { expected };
        assert_eq!(decision.moved_bytes / MIB, expected, "{round}");
        state = next;
    }
    assert_eq!(targets(&state, 2), [256, 256]);
}

#[test]
fn another_guest_of_the_same_name_starts_anew() {
    let rules = rules(&[RULES]);
    let (mut state, decision) = decide(&rules, &State::default(), &sample(0, 1));
    assert_eq!(targets(&state, 1), [256]);
    let mut other = sample(1000, 1);
    other.guests[0].incarnation = 2;
    assert_eq!(targets(&decide(&rules, &state, &other).0, 1), [0]);
    // What did not arrive was not said.
    let order = &decision.orders[0];
    state.undo(&Order {
        incarnation: 2,
        ..order.clone()
    });
    assert_eq!(targets(&state, 1), [256]);
    state.undo(order);
    assert_eq!(targets(&state, 1), [0]);
    // One that does not answer is remembered, one that is gone is not.
    let (state, _) = decide(&rules, &state, &sample(0, 1));
    let mut silent = sample(0, 1);
    silent.guests[0].taken_bytes = None;
    silent.guests[0].available_bytes = None;
    assert_eq!(targets(&decide(&rules, &state, &silent).0, 1), [256]);
    assert_eq!(
        decide(&rules, &state, &sample(0, 0)).0.target_bytes("0"),
        None
    );
}

fn amount(max: u64) -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0..=max).prop_map(|mib| Amount::Bytes(mib * MIB)),
        (0_u32..=10_000).prop_map(Amount::share),
    ]
}

fn host_rules() -> impl Strategy<Value = HostRules> {
    let marks = [amount(8000), amount(8000), amount(8000), amount(1000)];
    (marks, 0_u32..3000, 0_u32..3000, 0_u32..4).prop_map(
        |([low, high, ease, step], squeeze, calm, ease_rounds)| HostRules {
            low,
            high,
            ease,
            squeeze_pressure: Percent::hundredths(squeeze),
            ease_pressure: Percent::hundredths(calm),
            ease_rounds,
            step,
        },
    )
}

fn guest_rules() -> impl Strategy<Value = Option<GuestRules>> {
    let rules =
        (amount(2000), amount(2000), 0_u32..20).prop_map(|(floor, headroom, weight)| GuestRules {
            floor,
            headroom,
            weight,
        });
    prop::option::weighted(0.9, rules)
}

fn bytes(max_mib: u64) -> impl Strategy<Value = u64> {
    0..=max_mib * MIB
}

prop_compose! {
    fn guest()(
        incarnation in 0_u64..2,
        memory_bytes in bytes(1024),
        resident_bytes in prop::option::of(bytes(1200)),
        taken_bytes in prop::option::weighted(0.9, bytes(1024)),
        available_bytes in prop::option::weighted(0.9, bytes(1024)),
    ) -> Guest {
        Guest {
            name: String::new(),
            incarnation,
            memory_bytes,
            resident_bytes,
            taken_bytes,
            available_bytes,
        }
    }
}

prop_compose! {
    fn any_sample(count: usize)(
        total_bytes in bytes(10_000),
        available_bytes in bytes(10_000),
        swap_free_bytes in bytes(100),
        some_hundredths in prop::option::of(0_u32..4000),
        guests in prop::collection::vec(prop::option::weighted(0.9, guest()), count),
    ) -> Sample {
        let named = |(number, guest): (usize, Option<Guest>)| {
            Some(Guest { name: number.to_string(), ..guest? })
        };
        Sample {
            unix_ms: 0,
            host: Host {
                total_bytes,
                available_bytes,
                swap_total_bytes: 100 * MIB,
                swap_free_bytes,
                some_hundredths,
                full_hundredths: None,
            },
            guests: guests.into_iter().enumerate().filter_map(named).collect(),
        }
    }
}

prop_compose! {
    /// Rules, and samples that have nothing to do with each other.
    fn history()(count in 1_usize..12, rounds in 1_usize..6)(
        host in host_rules(),
        guests in prop::collection::vec(guest_rules(), count),
        samples in prop::collection::vec(any_sample(count), rounds),
    ) -> (TestRules, Vec<Sample>) {
        (TestRules { host, guests }, samples)
    }
}

fn total(state: &State, count: usize) -> u64 {
    let target = |number: usize| state.target_bytes(&number.to_string());
    (0..count).filter_map(target).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn nobody_is_asked_for_the_floor((rules, samples) in history()) {
        let mut state = State::default();
        for sample in &samples {
            let (next, decision) = decide(&rules, &state, sample);
            for guest in &sample.guests {
                let Some(of) = rules.guest(&guest.name) else {
                    prop_assert_eq!(next.target_bytes(&guest.name), None);
                    continue;
                };
                let target = next.target_bytes(&guest.name).unwrap_or_default();
                let keeps = guest.memory_bytes.checked_sub(target);
                let floor = of.floor.of(guest.memory_bytes).min(guest.memory_bytes);
                prop_assert!(keeps.is_some_and(|keeps| keeps >= floor), "{:?} {}", guest, target);
            }
            for order in &decision.orders {
                prop_assert_eq!(next.target_bytes(&order.guest), Some(order.to_bytes));
                prop_assert_ne!(order.to_bytes, order.from_bytes);
                prop_assert_eq!(order.to_bytes % BLOCK_BYTES, 0);
            }
            state = next;
        }
    }

    #[test]
    fn what_is_moved_is_what_the_targets_change_by((rules, samples) in history()) {
        let mut state = State::default();
        for sample in &samples {
            let (next, decision) = decide(&rules, &state, sample);
            prop_assert!(decision.moved_bytes <= decision.wanted_bytes);
            prop_assert_eq!(decision.target_bytes, total(&next, rules.guests.len()));
            let (mut more, mut less) = (0, 0);
            for order in &decision.orders {
                match order.reason {
                    Reason::Squeeze => prop_assert_eq!(decision.mode, Mode::Squeeze),
                    Reason::Ease => prop_assert_eq!(decision.mode, Mode::Ease),
                    Reason::GuestNeeds | Reason::Floor => {
                        prop_assert!(order.to_bytes < order.from_bytes);
                    }
                }
                more += order.to_bytes.saturating_sub(order.from_bytes);
                less += order.from_bytes.saturating_sub(order.to_bytes);
            }
            let (taken, given) = match decision.mode {
                Mode::Squeeze => (decision.moved_bytes, 0),
                Mode::Ease => (0, decision.moved_bytes),
                Mode::Hold => (0, 0),
            };
            prop_assert_eq!(more + given + decision.relieved_bytes, less + taken);
            state = next;
        }
    }

    #[test]
    fn constant_samples_never_make_targets_oscillate(
        (rules, samples) in history(),
        index in any::<Index>(),
    ) {
        const ROUNDS: usize = 3000;
        let mut state = State::default();
        for sample in &samples {
            state = decide(&rules, &state, sample).0;
        }
        let constant = index.get(&samples);
        // The change from another sample to this one is a change.
        state = decide(&rules, &state, constant).0;
        let mut directions = vec![std::cmp::Ordering::Equal; rules.guests.len()];
        let mut last_change = 0;
        for round in 0..ROUNDS {
            let (next, decision) = decide(&rules, &state, constant);
            for order in &decision.orders {
                let direction = order.to_bytes.cmp(&order.from_bytes);
                let known = &mut directions[order.guest.parse::<usize>().unwrap()];
                prop_assert!(known.is_eq() || *known == direction, "{order:?}");
                *known = direction;
                last_change = round;
            }
            state = next;
            if round > last_change + 16 {
                break;
            }
        }
        prop_assert!(last_change + 16 < ROUNDS, "there is no end of it");
    }

    #[test]
    fn the_same_is_decided_whatever_the_order_of_the_guests(
        (rules, samples) in history(),
    ) {
        let mut state = State::default();
        for sample in &samples {
            let mut reversed = sample.clone();
            reversed.guests.reverse();
            let (_, other) = decide(&rules, &state, &reversed);
            let (next, decision) = decide(&rules, &state, sample);
            prop_assert_eq!((other.mode, other.moved_bytes), (decision.mode, decision.moved_bytes));
            state = next;
        }
    }
}
