// SPDX-License-Identifier: GPL-2.0

//! The balloon and a host, or a device, that does not do its part.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_machine::qmp::commands;

use super::cases;
use super::cmm::behind_a_port;
use super::cmm::wait_for_stops;
use super::cmm::with_guest;
use super::cmm::with_module;
use super::cmm::LATER;
use super::cmm::PAGE;
use super::cmm::SOON;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        a_device_that_is_broken_is_given_up_at_once,
        the_machine_can_be_suspended_to_ram,
        the_device_can_be_unplugged,
        memory_of_contiguous_areas_is_left_alone;
    BuiltInFast:
        a_host_that_never_answers_is_given_up,
        the_host_can_be_told_of_pages_that_come_back,
        a_short_configuration_space_is_enough;
}

/// What the driver says, once, of a host that does not do its part.
const COMPLAINT: &str = "the host does not take pages anymore";

/// What the guest is asked for, in pages and bytes.
const PAGES: u64 = 64 * MIB / PAGE;
const BYTES: u64 = 64 * MIB;

/// How long the driver waits for the host, and how long its end may take then.
const HOST_TIMEOUT: Duration = Duration::from_secs(30);
const GIVEN_UP: Duration = Duration::from_secs(120);

/// Returns the file of the device's configuration space, as PCI has it.
fn pci_config(guest: &mut Guest) -> Result<String> {
    let address = guest.pci_address("virtio0")?;
    Ok(format!("/sys/bus/pci/devices/{address}/config"))
}

/// SHRINK by the guest's own administrator: the device may not be able to ask.
fn shrink(guest: &mut Guest, pages: u64) -> Result<()> {
    guest.write("/proc/sys/vm/cmm_pages", &pages.to_string())?;
    Ok(())
}

fn wait_for_complaint(guest: &mut Guest) -> Result<()> {
    guest.wait_until("the driver gives up", |guest| {
        Ok(!guest.dmesg(COMPLAINT)?.is_empty())
    })
}

/// The driver holds nothing, says nothing more, and tries no more.
fn ensure_given_up(guest: &mut Guest) -> Result<()> {
    for pages in [PAGES * 2, PAGES] {
        shrink(guest, pages)?;
        let stops = guest.cmm_counter("stops_by_host")?;
        guest.wait_until("the driver looks at the target", |guest| {
            Ok(guest.cmm_counter("stops_by_host")? > stops)
        })?;
    }
    ensure_eq!(guest.vm_number("cmm_pages")?, 0);
    ensure_eq!(guest.dmesg(COMPLAINT)?.len(), 1);
    Ok(())
}

fn a_host_that_never_answers_is_given_up(context: &Context) -> Result<()> {
    let options = Options::default().module(balloon::CMM);
    with_guest(context, &options, true, |guest, size| {
        let config = pci_config(guest)?;
        let free = guest.meminfo_kib("MemFree")?;
        guest.run("bus-master", &[&config, "off"])?;
        let start = Instant::now();
        shrink(guest, PAGES)?;
        wait_for_complaint(guest)?;
        // It has waited, and not for ever.
        ensure!(start.elapsed() >= HOST_TIMEOUT / 2);
        ensure_given_up(guest)?;
        // What the host may still have does not come back before the device is reset.
        ensure!(guest.meminfo_kib("MemFree")? < free - BYTES / 1024 / 2);

        let start = Instant::now();
        guest.run("rmmod", &[balloon::CMM])?;
        ensure!(start.elapsed() < GIVEN_UP);
        ensure!(guest.meminfo_kib("MemFree")? > free - BYTES / 1024 / 2);
        ensure_eq!(guest.meminfo_kib("Balloon")?, 0);

        guest.run("bus-master", &[&config, "on"])?;
        guest.load(context.kernel(), balloon::CMM, "")?;
        guest.resize(size - BYTES, SOON)?;
        guest.resize(size, SOON)?;
        Ok(())
    })
}

fn a_device_that_is_broken_is_given_up_at_once(context: &Context) -> Result<()> {
    with_guest(
        context,
        &Options::default().watch_leaks(),
        true,
        |guest, size| {
            guest.resize(size - BYTES, SOON)?;
            let config = pci_config(guest)?;
            guest.run("break-device", &[&config])?;
            let start = Instant::now();
            shrink(guest, PAGES * 2)?;
            wait_for_complaint(guest)?;
            ensure!(start.elapsed() < HOST_TIMEOUT / 2);
            // What it holds comes back all the same.
            shrink(guest, 0)?;
            guest.wait_until("the pages come back", |guest| {
                Ok(guest.vm_number("cmm_pages")? == 0)
            })?;
            ensure_given_up(guest)?;
            let driver = "/sys/bus/virtio/drivers/cmm";
            guest.write(&format!("{driver}/unbind"), "virtio0")?;
            guest.write(&format!("{driver}/bind"), "virtio0")?;
            guest.wait_balloon(size - BYTES, SOON)?;
            guest.resize(size, SOON)?;
            Ok(())
        },
    )
}

