// SPDX-License-Identifier: GPL-2.0

//! Many who open, attach and detach at the same time.

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::control::Answer;
use onecopy_boot::dcss::node;
use onecopy_boot::dcss::DRIVER;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        opening_races_with_attaching_and_detaching,
        attaching_races_with_unbinding;
}

/// How long the racers run, in milliseconds.
const DURATION_MS: &str = "4000";

/// How often they run, at most, until each has won.
const ROUNDS: u32 = 5;

fn count(answer: &Answer, key: &str) -> Result<u64> {
    ensure_eq!(answer.text, "exit=0", "{answer:?}");
    let value = answer
        .value(key)
        .with_context(|| format!("no {key} in {answer:?}"))?;
    Ok(value.parse()?)
}

/// What the racers have done together.
#[derive(Debug, Default)]
struct Score {
    attached: u64,
    detached: u64,
    opened: u64,
    lookups: u64,
}

/// Two processes attach and detach a segment, two open it, and the host looks at it meanwhile.
fn race(guest: &mut Guest, score: &mut Score) -> Result<()> {
    let node = node("A");
    for (slot, applet) in [
        ("attacher1", ["attach-loop", "A", "A"].as_slice()),
        ("attacher2", &["attach-loop", "A", "A"]),
        ("opener1", &["open-loop", &node]),
        ("opener2", &["open-loop", &node]),
    ] {
        guest.run("spawn-applet", &[&[slot], applet, &[DURATION_MS]].concat())?;
    }
    while guest.run("poll", &["opener2"])?.text == "running" {
        guest.attribute("A", "users")?;
        guest.attribute("A", "dax")?;
        score.lookups += 1;
    }
    for slot in ["attacher1", "attacher2"] {
        let answer = guest.run("stop", &[slot])?;
        score.attached += count(&answer, "attached")?;
        score.detached += count(&answer, "detached")?;
    }
    for slot in ["opener1", "opener2"] {
        score.opened += count(&guest.run("stop", &[slot])?, "opened")?;
    }
    Ok(())
}

fn opening_races_with_attaching_and_detaching(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    context.guest(
        &Options::default().cpus(2).watch_leaks().space(&space),
        |guest| {
            // Only a race that had winners on both sides is one; how many depends on the machine.
            let mut score = Score::default();
            let is_race = |score: &Score| score.attached.min(score.opened) > 1;
            for _ in 0..ROUNDS {
                race(guest, &mut score)?;
                if is_race(&score) {
                    break;
                }
            }
            ensure!(is_race(&score) && score.lookups > 0, "{score:?}");
            let left = guest.attached()?;
            ensure_eq!(left.len() as u64, score.attached - score.detached);
            if left.is_empty() {
                guest.attach("A")?;
            }
            ensure_eq!(guest.attribute("A", "users")?, "0");
            ensure_works(guest, &space, "A")?;
            guest.detach("A")?;
            Ok(())
        },
    )
}

fn attaching_races_with_unbinding(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    context.guest(
        &Options::default()
            .cpus(2)
            .watch_leaks()
            .space(&space)
            .append("dcss.segments=A"),
        |guest| {
            guest.run(
                "spawn-applet",
                &["opener", "open-loop", &node("A"), DURATION_MS],
            )?;
            let mut rounds = 0;
            while guest.run("poll", &["opener"])?.text == "running" {
                guest.write(&format!("{DRIVER}/unbind"), "virtio0")?;
                guest.write(&format!("{DRIVER}/bind"), "virtio0")?;
                rounds += 1;
            }
            let opened = count(&guest.run("stop", &["opener"])?, "opened")?;
            ensure!(
                rounds > 0 && opened > 0,
                "{rounds} rounds, opened {opened} times"
            );
            // An opener may have had the memory when the device came back last.
            if guest.attached()?.is_empty() {
                guest.attach("A")?;
            }
            ensure_works(guest, &space, "A")
        },
    )
}
