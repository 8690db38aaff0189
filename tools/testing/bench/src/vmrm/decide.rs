// SPDX-License-Identifier: GPL-2.0

//! How long a decision takes.

use std::time::Instant;

use anyhow::ensure;
use anyhow::Result;
use onecopy_vmrm::config::Config;
use onecopy_vmrm::policy::decide;
use onecopy_vmrm::policy::State;
use onecopy_vmrm::sample::Guest;
use onecopy_vmrm::sample::Host;
use onecopy_vmrm::sample::Sample;

/// How many guests there are.
pub(super) const GUESTS: u64 = 1000;

/// How many decisions are made.
const ROUNDS: u64 = 200;

const MIB: u64 = 1 << 20;

/// Returns the times of decisions in milliseconds; targets of many guests change in each.
pub(super) fn measure() -> Result<Vec<f64>> {
    let config = Config::default();
    let mut state = State::default();
    let mut times = Vec::new();
    let mut orders = 0;
    for round in 0..ROUNDS {
        let sample = sample(round, &state);
        let start = Instant::now();
        let (next, decision) = decide(&config, &state, &sample);
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        orders += decision.orders.len() as u64;
        state = next;
    }
    ensure!(
        orders >= ROUNDS * GUESTS / 4,
        "only {orders} targets were changed in {ROUNDS} rounds"
    );
    Ok(times)
}

/// Guests of 1 to 2 GiB that have given what they were asked for, on a host that has too little in
/// most rounds and more than enough in others.
fn sample(round: u64, state: &State) -> Sample {
    let total_bytes = 256 * 1024 * MIB;
    let available_bytes = total_bytes / 100 * if round % 16 < 8 { 4 } else { 60 };
    let guest = |number: u64| {
        let name = format!("guest{number}");
        let taken_bytes = state.target_bytes(&name).unwrap_or_default();
        let memory_bytes = (1024 + number) * MIB;
        let used_bytes = (100 + number * 7 % 300) * MIB;
        Guest {
            name,
            incarnation: number,
            memory_bytes,
            resident_bytes: Some(memory_bytes - taken_bytes),
            taken_bytes: Some(taken_bytes),
            available_bytes: Some(memory_bytes.saturating_sub(taken_bytes + used_bytes)),
        }
    };
    Sample {
        unix_ms: round * 1000,
        host: Host {
            total_bytes,
            available_bytes,
            ..Host::default()
        },
        guests: (0..GUESTS).map(guest).collect(),
    }
}
