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
        targets_out_of_reach_are_clamped_or_retried,
        a_target_that_never_rests_does_no_harm,
        the_host_gets_statistics,
        memory_with_balloon_pages_can_go_offline,
        the_device_can_be_unbound_bound_and_reset;
}

/// What the guests have.
pub(super) const GUEST: u64 = 512 * MIB;
pub(super) const PAGE: u64 = 4096;

/// The blocks of memory, as the guest's kernel shows them.
const BLOCKS: &str = "/sys/devices/system/memory";

/// How long the guest may take for what needs no retry, and for what does.
pub(super) const SOON: Duration = Duration::from_secs(200);
pub(super) const LATER: Duration = Duration::from_secs(600);

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

/// Waits until the driver has stopped more than once before its target, for one of these reasons.
pub(super) fn wait_for_stops(guest: &mut Guest, reasons: &[&str]) -> Result<()> {
    guest.wait_until("the driver stops before its target", |guest| {
        let mut stops = 0;
        for reason in reasons {
            stops += guest.cmm_counter(reason)?;
        }
        Ok(stops > 1)
    })
}

/// A guest with a device, and the driver in its initial file system: a module.
pub(super) fn with_module(device: Params) -> Options {
    let options = Options {
        qemu_devices: vec![device],
        ..Options::default()
    };
    options.module(balloon::CMM)
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

fn targets_out_of_reach_are_clamped_or_retried(context: &Context) -> Result<()> {
    with_guest(context, &Options::default(), true, |guest, size| {
        // QEMU refuses a guest of nothing; one mebibyte is out of reach too.
        guest.set_balloon(MIB)?;
        wait_for_stops(guest, &["stops_at_floor"])?;
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
