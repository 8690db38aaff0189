// SPDX-License-Identifier: GPL-2.0

//! The balloon: what the host gets, what the guest gets back, and when.

use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::dcss::errno;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_machine::options::Params;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        shrink_gives_memory_to_the_host_and_takes_it_back,
        without_a_reporting_queue_pages_go_one_by_one,
        pages_are_gathered_where_memory_is_scattered,
        the_sysctls_are_those_of_cmm,
        a_hog_gets_memory_back_before_anything_is_killed,
        a_hog_that_comes_while_memory_is_taken_survives,
        targets_out_of_reach_are_clamped_or_retried,
        a_target_that_never_rests_does_no_harm,
        the_host_gets_statistics,
        memory_with_balloon_pages_can_go_offline,
        the_device_can_be_unbound_bound_and_reset;
    BuiltInFast:
        either_driver_can_have_the_device,
        parameters_out_of_range_are_refused_or_clamped,
        ranges_of_a_saved_system_are_kept;
}

/// What the guests have.
const GUEST: u64 = 512 * MIB;
pub(super) const PAGE: u64 = 4096;

/// The blocks of memory, as the guest's kernel shows them.
const BLOCKS: &str = "/sys/devices/system/memory";

/// How long the guest may take for what needs no retry, and for what does.
pub(super) const SOON: Duration = Duration::from_secs(200);
pub(super) const LATER: Duration = Duration::from_secs(600);

/// How much longer a hog may take when its memory has to come back first.
const RETURNED: Duration = Duration::from_secs(1);

/// How long the host's memory may take to follow what the guest says.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Adds a device and, where it is a module, the driver.
fn with_balloon(context: &Context, mut options: Options, device: Params) -> Options {
    options.qemu_devices.push(device);
    if context.kernel().has("VIRTIO_CMM") {
        options
    } else {
        options.module(balloon::CMM)
    }
}

/// Adds a device that can be unplugged and reset, unlike those of the root complex.
pub(super) fn behind_a_port(context: &Context, mut options: Options) -> Options {
    let port = Params::new("pcie-root-port")
        .with("id", "port0")
        .with("chassis", "1");
    options.qemu_devices.push(port);
    with_balloon(context, options, balloon::device(true).with("bus", "port0"))
}

/// Starts a guest with the driver, and returns how much memory it has by what the device says.
pub(super) fn with_guest(
    context: &Context,
    options: &Options,
    reporting: bool,
    body: impl FnOnce(&mut Guest, u64) -> Result<()>,
) -> Result<()> {
    let options = with_balloon(context, options.clone(), balloon::device(reporting));
    context.guest(&options, |guest| {
        guest.load_cmm(context.kernel(), "")?;
        let size = guest.balloon()?;
        body(guest, size)
    })
}

/// Lets the guest write to so much memory that the host has to provide it.
fn touch(guest: &mut Guest, bytes: u64) -> Result<()> {
    guest.run("applet", &["hog", &(bytes / MIB).to_string()])?;
    Ok(())
}

fn shrink_gives_memory_to_the_host_and_takes_it_back(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        true,
        |guest, size| {
            give_and_take(guest, size)?;
            ensure!(guest.cmm_counter("reported_pages")? > guest.cmm_counter("inflated_pages")?);
            let blocks = guest.cmm_counter("reported_blocks")?;
            ensure!(
                guest.cmm_counter("reported_pages")? / blocks > 128,
                "{blocks} blocks are too many"
            );
            Ok(())
        },
    )
}

fn without_a_reporting_queue_pages_go_one_by_one(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        false,
        |guest, size| {
            give_and_take(guest, size)?;
            ensure_eq!(guest.cmm_counter("reported_pages")?, 0);
            ensure!(guest.cmm_counter("inflated_pages")? > 0);
            Ok(())
        },
    )
}

fn give_and_take(guest: &mut Guest, size: u64) -> Result<()> {
    let shrink = size / 2;
    touch(guest, size / 8 * 5)?;
    let before = guest.host_bytes()?;
    guest.resize(size - shrink, SOON)?;
    ensure_eq!(guest.vm_number("cmm_pages")?, shrink / PAGE);
    // Some of what is taken may never have been touched.
    wait_for_host(guest, before - shrink / 100 * 95)?;

    guest.resize(size, SOON)?;
    ensure_eq!(guest.vm_number("cmm_pages")?, 0);
    // The guest can use it again, and the host provides it again.
    touch(guest, size / 8 * 5)?;
    ensure!(guest.host_bytes()? > before - shrink / 10);
    Ok(())
}

