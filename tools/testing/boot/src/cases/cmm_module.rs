// SPDX-License-Identifier: GPL-2.0

//! The balloon's driver as a module: its parameters, and the other driver for its device.

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::space::MIB;

use super::cases;
use super::cmm::wait_for_stops;
use super::cmm::with_module;
use super::cmm::GUEST;
use super::cmm::PAGE;
use super::cmm::SOON;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltInFast:
        either_driver_can_have_the_device,
        parameters_out_of_range_are_refused_or_clamped,
        ranges_of_a_saved_system_are_kept;
}

fn either_driver_can_have_the_device(context: &Context) -> Result<()> {
    let options = with_module(balloon::device(true));
    let options = options.module(balloon::VIRTIO_BALLOON);
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
    let options = with_module(balloon::device(true));
    context.guest(&options, |guest| {
        let size = guest.balloon()?;
        guest.load(context.kernel(), balloon::CMM, "keep=nonsense")?;
        ensure_eq!(guest.dmesg("keep: not a list of ranges")?.len(), 1);
        ensure!(!guest.exists("/proc/sys/vm/cmm_pages")?);
        guest.run("rmmod", &[balloon::CMM])?;

        guest.load(context.kernel(), balloon::CMM, "max_order=99 floor_mib=100")?;
        ensure_eq!(guest.dmesg("max_order=99: the largest is 10")?.len(), 1);
        guest.set_balloon(MIB)?;
        wait_for_stops(guest, &["stops_at_floor"])?;
        let available = guest.meminfo_kib("MemAvailable")?;
        ensure!(available > 90 << 10, "{available} KiB are available");
        guest.resize(size, SOON)?;
        Ok(())
    })
}

/// What lies in read-only files of the host cannot be discarded.
fn ranges_of_a_saved_system_are_kept(context: &Context) -> Result<()> {
    let options = with_module(balloon::device(true));
    context.guest(&options, |guest| {
        let size = guest.balloon()?;
        // All but the last quarter.
        let keep = format!("keep=0-{:x}", GUEST / 4 * 3 - 1);
        guest.load(context.kernel(), balloon::CMM, &keep)?;
        guest.set_balloon(size - GUEST / 2)?;
        wait_for_stops(guest, &["stops_without_pages", "stops_at_floor"])?;
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
