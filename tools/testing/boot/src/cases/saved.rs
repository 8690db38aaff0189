// SPDX-License-Identifier: GPL-2.0

//! Guests that are started from a saved system: what each has of its own, what they share, and what
//! the host gets back.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::battery;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::saved::MEMORY_BYTES;
use onecopy_boot::space::MIB;
use onecopy_boot::together::start_at_once;
use onecopy_boot::Guest;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::accounting::Residency;
use onecopy_machine::accounting::Sizes;
use onecopy_machine::Disk;
use onecopy_system::IplOptions;
use onecopy_system::ResourceOptions;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        a_guest_goes_on_behind_the_save_point_with_its_own_identity;
    BuiltInFast:
        guests_of_one_system_have_nothing_secret_in_common,
        text_and_read_only_data_stay_shared,
        plugged_processors_and_memory_are_used,
        plugged_disks_are_read_and_written,
        sixteen_guests_started_at_once_have_one_copy_of_the_kernel,
        memory_of_a_guest_from_a_saved_system_comes_back;
}

const IPL: &str = "/sys/firmware/ipl";

/// How long the balloon may take.
const SOON: Duration = Duration::from_secs(200);

/// Starts a guest, lets `body` use it, and ends it.
fn with_guest(
    context: &Context,
    name: &str,
    resources: ResourceOptions,
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<()> {
    with_guest_of(context.saved()?, name, resources, body)
}

/// As [`with_guest`], with a guest of any saved system.
pub(super) fn with_guest_of(
    saved: &SavedSystem,
    name: &str,
    resources: ResourceOptions,
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<()> {
    let mut guest = saved.ipl(name, resources)?;
    let result = body(&mut guest).and_then(|()| guest.check(false));
    Ok(result.map_err(|error| guest.failure(error))?)
}

fn a_guest_goes_on_behind_the_save_point_with_its_own_identity(context: &Context) -> Result<()> {
    let machine_id = "0123456789abcdef0123456789abcdef";
    let resources = ResourceOptions {
        hostname: Some("host-of-its-own".to_owned()),
        machine_id: Some(machine_id.to_owned()),
        parm: Some("systemd.unit=rescue.target".to_owned()),
        others: vec![("role".to_owned(), "test of resources".to_owned())],
    };
    with_guest(context, "identity", resources, |guest| {
        ensure_eq!(guest.read("/proc/sys/kernel/hostname")?, "host-of-its-own");
        let line = guest.read("/proc/cmdline")?;
        ensure!(
            line.contains(" savesys=") && line.ends_with(" systemd.unit=rescue.target"),
            "{line}"
        );
        for (key, value) in [
            ("guest", "identity"),
            ("machine_id", machine_id),
            ("role", "test of resources"),
        ] {
            ensure_eq!(guest.read(&format!("{IPL}/{key}"))?, value, "{key}");
        }
        ensure!(!guest.exists(&format!("{IPL}/seed"))?);
        ensure_eq!(guest.read("/sys/kernel/shared_kernel/name")?, "SAVED");
        Ok(())
    })
}

fn guests_of_one_system_have_nothing_secret_in_common(context: &Context) -> Result<()> {
    const GUESTS: usize = 4;
    let files = [
        "/proc/sys/kernel/random/uuid",
        "/proc/sys/kernel/random/boot_id",
        "/sys/firmware/ipl/machine_id",
        "/proc/sys/kernel/hostname",
    ];
    let mut seen = BTreeSet::new();
    for number in 0..GUESTS {
        with_guest(
            context,
            &format!("clone{number}"),
            ResourceOptions::default(),
            |guest| {
                for file in files {
                    seen.insert(guest.read(file)?);
                }
                let apart = guest.clock_error()?;
                ensure!(apart < 1.0, "the clock is {apart} s off");
                Ok(())
            },
        )?;
    }
    ensure_eq!(seen.len(), GUESTS * files.len(), "{seen:?}");
    Ok(())
}

fn text_and_read_only_data_stay_shared(context: &Context) -> Result<()> {
    const NAME: &str = "shared";
    let saved = context.saved()?;
    let nics = vec!["user,restrict=on".parse()?];
    let mut guest = saved.ipl_with_nics(NAME, ResourceOptions::default(), nics)?;
    battery::run(&mut guest, saved, context.kernel())?;
    ensure_eq!(guest.read("/sys/kernel/shared_kernel/written_pages")?, "0");
    let shared = saved.shared_range(NAME)?;
    ensure_eq!(shared.unshared_bytes(), 0);
    ensure!(shared.shared_bytes > MIB, "nothing of it is there");
    guest.check(false)
}

fn plugged_processors_and_memory_are_used(context: &Context) -> Result<()> {
    const NAME: &str = "larger";
    let saved = context.saved()?;
    let options = IplOptions {
        cpus: 4,
        memory_bytes: Some(MEMORY_BYTES + 512 * MIB),
        ..saved.options(NAME)?
    };
    let mut guest = saved.ipl_with(&options)?;
    guest.wait_until("all processors are online", |guest| {
        Ok(guest.read("/sys/devices/system/cpu/online")? == "0-3")
    })?;
    guest.wait_until("all memory is online", |guest| {
        Ok(guest.meminfo_kib("MemTotal")? > 900 << 10)
    })?;
    // One that was taken away on purpose stays away.
    guest.write("/sys/devices/system/cpu/cpu3/online", "0")?;
    guest.run("applet", &["hog", "600"])?;
    ensure_eq!(guest.read("/sys/devices/system/cpu/online")?, "0-2");
    ensure_eq!(saved.shared_range(NAME)?.unshared_bytes(), 0);
    guest.check(false)
}

fn plugged_disks_are_read_and_written(context: &Context) -> Result<()> {
    const TEXT: &str = "written by the guest";
    let saved = context.saved()?;
    let directory = tempfile::tempdir()?;
    let disk = |name: &str, size: u64, read_only: bool| -> Result<Disk> {
        let path = directory.path().join(name);
        File::create(&path)?.set_len(size)?;
        Ok(Disk { path, read_only })
    };
    let options = IplOptions {
        disks: vec![disk("data", MIB, false)?, disk("fixed", 2 * MIB, true)?],
        ..saved.options("disks")?
    };
    let mut guest = saved.ipl_with(&options)?;
    guest.wait_until("both disks are found", |guest| {
        Ok(guest.exists("/sys/block/vdb/size")?)
    })?;
    // Sizes are in sectors of 512 bytes; the names are given in the order of discovery.
    let [first, second] = ["vda", "vdb"].map(|name| guest.read(&format!("/sys/block/{name}/size")));
    let (data, fixed) = match (first?.as_str(), second?.as_str()) {
        ("2048", "4096") => ("vda", "vdb"),
        ("4096", "2048") => ("vdb", "vda"),
        other => bail!("sizes in sectors: {other:?}"),
    };
    ensure_eq!(guest.read(&format!("/sys/block/{data}/ro"))?, "0");
    ensure_eq!(guest.read(&format!("/sys/block/{fixed}/ro"))?, "1");
    // What is written is on the disk when the last one closes it.
    guest.write(&format!("/dev/{data}"), TEXT)?;
    let written = fs::read(directory.path().join("data"))?;
    ensure!(written.starts_with(TEXT.as_bytes()), "nothing is written");
    ensure!(guest.write(&format!("/dev/{fixed}"), TEXT).is_err());
    guest.check(false)
}

fn sixteen_guests_started_at_once_have_one_copy_of_the_kernel(context: &Context) -> Result<()> {
    const GUESTS: usize = 16;
    let saved = context.saved()?;
    let generation = saved.generation()?;
    let ranges = generation.manifest().ranges.iter();
    let mut shared = ranges.filter(|range| range.kind == SegmentType::Sr);
    let range = shared.next().context("there is no shared range")?;
    let file = range.file_name().context("it has no file")?;

    let mut guests = start_at_once(GUESTS, |number| {
        saved.ipl(&format!("together{number}"), ResourceOptions::default())
    })?;
    let mut sum = Sizes::default();
    for guest in &mut guests {
        guest.check(false)?;
        let usage = guest.machine().usage()?;
        let mut blocks = usage.blocks.iter();
        let block = blocks.find(|block| block.name == range.id());
        let sizes = block.context("a guest does not map it")?.sizes;
        ensure_eq!(sizes.anonymous_bytes + sizes.swap_bytes, 0);
        ensure!(sizes.rss_bytes > MIB, "a guest does not use it: {sizes:?}");
        sum += sizes;
    }
    // Each page counts in full in the one sum, and divided by those who map it in the other.
    let resident_bytes = Residency::of_file(&generation.path().join(file))?.resident_bytes;
    ensure!(
        sum.pss_bytes <= resident_bytes && sum.pss_bytes * GUESTS as u64 / 2 < sum.rss_bytes,
        "{resident_bytes} bytes of the file are there, and the guests map {sum:?}"
    );
    Ok(())
}

fn memory_of_a_guest_from_a_saved_system_comes_back(context: &Context) -> Result<()> {
    const SHRINK: u64 = 256 * MIB;
    with_guest(context, "balloon", ResourceOptions::default(), |guest| {
        context.saved()?.plug_balloon(guest, context.kernel())?;
        let size = guest.balloon()?;
        guest.run("applet", &["hog", "300"])?;
        // Until then the kernel keeps tens of MiB of what was freed as single pages on the lists of
        // its processor.
        thread::sleep(Duration::from_secs(10));
        let before = guest.host_bytes()?;
        guest.resize(size - SHRINK, SOON)?;
        let after = guest.host_bytes()?;
        let counters = guest.run("read", &["/sys/kernel/debug/cmm/counters"])?;
        ensure!(
            before.saturating_sub(after) >= SHRINK / 100 * 95,
            "the host had {} MiB and has {} MiB: {}",
            before / MIB,
            after / MIB,
            counters.lines.join(", ")
        );
        let said = guest.machine().report().stderr;
        ensure!(!said.contains("iscard"), "QEMU says: {said}");
        guest.resize(size, SOON)?;
        Ok(())
    })
}