fn pages_are_gathered_where_memory_is_scattered(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        true,
        |guest, size| {
            // An eighth is left in one piece; of the rest, every second page.
            let available = guest.meminfo_kib("MemAvailable")? / 1024;
            let held = (available / 8 * 7).to_string();
            guest.run("spawn-applet", &["holder", "fragment-memory", &held])?;
            let shrunk = guest.resize(size - available / 8 * 3 * MIB, SOON);
            let counters = guest
                .run("read", &["/sys/kernel/debug/cmm/counters"])?
                .lines;
            shrunk.with_context(|| counters.join(", "))?;
            ensure!(guest.cmm_counter("inflated_pages")? > 5000);
            ensure_eq!(guest.run("stop", &["holder"])?.text, "exit=0");
            guest.resize(size, SOON)?;
            Ok(())
        },
    )
}

/// Waits until the host has given so much memory up.
fn wait_for_host(guest: &mut Guest, at_most: u64) -> Result<()> {
    let start = Instant::now();
    loop {
        let bytes = guest.host_bytes()?;
        if bytes <= at_most {
            return Ok(());
        }
        ensure!(
            start.elapsed() < AT_ONCE,
            "the host still has {} MiB, not {} MiB",
            bytes / MIB,
            at_most / MIB
        );
    }
}

fn the_sysctls_are_those_of_cmm(context: &Context) -> Result<()> {
    with_guest(context, &Options::default(), true, |guest, size| {
        guest.write("/proc/sys/vm/cmm_pages", "5000\n")?;
        guest.wait_balloon(size - 5000 * PAGE, SOON)?;
        // The timed pool adds up, and gives back by itself.
        guest.write("/proc/sys/vm/cmm_timed_pages", "1000")?;
        guest.write("/proc/sys/vm/cmm_timed_pages", "0x3e8")?;
        guest.wait_balloon(size - 7000 * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, 5000);
        ensure_eq!(guest.vm_number("cmm_timed_pages")?, 2000);
        guest.write("/proc/sys/vm/cmm_timeout", "1500 1")?;
        ensure_eq!(guest.read("/proc/sys/vm/cmm_timeout")?, "1500 1");
        guest.wait_balloon(size - 5000 * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_timed_pages")?, 0);
        guest.write("/proc/sys/vm/cmm_pages", "0")?;
        guest.wait_balloon(size, SOON)?;
        for (file, text) in [
            ("cmm_pages", "-1"),
            ("cmm_pages", "10 pages"),
            ("cmm_timed_pages", "\n"),
            ("cmm_timeout", "10 x"),
            ("cmm_timeout", "10 1 junk"),
        ] {
            let refused = errno(guest.write(&format!("/proc/sys/vm/{file}"), text))?;
            ensure_eq!(refused, "EINVAL", "{file}: {text:?}");
        }
        ensure_eq!(guest.balloon()?, size);
        Ok(())
    })
}

fn a_hog_gets_memory_back_before_anything_is_killed(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        true,
        |guest, size| {
            // What is left is more than the floor, and less than the hog wants.
            let left = 96;
            let hog = (left + 96).to_string();
            let mut alone = Vec::new();
            for _ in 0..3 {
                alone.push(time_of_hog(guest, &hog)?);
            }
            let shrink = (guest.meminfo_kib("MemAvailable")? / 1024 - left) * MIB;
            let mut pressed = Vec::new();
            for _ in 0..3 {
                guest.resize(size - shrink, LATER)?;
                pressed.push(time_of_hog(guest, &hog)?);
            }
            let (pressed, alone) = (median(pressed), median(alone));
            let factor = if context.kernel().is_debug() { 5 } else { 1 };
            ensure!(
                pressed <= alone + RETURNED * factor,
                "{pressed:?} with a balloon, {alone:?} without"
            );
            ensure_eq!(guest.dmesg("Out of memory")?, Vec::<String>::new());
            let returned =
                guest.cmm_counter("oom_pages")? + guest.cmm_counter("reclaimed_pages")?;
            ensure!(returned > 0, "nothing was given back");
            // The target still stands.
            guest.wait_balloon(size - shrink, LATER)?;
            guest.resize(size, SOON)?;
            Ok(())
        },
    )
}

