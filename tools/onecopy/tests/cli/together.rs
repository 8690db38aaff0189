// SPDX-License-Identifier: GPL-2.0

//! Saves, purges and starts of one system at the same time: each is done or refused as if it were alone.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::saved::Host;

/// How many systems are saved while others are purged and started.
const SAVES: usize = 4;

/// What is said of a system that was purged just before.
const GONE: &str =
    "onecopy: There is no saved system LX in DIR/store; nothing has been saved there\n";

#[test]
fn saves_purges_and_starts_at_the_same_time_do_not_disturb_each_other() {
    let Some(host) = Host::new() else { return };
    let (dir, host) = (&host.dir, &host);
    let is_over = AtomicBool::new(false);
    let (purged, started) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let ran = dir.run(&["purge", "nss", "LX"]);
                match (ran.code, ran.stderr.as_str()) {
                    (Some(0), "") => drop(purged.fetch_add(1, Ordering::Relaxed)),
                    (Some(3), GONE) => {}
                    _ => panic!("{ran:?}"),
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let ran = dir.run(&["ipl", "LX", "--as", "web"]);
                match (ran.code, ran.stderr.as_str()) {
                    (Some(0), "") => {
                        started.fetch_add(1, Ordering::Relaxed);
                        // What it runs from stays, whatever is purged or saved meanwhile.
                        assert_eq!(host.ready_guests(), ["web"]);
                        dir.ok(&["logoff", "web", "--now"]);
                    }
                    (Some(3), GONE) => {}
                    _ => panic!("{ran:?}"),
                }
            }
        });
        // Saves of one system wait for each other where they have to.
        let save = || {
            let saves = (0..SAVES / 2).map(|_| dir.run(&host.save_arguments()));
            saves.collect::<Vec<_>>()
        };
        let other = scope.spawn(save);
        let mut ran = save();
        ran.extend(other.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        for ran in ran {
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        }
    });
    assert!(purged.into_inner() > 0 && started.into_inner() > 0);

    // Nothing partial is left, and what there is is whole.
    dir.ok(&host.save_arguments());
    host.wait_for_silence();
    let listed: Value =
        serde_json::from_str(&dir.ok(&["query", "nss", "--verify", "--json"])).unwrap();
    let systems = listed["saved_systems"].as_array().unwrap();
    let classes: Vec<_> = systems.iter().map(|system| &system["class"]).collect();
    assert_eq!(classes, ["A"]);
    let mut left: Vec<_> = fs::read_dir(host.file(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let generation = systems[0]["generation"].to_string();
    assert_eq!(left, [".lock", generation.as_str(), "current"]);
    dir.ok(&["ipl", "LX"]);
}
