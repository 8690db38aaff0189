// SPDX-License-Identifier: GPL-2.0

//! Messages to the drivers of a guest: what they do, and what is refused.

use std::time::Duration;

use anyhow::anyhow;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::dcss::node;
use onecopy_boot::smsg::Channel;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::options::Params;
use onecopy_system::smsg::Sender;
use onecopy_system::IplOptions;

use super::attach::ensure_works;
use super::cases;
use super::cmm::PAGE;
use super::cmm::SOON;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        messages_set_the_targets_of_the_balloon,
        messages_that_are_not_for_a_driver_or_not_from_its_sender_are_refused,
        messages_attach_and_detach_segments,
        a_guest_from_a_saved_system_takes_messages;
    BuiltInFast:
        an_empty_sender_lets_everybody_send;
    Module:
        messages_for_a_driver_that_is_gone_are_refused;
}

/// Whom drivers obey.
pub(super) const SENDER: &str = "VMRMSVM";

/// Numbers of errors, as the guest has them.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENAMETOOLONG: i32 = 36;

/// What a guest from a saved system is asked for, in pages.
const PAGES: u64 = 10_000;

/// Starts a guest with a channel, lets `body` use it, and switches it off.
pub(super) fn with_channel(
    context: &Context,
    mut options: Options,
    body: impl FnOnce(&mut Guest, &Channel) -> Result<()>,
) -> Result<()> {
    let directory = context.directory()?;
    options.qemu_devices.push(root_port());
    context.guest(&options.watch_leaks(), |guest| {
        let channel = Channel::plug(guest, directory.path())?;
        body(guest, &channel)
    })
}

/// Where a channel is plugged.
pub(super) fn root_port() -> Params {
    Params::new("pcie-root-port")
        .with("id", "port0")
        .with("chassis", "1")
}

/// As [`with_channel`], in a guest with a balloon; the driver of that gets `parameters`.
fn with_balloon(
    context: &Context,
    parameters: &str,
    body: impl FnOnce(&mut Guest, &Channel, u64) -> Result<()>,
) -> Result<()> {
    let mut options = Options::default();
    options.qemu_devices.push(balloon::device(true));
    if !context.kernel().has("VIRTIO_CMM") {
        options = options.module(balloon::CMM);
    }
    with_channel(context, options, |guest, channel| {
        guest.load_cmm(context.kernel(), parameters)?;
        let size = guest.balloon()?;
        body(guest, channel, size)
    })
}