/// Lets a hog do its work, and returns how long that took.
fn time_of_hog(guest: &mut Guest, mib: &str) -> Result<Duration> {
    let start = Instant::now();
    let answer = guest.run("applet", &["hog", mib])?;
    ensure_eq!(answer.text, "exit=0");
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn a_hog_that_comes_while_memory_is_taken_survives(context: &Context) -> Result<()> {
    let options = Options::default().cpus(2).watch_leaks();
    with_guest(context, &options, true, |guest, size| {
        let available = guest.meminfo_kib("MemAvailable")? / 1024;
        let shrink = (available - 64) * MIB;
        let hog = (available / 2).to_string();
        for _ in 0..10 {
            guest.set_balloon(size - shrink)?;
            time_of_hog(guest, &hog)?;
            guest.resize(size, LATER)?;
        }
        ensure_eq!(guest.dmesg("Out of memory")?, Vec::<String>::new());
        let returned = guest.cmm_counter("oom_pages")? + guest.cmm_counter("reclaimed_pages")?;
        ensure!(returned > 0, "the hog has never met the balloon");
        Ok(())
    })
}

fn targets_out_of_reach_are_clamped_or_retried(context: &Context) -> Result<()> {
    with_guest(context, &Options::default(), true, |guest, size| {
        // QEMU refuses a guest of nothing; one mebibyte is out of reach too.
        guest.set_balloon(MIB)?;
        guest.wait_until("the guest stops at its floor", |guest| {
            Ok(guest.cmm_counter("stops_at_floor")? > 1)
        })?;
        ensure!(guest.meminfo_kib("MemAvailable")? > 8 << 10);
        // It is said once, whatever the number is, until the target is in reach again.
        let complaint = "more than the guest has";
        guest.write("/proc/sys/vm/cmm_pages", "18446744073709551615")?;
        ensure_eq!(guest.dmesg(complaint)?.len(), 1);
        guest.write("/proc/sys/vm/cmm_pages", "0")?;
        guest.write("/proc/sys/vm/cmm_pages", "18446744073709551615")?;
        ensure_eq!(guest.dmesg("SHRINK 18446744073709551615: ")?.len(), 1);
        ensure_eq!(guest.dmesg(complaint)?.len(), 2);
        guest.write("/proc/sys/vm/cmm_pages", "0")?;
        guest.wait_balloon(size, SOON)?;
        Ok(())
    })
}

fn a_target_that_never_rests_does_no_harm(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().cpus(2).watch_leaks(),
        true,
        |guest, size| {
            for round in 0..1000_u64 {
                // Neighbouring targets are far from each other.
                guest.set_balloon(size - round * 7919 % (size / 2 / MIB) * MIB)?;
            }
            guest.resize(size - 100 * MIB, LATER)?;
            ensure_eq!(guest.vm_number("cmm_pages")?, 100 * MIB / PAGE);
            guest.resize(size, SOON)?;
            ensure_eq!(guest.vm_number("cmm_pages")?, 0);
            Ok(())
        },
    )
}

fn the_host_gets_statistics(context: &Context) -> Result<()> {
    with_guest(context, &Options::default(), true, |guest, _size| {
        guest.poll_statistics()?;
        // The first answer is from the time of the boot, when the kernel still had its own start in
        // memory.
        guest.wait_until("the guest answers truly", |guest| {
            let total = guest.meminfo_kib("MemTotal")? << 10;
            Ok(guest.statistic("stat-total-memory")? == Some(total))
        })?;
        for name in [
            "stat-swap-in",
            "stat-swap-out",
            "stat-major-faults",
            "stat-minor-faults",
            "stat-free-memory",
            "stat-available-memory",
            "stat-disk-caches",
            "stat-oom-kills",
            "stat-alloc-stalls",
            "stat-async-scans",
            "stat-direct-scans",
            "stat-async-reclaims",
            "stat-direct-reclaims",
        ] {
            ensure!(guest.statistic(name)?.is_some(), "no {name}");
        }
        // It answers again and again.
        let asked = guest.cmm_counter("statistics")?;
        guest.wait_until("the host asks again", |guest| {
            Ok(guest.cmm_counter("statistics")? > asked + 1)
        })
    })
}

fn memory_with_balloon_pages_can_go_offline(context: &Context) -> Result<()> {
    let options = Options::default().append("movablecore=50%");
    with_guest(context, &options, true, |guest, size| {
        guest.resize(size - 300 * MIB, LATER)?;
        // The first one: in the last ones may be what firmware and the kernel's start have left.
        let block = first_movable_block(guest)?;
        guest.write(&format!("{BLOCKS}/{block}/state"), "offline")?;
        ensure!(guest.cmm_counter("offline_pages")? > 0, "no page was there");
        // Also what the worker is taking at that time is in the way.
        for round in 0..20 {
            guest.write(&format!("{BLOCKS}/{block}/state"), "online_movable")?;
            guest.set_balloon(size)?;
            guest.set_balloon(size - (200 + round) * MIB)?;
            guest.write(&format!("{BLOCKS}/{block}/state"), "offline")?;
        }
        guest.write("/proc/sys/vm/cmm_pages", "0")?;
        guest.wait_balloon(size, SOON)?;
        Ok(())
    })
}

