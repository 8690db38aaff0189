// SPDX-License-Identifier: GPL-2.0

//! Messages to guests that do not listen, through devices that go away, and among garbage.

use std::io::BufRead;
use std::io::BufReader;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::smsg;
use onecopy_boot::smsg::bound;
use onecopy_boot::smsg::Channel;
use onecopy_boot::smsg::DRIVER;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::options::Params;
use onecopy_machine::qmp::commands;
use onecopy_system::smsg::SmsgError;

use super::cases;
use super::ensure_eq;
use super::smsg::root_port;
use super::smsg::with_channel;
use super::smsg::SENDER;
use crate::context::Context;

cases! {
    BuiltIn:
        garbage_does_not_keep_messages_from_being_understood,
        several_senders_at_once_all_get_their_answers,
        a_guest_that_does_not_run_does_not_answer,
        the_channel_can_be_unbound_bound_and_reset,
        a_channel_survives_suspending_to_ram,
        a_channel_can_be_unplugged_at_any_time,
        consoles_are_left_to_another_driver;
}

/// How long a sender waits for an answer that does not come.
const SHORT: Duration = Duration::from_secs(2);

/// A message that every guest refuses, in the same way, without anything else.
const QUESTION: &str = "NOBODY THERE";
const ENXIO: i32 = 6;

fn ensure_answers(channel: &Channel) -> Result<()> {
    ensure_eq!(channel.errno(SENDER, QUESTION)?, ENXIO);
    Ok(())
}

fn ensure_no_answer(channel: &Channel, text: &str) -> Result<()> {
    match channel.send_within(SENDER, text, SHORT) {
        Err(SmsgError::NoAnswer(_)) => Ok(()),
        other => bail!("{other:?} instead of no answer"),
    }
}

fn garbage_does_not_keep_messages_from_being_understood(context: &Context) -> Result<()> {
    with_channel(context, Options::default(), |_guest, channel| {
        for len in [1, 511, 512, 513, 4096, 65536] {
            channel.write_noise(len)?;
            ensure_answers(channel)?;
        }
        // What was left behind in the middle of a line is not the beginning of the next one.
        for start in [&b"1 VMRMSVM DCSS "[..], b"\0", b"x", &[b'a'; 1000]] {
            drop(channel.write(start)?);
            ensure_answers(channel)?;
        }
        // Each line is answered on its own, in order; a line that is too long, too.
        let long = "x".repeat(600);
        let lines =
            format!("\nA1 X Y\r\nA2 X Y\n\n-\nA3 X\nA4 {long}\nA5 X {long}\nA6 TOOLONGNAME Y\n");
        let stream = channel.write(lines.as_bytes())?;
        let mut answers = BufReader::new(stream).lines();
        for expected in [
            "A1 ERR 84 the message is not printable ASCII",
            "A2 ERR 6 no driver of the guest takes such messages",
            "A3 ERR 42 there is no message",
            "A4 ERR 90 the message is too long",
            "A5 ERR 90 the message is too long",
            "A6 ERR 22 a sender has 1 to 8 characters",
        ] {
            let answer = answers.next().transpose()?.unwrap_or_default();
            ensure_eq!(answer, expected);
        }
        Ok(())
    })
}

fn several_senders_at_once_all_get_their_answers(context: &Context) -> Result<()> {
    let options = Options::default().cpus(2);
    with_channel(context, options, |_guest, channel| {
        thread::scope(|scope| {
            let send = || (0..20).try_for_each(|_| ensure_answers(channel));
            let senders: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
            for sender in senders {
                match sender.join() {
                    Ok(sent) => sent?,
                    Err(_) => bail!("a sender has panicked"),
                }
            }
            Ok(())
        })
    })
}

fn a_guest_that_does_not_run_does_not_answer(context: &Context) -> Result<()> {
    with_channel(context, Options::default(), |guest, channel| {
        guest.machine().execute(&commands::Stop {})?;
        for _ in 0..4 {
            ensure_no_answer(channel, QUESTION)?;
        }
        guest.machine().execute(&commands::Cont {})?;
        ensure_answers(channel)
    })
}

fn the_channel_can_be_unbound_bound_and_reset(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let space = Layout::new("S")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let options = Options::default().space(&space);
    with_channel(context, options, |guest, channel| {
        let device = channel.wait(guest)?;
        for _ in 0..3 {
            guest.write(&format!("{DRIVER}/unbind"), &device)?;
            // A message that failed is not carried out later.
            ensure_no_answer(channel, "DCSS ATTACH A")?;
            guest.write(&format!("{DRIVER}/bind"), &device)?;
            ensure_answers(channel)?;
            ensure!(
                guest.attached()?.is_empty(),
                "an old message was carried out"
            );
        }
        let reset = format!("/sys/bus/pci/devices/{}/reset", guest.pci_address(&device)?);
        for _ in 0..3 {
            drop(channel.write(b"half a li")?);
            guest.write(&reset, "1")?;
            ensure_answers(channel)?;
        }
        Ok(())
    })
}

fn a_channel_survives_suspending_to_ram(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let mut options = Options::default().watch_leaks();
    options.qemu_devices.push(root_port());
    // QEMU does not stop the processor soon enough when such a guest switches itself off.
    let ended = context.running_guest(&options, |guest| {
        let channel = Channel::plug(guest, directory.path())?;
        ensure_answers(&channel)?;
        guest.run("spawn-applet", &["suspend", "suspend", "mem"])?;
        guest.wait_until("the guest sleeps", |guest| {
            let status = guest.machine().execute(&commands::QueryStatus {})?;
            Ok(status.status == "suspended")
        })?;
        ensure_no_answer(&channel, QUESTION)?;
        guest.machine().execute(&commands::SystemWakeup {})?;
        guest.wait_until("the guest goes on", |guest| {
            Ok(guest.console().contains("PM: suspend exit"))
        })?;
        ensure_eq!(guest.run("stop", &["suspend"])?.text, "exit=0");
        ensure_answers(&channel)
    });
    ended.map(drop)
}

fn a_channel_can_be_unplugged_at_any_time(context: &Context) -> Result<()> {
    with_channel(context, Options::default().cpus(2), |guest, channel| {
        // While messages travel.
        thread::scope(|scope| {
            let sender = scope.spawn(|| while ensure_answers(channel).is_ok() {});
            let gone = unplug(guest);
            // The last one is not answered, which takes its time.
            drop(sender.join());
            gone
        })?;
        ensure_no_answer(channel, QUESTION)
    })
}

fn unplug(guest: &mut Guest) -> Result<()> {
    thread::sleep(Duration::from_millis(500));
    guest.machine().execute(&commands::DeviceDel {
        id: smsg::ID.to_owned(),
    })?;
    guest.wait_until("the device is gone", |guest| Ok(bound(guest)?.is_none()))
}

fn consoles_are_left_to_another_driver(context: &Context) -> Result<()> {
    for device in [
        Params::new("virtio-serial-pci"),
        Params::new("virtio-serial-pci").with("max_ports", "1"),
    ] {
        let options = Options {
            qemu_devices: vec![device],
            ..Options::default()
        };
        context.guest(&options.watch_leaks(), |guest| {
            ensure_eq!(bound(guest)?, None);
            ensure!(guest.exists("/sys/bus/virtio/devices/virtio0")?);
            ensure!(!guest.exists("/sys/bus/virtio/devices/virtio0/driver")?);
            Ok(())
        })?;
    }
    Ok(())
}
