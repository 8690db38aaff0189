// SPDX-License-Identifier: GPL-2.0

//! Many guests, and guests that do not answer.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;

use crate::saved::Host;

/// How many guests there are; `ONECOPY_MANY` says another number.
const MANY: usize = 12;

/// How often guests that hang are asked.
const HANGING: usize = 4;

/// How often each query is measured.
const RUNS: usize = 5;

/// Returns how many guests to start.
fn many() -> usize {
    let said = std::env::var("ONECOPY_MANY").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(MANY)
}

fn start(host: &Host, name: &str) {
    host.dir.ok(&["ipl", "LX", "--as", name, "--small-pages"]);
}

fn query(host: &Host) -> Vec<Value> {
    let json = host.dir.ok(&["query", "guests", "--json"]);
    let list: Value = serde_json::from_str(&json).unwrap();
    list["guests"].as_array().unwrap().clone()
}

/// Returns the median of how long a query takes.
fn measure(host: &Host, guests: usize) -> Duration {
    let once = |_| {
        let start = Instant::now();
        assert_eq!(query(host).len(), guests);
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..RUNS).map(once).collect();
    times.sort_unstable();
    times[RUNS / 2]
}

fn signal(guest: &Value, signal: Signal) {
    let pid = guest["pid"].as_u64().unwrap().try_into().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn many_guests_are_listed_in_much_less_than_many_times_the_time_of_one() {
    let Some(host) = Host::new() else { return };
    start(&host, "g0");
    let one = measure(&host, 1);
    let count = many();
    for number in 1..count {
        start(&host, &format!("g{number}"));
    }
    // What guests do in their first second is no part of the comparison.
    thread::sleep(Duration::from_secs(2));
    let all = measure(&host, count);
    let ratio = all.as_secs_f64() / one.as_secs_f64();
    println!(
        "query guests: {count} guests take {ratio:.1} times as long as one ({one:?}, {all:?})"
    );
    // One after the other they would take as many times as long as there are.
    let bar = f64::from(u32::try_from(count).unwrap()) / 2.0;
    assert!(ratio < bar, "{ratio:.1} times as long as one");
    assert!(query(&host).iter().all(|guest| guest["state"] == "running"));
}

#[test]
fn a_guest_that_hangs_is_shown_as_silent_and_the_others_as_ever() {
    let Some(host) = Host::new() else { return };
    for name in ["a", "b", "c"] {
        start(&host, name);
    }
    let guests = query(&host);
    signal(&guests[1], Signal::STOP);
    let start = Instant::now();
    // QEMU's queue of connections is full after some of these.
    for _ in 0..HANGING {
        let ran = host.dir.run(&["query", "guests"]);
        assert_eq!(ran.code, Some(0));
        let states: Vec<_> = ran
            .stdout
            .lines()
            .filter(|row| row.contains(" LX "))
            .collect();
        assert!(states[0].contains(" running "), "{states:?}");
        assert!(states[1].contains(" silent "), "{states:?}");
        assert!(states[2].contains(" running "), "{states:?}");
        let complaint = "onecopy: b: Guest b does not answer: QEMU did not answer within ";
        assert!(ran.stderr.starts_with(complaint), "{}", ran.stderr);
    }
    let one = start.elapsed();

    // Two are waited for as long as one is.
    signal(&guests[2], Signal::STOP);
    let start = Instant::now();
    for _ in 0..HANGING {
        let ran = host.dir.run(&["query", "guests"]);
        assert_eq!(ran.stdout.matches(" silent ").count(), 2);
    }
    let ratio = start.elapsed().as_secs_f64() / one.as_secs_f64();
    println!("query guests: two guests that hang take {ratio:.2} times as long as one");
    assert!(ratio < 1.5, "they were waited for one after the other");
    signal(&guests[1], Signal::CONT);
    signal(&guests[2], Signal::CONT);
    assert!(query(&host).iter().all(|guest| guest["state"] == "running"));
}