fn messages_set_the_targets_of_the_balloon(context: &Context) -> Result<()> {
    with_balloon(context, "", |guest, channel, size| {
        channel.send(SENDER, "CMM SHRINK 5000")?;
        guest.wait_balloon(size - 5000 * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, 5000);
        // The timed pool adds up, and gives back by itself.
        channel.send(SENDER, "cmm\trelease  1000")?;
        channel.send(SENDER, " CMM RELEASE 0x3e8 ")?;
        guest.wait_balloon(size - 7000 * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_timed_pages")?, 2000);
        channel.send(SENDER, "CMM REUSE 1500 1")?;
        ensure_eq!(guest.read("/proc/sys/vm/cmm_timeout")?, "1500 1");
        guest.wait_balloon(size - 5000 * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_timed_pages")?, 0);
        // The last one counts, wherever it comes from.
        guest.resize(size - 8 * MIB, SOON)?;
        channel.send(SENDER, "CMM SHRINK 0")?;
        guest.wait_balloon(size, SOON)?;
        Ok(())
    })
}

fn messages_that_are_not_for_a_driver_or_not_from_its_sender_are_refused(
    context: &Context,
) -> Result<()> {
    with_balloon(context, "", |guest, channel, size| {
        for (sender, text, errno) in [
            ("ROOT", "CMM SHRINK 5000", EPERM),
            ("VMRMSVMX", "CMM SHRINK 5000", EPERM),
            (SENDER, "CMM SHRINK", EINVAL),
            (SENDER, "CMM SHRINK 5000 pages", EINVAL),
            (SENDER, "CMM SHRINK -1", EINVAL),
            (SENDER, "CMM REUSE 5000", EINVAL),
            (SENDER, "CMM GROW 1", EINVAL),
            (SENDER, "CMM", EINVAL),
            (SENDER, "CMMSHRINK 5000", ENXIO),
            (SENDER, "SHRINK 5000", ENXIO),
            ("ROOT", "DCSS ATTACH A", EPERM),
        ] {
            ensure_eq!(channel.errno(sender, text)?, errno, "{sender}: {text}");
        }
        for name in ["cmm_pages", "cmm_timed_pages"] {
            ensure_eq!(guest.vm_number(name)?, 0);
        }
        ensure_eq!(guest.balloon()?, size);
        // It works all the same.
        channel.send("vmrmsvm", "CMM SHRINK 100")?;
        guest.wait_balloon(size - 100 * PAGE, SOON)?;
        Ok(())
    })
}

fn an_empty_sender_lets_everybody_send(context: &Context) -> Result<()> {
    with_balloon(context, "sender=", |guest, channel, size| {
        channel.send("ROOT", "CMM SHRINK 100")?;
        guest.wait_balloon(size - 100 * PAGE, SOON)?;
        guest.run("rmmod", &[balloon::CMM])?;
        ensure_eq!(channel.errno("ROOT", "CMM SHRINK 100")?, ENXIO);
        guest.load_cmm(context.kernel(), "sender=op1")?;
        ensure_eq!(channel.errno(SENDER, "CMM SHRINK 100")?, EPERM);
        channel.send("OP1", "CMM SHRINK 100")?;
        Ok(())
    })
}

fn messages_attach_and_detach_segments(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .member("B", SegmentType::Sr, 2 * MIB)
        .member("C", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default().space(&space);
    with_channel(context, options, |guest, channel| {
        channel.send(SENDER, "DCSS ATTACH a")?;
        ensure_eq!(guest.attached()?, ["A"]);
        ensure_works(guest, &space, "A")?;
        channel.send(SENDER, "DCSS ATTACH B:C")?;
        ensure_eq!(guest.attached()?, ["A", "B"]);
        guest.run("open", &["slot", "r", &node("A")])?;
        for (text, errno) in [
            ("DCSS ATTACH A", EEXIST),
            ("DCSS ATTACH X", ENOENT),
            ("DCSS ATTACH", EINVAL),
            ("DCSS ATTACH NINELONGX", ENAMETOOLONG),
            ("DCSS ATTACH A B", EINVAL),
            ("DCSS DETACH A", EBUSY),
            ("DCSS DETACH C", ENODEV),
            ("DCSS DETACH", EINVAL),
            ("DCSS REMOVE A", EINVAL),
        ] {
            ensure_eq!(channel.errno(SENDER, text)?, errno, "{text}");
        }
        ensure_eq!(guest.attached()?, ["A", "B"]);
        guest.run("close", &["slot"])?;
        channel.send(SENDER, "DCSS DETACH A")?;
        channel.send(SENDER, "DCSS DETACH B")?;
        ensure!(guest.attached()?.is_empty());
        Ok(())
    })
}

fn messages_for_a_driver_that_is_gone_are_refused(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default().space(&space).module("dcss");
    with_channel(context, options, |guest, channel| {
        for _ in 0..3 {
            ensure_eq!(channel.errno(SENDER, "DCSS ATTACH A")?, ENXIO);
            guest.load(context.kernel(), "dcss", "")?;
            channel.send(SENDER, "DCSS ATTACH A")?;
            ensure_eq!(guest.attached()?, ["A"]);
            channel.send(SENDER, "DCSS DETACH A")?;
            guest.run("rmmod", &["dcss"])?;
        }
        Ok(())
    })
}

fn a_guest_from_a_saved_system_takes_messages(context: &Context) -> Result<()> {
    const NAME: &str = "told";
    const TIMEOUT: Duration = Duration::from_secs(60);
    let saved = context.saved()?;
    let mut guest = saved.ipl_with(&IplOptions {
        balloon: true,
        smsg: true,
        ..saved.options(NAME)?
    })?;
    let mut body = || -> Result<()> {
        saved.load_balloon(&mut guest, context.kernel())?;
        let running = saved.running(NAME)?;
        let send = |text: &str| -> Result<()> {
            Ok(running.smsg(&Sender::default(), &text.parse()?, TIMEOUT)?)
        };
        let size = guest.balloon()?;
        send(&format!("CMM SHRINK {PAGES}"))?;
        guest.wait_balloon(size - PAGES * PAGE, SOON)?;
        ensure_eq!(guest.vm_number("cmm_pages")?, PAGES);
        // The device has the same target, which is all that a driver knows that begins anew.
        begin_anew(&mut guest)?;
        guest.wait_balloon(size - PAGES * PAGE, SOON)?;
        send("CMM RELEASE 1000")?;
        guest.wait_balloon(size - (PAGES + 1000) * PAGE, SOON)?;
        send("CMM REUSE 1000 1")?;
        guest.wait_balloon(size - PAGES * PAGE, SOON)?;
        send("CMM SHRINK 0")?;
        guest.wait_balloon(size, SOON)?;
        guest.check(false)
    };
    let result = body();
    result.map_err(|error| anyhow!("{error:#}\n{}", guest.last_words()))
}

/// Takes the balloon from its driver, and gives it back.
fn begin_anew(guest: &mut Guest) -> Result<()> {
    const DRIVER: &str = "/sys/bus/virtio/drivers/cmm";
    let entries = guest.run("ls", &[DRIVER])?.lines;
    let device = entries.iter().find(|entry| entry.starts_with("virtio"));
    let device = device.context("no device")?;
    guest.write(&format!("{DRIVER}/unbind"), device)?;
    guest.write(&format!("{DRIVER}/bind"), device)?;
    Ok(())
}