/// Returns the block of memory with the lowest address that is in `ZONE_MOVABLE` only.
fn first_movable_block(guest: &mut Guest) -> Result<String> {
    let entries = guest.run("ls", &[BLOCKS])?.lines;
    let numbers = entries
        .iter()
        .filter_map(|entry| entry.strip_prefix("memory"));
    let mut numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    for number in numbers {
        let block = format!("memory{number}");
        if guest
            .read(&format!("{BLOCKS}/{block}/valid_zones"))?
            .starts_with("Movable")
        {
            return Ok(block);
        }
    }
    bail!("there is no movable block")
}

fn the_device_can_be_unbound_bound_and_reset(context: &Context) -> Result<()> {
    const DRIVER: &str = "/sys/bus/virtio/drivers/cmm";
    let options = behind_a_port(context, Options::default().watch_leaks());
    context.guest(&options, |guest| {
        guest.load_cmm(context.kernel(), "")?;
        let size = guest.balloon()?;
        let target = size - 100 * MIB;
        guest.resize(target, SOON)?;
        let reset = format!(
            "/sys/bus/pci/devices/{}/reset",
            guest.pci_address("virtio0")?
        );
        guest.write(&reset, "1")?;
        guest.wait_balloon(target, SOON)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, 100 * MIB / PAGE);
        for _ in 0..3 {
            guest.write(&format!("{DRIVER}/unbind"), "virtio0")?;
            ensure_eq!(guest.balloon()?, size);
            ensure!(!guest.exists("/proc/sys/vm/cmm_pages")?);
            guest.write(&format!("{DRIVER}/bind"), "virtio0")?;
            // The host still wants it.
            guest.wait_balloon(target, SOON)?;
        }
        Ok(())
    })
}

fn either_driver_can_have_the_device(context: &Context) -> Result<()> {
    let options = Options {
        qemu_devices: vec![balloon::device(true)],
        ..Options::default()
    };
    let options = options.module(balloon::CMM).module(balloon::VIRTIO_BALLOON);
    context.guest(&options, |guest| {
        let size = guest.balloon()?;
        for _ in 0..3 {
            for driver in [balloon::CMM, balloon::VIRTIO_BALLOON] {
                guest.load(context.kernel(), driver, "")?;
                guest.resize(size - 64 * MIB, SOON)?;
                guest.run("rmmod", &[driver])?;
                ensure_eq!(guest.balloon()?, size, "{driver} has left pages behind");
                guest.set_balloon(size)?;
            }
        }
        Ok(())
    })
}

fn parameters_out_of_range_are_refused_or_clamped(context: &Context) -> Result<()> {
    let options = Options {
        qemu_devices: vec![balloon::device(true)],
        ..Options::default()
    };
    context.guest(&options.module(balloon::CMM), |guest| {
        let size = guest.balloon()?;
        guest.load(context.kernel(), balloon::CMM, "keep=nonsense")?;
        ensure_eq!(guest.dmesg("keep: not a list of ranges")?.len(), 1);
        ensure!(!guest.exists("/proc/sys/vm/cmm_pages")?);
        guest.run("rmmod", &[balloon::CMM])?;

        guest.load(context.kernel(), balloon::CMM, "max_order=99 floor_mib=100")?;
        ensure_eq!(guest.dmesg("max_order=99: the largest is 10")?.len(), 1);
        guest.set_balloon(MIB)?;
        guest.wait_until("the guest stops at its floor", |guest| {
            Ok(guest.cmm_counter("stops_at_floor")? > 1)
        })?;
        let available = guest.meminfo_kib("MemAvailable")?;
        ensure!(available > 90 << 10, "{available} KiB are available");
        guest.resize(size, SOON)?;
        Ok(())
    })
}

/// What lies in read-only files of the host cannot be discarded.
fn ranges_of_a_saved_system_are_kept(context: &Context) -> Result<()> {
    let options = Options {
        qemu_devices: vec![balloon::device(true)],
        ..Options::default()
    };
    context.guest(&options.module(balloon::CMM), |guest| {
        let size = guest.balloon()?;
        // All but the last quarter.
        let keep = format!("keep=0-{:x}", GUEST / 4 * 3 - 1);
        guest.load(context.kernel(), balloon::CMM, &keep)?;
        guest.set_balloon(size - GUEST / 2)?;
        guest.wait_until("the guest finds no more pages", |guest| {
            let stops = guest.cmm_counter("stops_without_pages")?;
            Ok(stops + guest.cmm_counter("stops_at_floor")? > 1)
        })?;
        ensure!(guest.cmm_counter("refused_pages")? > 0);
        let held = guest.vm_number("cmm_pages")? * PAGE;
        ensure!(
            (GUEST / 16..=GUEST / 4).contains(&held),
            "{} MiB are held",
            held / MIB
        );
        guest.resize(size, SOON)?;
        Ok(())
    })
}
