// SPDX-License-Identifier: GPL-2.0

//! Guests that are saved with what they have become.

use std::collections::BTreeSet;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_system::IplOptions;
use onecopy_system::ResourceOptions;

use super::cases;
use super::ensure_eq;
use super::saved::with_guest_of;
use crate::context::Context;

cases! {
    BuiltIn:
        a_guest_can_be_saved_with_its_memory_again_and_again,
        no_copy_draws_the_random_numbers_of_another_one,
        a_guest_that_cannot_be_saved_goes_on;
    BuiltInFast:
        a_guest_that_has_more_than_its_template_cannot_be_saved;
}

/// What is kept in the guest's memory.
const FILE: &str = "/content";
const BYTES: u64 = 100 * MIB;

/// Returns the digest of the file.
fn digest(guest: &mut Guest) -> Result<String> {
    let bytes = BYTES.to_string();
    let answer = guest.run("digest", &[FILE, "r", "0", &bytes, "1048576"])?;
    ensure_eq!(answer.value("bytes"), Some(bytes.as_str()));
    Ok(answer.value("sha256").context("no digest")?.to_owned())
}

/// Starts a guest, lets `body` use it, and saves it under another name.
fn save_after(
    saved: &SavedSystem,
    name: &str,
    resources: ResourceOptions,
    as_system: &str,
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<SavedSystem> {
    let mut guest = saved.ipl(name, resources)?;
    let result = body(&mut guest).and_then(|()| saved.save_again(&mut guest, name, as_system));
    Ok(result.map_err(|error| guest.failure(error))?)
}

fn parm(text: &str) -> ResourceOptions {
    ResourceOptions {
        parm: Some(text.to_owned()),
        ..ResourceOptions::default()
    }
}

fn a_guest_can_be_saved_with_its_memory_again_and_again(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    let mut sum = String::new();
    let once = save_after(saved, "first", parm("once"), "ONCE", |guest| {
        guest.run("random", &[FILE, &BYTES.to_string()])?;
        sum = digest(guest)?;
        // Programs go on, too.
        guest.run("spawn-applet", &["held", "hold-memory", "8"])?;
        Ok(())
    })?;
    let twice = save_after(&once, "second", parm("=twice"), "TWICE", |guest| {
        ensure_eq!(digest(guest)?, sum);
        let line = guest.read("/proc/cmdline")?;
        ensure_eq!(line, "twice");
        Ok(())
    })?;
    with_guest_of(&twice, "third", ResourceOptions::default(), |guest| {
        ensure_eq!(digest(guest)?, sum);
        ensure_eq!(guest.run("stop", &["held"])?.lines, ["touched=8388608"]);
        // An identity of its own, and nothing of those before it.
        ensure_eq!(guest.read("/proc/sys/kernel/hostname")?, "third");
        ensure_eq!(guest.read("/sys/firmware/ipl/guest")?, "third");
        let line = guest.read("/proc/cmdline")?;
        ensure!(
            line.contains(" savesys=") && !line.contains("once"),
            "{line}"
        );
        ensure!(!guest.exists("/sys/firmware/ipl/parm")?);
        // Text is that of the first system, in the same file.
        ensure_eq!(saved.shared_file()?, twice.shared_file()?);
        ensure_eq!(twice.shared_range("third")?.unshared_bytes(), 0);
        Ok(())
    })
}

fn no_copy_draws_the_random_numbers_of_another_one(context: &Context) -> Result<()> {
    const DRAWS: &str = "/draws";
    let saved = context.saved()?;
    let mut boot_ids = BTreeSet::new();
    let again = save_after(saved, "draws", parm(""), "DRAWS", |guest| {
        boot_ids.insert(guest.read(BOOT_ID)?);
        guest.run("spawn-applet", &["draws", "draw-random", DRAWS])?;
        Ok(())
    })?;
    let mut copies = Vec::new();
    for name in ["one", "other"] {
        let mut guest = again.ipl(name, ResourceOptions::default())?;
        guest.run("stop", &["draws"])?;
        boot_ids.insert(guest.read(BOOT_ID)?);
        copies.push(Draws::new(guest, DRAWS)?);
    }
    ensure_eq!(boot_ids.len(), 3, "{boot_ids:?}");
    let [one, other] = copies.as_mut_slice() else {
        anyhow::bail!("there are not two of them");
    };

    // Up to the save point they are the same guest: time and number of each draw are equal.
    let mut same = 0..one.count.min(other.count);
    while !same.is_empty() {
        let middle = same.start + (same.end - same.start) / 2;
        if one.some(middle, 1)?[0].time == other.some(middle, 1)?[0].time {
            same.start = middle + 1;
        } else {
            same.end = middle;
        }
    }
    let behind = same.start;
    ensure!(behind > 0, "nothing was drawn before the guest was saved");
    let (first, second) = (one.some(behind, BEHIND)?, other.some(behind, BEHIND)?);
    let seen: BTreeSet<_> = first.iter().map(|draw| &draw.number).collect();
    let again: Vec<_> = second
        .iter()
        .filter(|draw| seen.contains(&draw.number))
        .collect();
    ensure!(
        again.is_empty(),
        "draw {behind} and later: {again:?} in both"
    );
    one.guest.check(false)?;
    other.guest.check(false)
}

fn a_guest_that_cannot_be_saved_goes_on(context: &Context) -> Result<()> {
    context.guest(&Options::default(), |guest| {
        ensure_eq!(errno(guest.write(SAVE, "1"))?, "EOPNOTSUPP");
        Ok(())
    })?;

    let saved = context.saved()?;
    let options = IplOptions {
        cpus: 2,
        ..saved.options("two")?
    };
    let mut guest = saved.ipl_with(&options)?;
    guest.wait_until("both processors are online", |guest| {
        Ok(guest.read("/sys/devices/system/cpu/online")? == "0-1")
    })?;
    ensure_eq!(errno(guest.write(SAVE, "1"))?, "EBUSY");
    guest.check(false)?;
    drop(guest);

    with_guest_of(saved, "alone", ResourceOptions::default(), |guest| {
        // A clock that begins anew every 43 s, while nobody looks at it.
        guest.write(CLOCK_SOURCE, "hpet")?;
        ensure_eq!(errno(guest.write(SAVE, "1"))?, "ETIMEDOUT");
        ensure_eq!(guest.read("/sys/kernel/shared_kernel/name")?, "SAVED");
        guest.run("applet", &["hog", "16"])?;
        Ok(())
    })
}

/// Where a guest asks to be saved.
const SAVE: &str = "/sys/kernel/shared_kernel/save";

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// How many draws behind the save point are compared.
const BEHIND: u64 = 256;

/// The random numbers that a guest has drawn.
struct Draws {
    guest: Guest,
    file: &'static str,
    count: u64,
}

#[derive(Debug)]
struct Draw {
    time: String,
    number: String,
}

impl Draws {
    fn new(mut guest: Guest, file: &'static str) -> Result<Self> {
        let answer = guest.run("draws", &[file, "0", "0"])?;
        let count = answer
            .value("draws")
            .context("no number of draws")?
            .parse()?;
        Ok(Self { guest, file, count })
    }

    fn some(&mut self, first: u64, count: u64) -> Result<Vec<Draw>> {
        let (first, count) = (first.to_string(), count.to_string());
        let lines = self.guest.run("draws", &[self.file, &first, &count])?.lines;
        let draws = lines.iter().map(|line| {
            let (time, number) = line.split_once(' ').context("no draw")?;
            let (time, number) = (time.to_owned(), number.to_owned());
            Ok(Draw { time, number })
        });
        draws.collect()
    }
}

fn a_guest_that_has_more_than_its_template_cannot_be_saved(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_guest_of(saved, "more", ResourceOptions::default(), |guest| {
        saved.plug_balloon(guest, context.kernel())?;
        let Err(error) = saved.save_running("more", "MORE") else {
            anyhow::bail!("it was saved");
        };
        let error = format!("{error:#}");
        ensure!(
            error.contains("it has more than its template had: balloon0"),
            "{error}"
        );
        // It goes on.
        ensure_eq!(guest.read("/proc/sys/kernel/hostname")?, "more");
        Ok(())
    })
}