fn the_machine_can_be_suspended_to_ram(context: &Context) -> Result<()> {
    let options = behind_a_port(context, Options::default().watch_leaks());
    // QEMU does not stop the processor soon enough when such a guest switches itself off: its
    // kernel finds that the sleep is over already, as it was when it resumed.
    let ended = context.running_guest(&options, |guest| {
        guest.load_cmm(context.kernel(), "")?;
        let size = guest.balloon()?;
        guest.resize(size - BYTES, SOON)?;
        guest.run("spawn-applet", &["suspend", "suspend", "mem"])?;
        guest.wait_until("the guest sleeps", |guest| {
            let status = guest.machine().execute(&commands::QueryStatus {})?;
            Ok(status.status == "suspended")
        })?;
        // What a guest holds that does nothing, nobody could give back.
        ensure_eq!(guest.balloon()?, size);
        guest.machine().execute(&commands::SystemWakeup {})?;
        // What is said to the guest before its serial lines work again, is lost.
        guest.wait_until("the guest goes on", |guest| {
            Ok(guest.console().contains("PM: suspend exit"))
        })?;
        ensure_eq!(guest.run("stop", &["suspend"])?.text, "exit=0");
        guest.wait_balloon(size - BYTES, SOON)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, PAGES);
        guest.resize(size, SOON)?;
        Ok(())
    });
    ended.map(drop)
}

fn the_device_can_be_unplugged(context: &Context) -> Result<()> {
    let options = behind_a_port(context, Options::default().watch_leaks());
    context.guest(&options, |guest| {
        guest.load_cmm(context.kernel(), "")?;
        let size = guest.balloon()?;
        guest.resize(size - BYTES, SOON)?;
        let free = guest.meminfo_kib("MemFree")?;
        // While pages travel, too.
        guest.set_balloon(size - 3 * BYTES)?;
        guest.machine().execute(&commands::DeviceDel {
            id: balloon::ID.to_owned(),
        })?;
        guest.wait_until("the device is gone", |guest| {
            Ok(!guest.exists("/proc/sys/vm/cmm_pages")?)
        })?;
        ensure_eq!(guest.meminfo_kib("Balloon")?, 0);
        let now = guest.meminfo_kib("MemFree")?;
        ensure!(
            now > free + BYTES / 1024 / 2,
            "{now} KiB are free, {free} were with the balloon"
        );
        Ok(())
    })
}

fn memory_of_contiguous_areas_is_left_alone(context: &Context) -> Result<()> {
    let options = Options::default().append("cma=64M");
    with_guest(context, &options, true, |guest, size| {
        let reserved = guest.dmesg("cma: Reserved 64 MiB at ")?;
        let start = reserved.iter().find_map(|line| line.split_once(" at 0x"));
        let (_, start) = start.context("no contiguous area")?;
        let area = u64::from_str_radix(start.trim(), 16)? / PAGE;
        let available = guest.meminfo_kib("MemAvailable")? << 10;
        // More than there is elsewhere.
        guest.set_balloon(size - (available / MIB - 32) * MIB)?;
        wait_for_stops(guest, &["stops_without_pages", "stops_at_floor"])?;
        ensure!(guest.cmm_counter("refused_pages")? > 0);
        ensure_eq!(guest.offline_pages(area, 64 * MIB / PAGE)?, 0);
        // The count sees the pages that were taken elsewhere.
        ensure!(guest.offline_pages(0, area)? > 0);
        shrink(guest, 0)?;
        guest.wait_balloon(size, LATER)?;
        Ok(())
    })
}

fn the_host_can_be_told_of_pages_that_come_back(context: &Context) -> Result<()> {
    let options = with_module(balloon::device(false));
    context.guest(&options, |guest| {
        let size = guest.balloon()?;
        for parameters in ["", "tell_host=1"] {
            guest.load(context.kernel(), balloon::CMM, parameters)?;
            guest.resize(size - BYTES, SOON)?;
            guest.resize(size, SOON)?;
            let told = guest.cmm_counter("deflated_pages")?;
            let expected = if parameters.is_empty() { 0 } else { PAGES };
            ensure_eq!(told, expected, "{parameters}");
            guest.run("rmmod", &[balloon::CMM])?;
        }
        Ok(())
    })
}

/// A device without free page hints and page poison has eight bytes of configuration space.
fn a_short_configuration_space_is_enough(context: &Context) -> Result<()> {
    let short = balloon::device(true).with("page-poison", "off");
    let options = with_module(short);
    context.guest(&options, |guest| {
        guest.load_cmm(context.kernel(), "")?;
        let size = guest.balloon()?;
        guest.resize(size - BYTES, SOON)?;
        guest.resize(size, SOON)?;
        Ok(())
    })
}
