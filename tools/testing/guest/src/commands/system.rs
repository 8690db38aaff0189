// SPDX-License-Identifier: GPL-2.0

//! The guest as a whole: `sleep`, `time`, `clock`, `getrandom`, `drop-caches`, and ends of several
//! kinds: `poweroff`, `restart`, `panic`.

use std::fs;
use std::process;
use std::thread;
use std::time::Duration;

use rustix::fs::sync;
use rustix::rand::getrandom as random_bytes;
use rustix::rand::GetRandomFlags;
use rustix::system::reboot;
use rustix::system::RebootCommand;
use rustix::time::clock_gettime;
use rustix::time::ClockId;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "sleep",
        arguments: "MILLISECONDS",
        run: sleep,
    },
    Command {
        name: "time",
        arguments: "",
        run: time,
    },
    Command {
        name: "clock",
        arguments: "",
        run: clock,
    },
    Command {
        name: "getrandom",
        arguments: "",
        run: getrandom,
    },
    Command {
        name: "drop-caches",
        arguments: "",
        run: drop_caches,
    },
    Command {
        name: "poweroff",
        arguments: "",
        run: poweroff,
    },
    Command {
        name: "restart",
        arguments: "",
        run: restart,
    },
    Command {
        name: "panic",
        arguments: "",
        run: panic,
    },
];

fn sleep(_session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    thread::sleep(Duration::from_millis(arguments.number()?));
    Ok(String::new())
}

/// Says the time since the kernel was started.
fn time(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let now = clock_gettime(ClockId::Monotonic);
    Ok(format!("seconds={}.{:09}", now.tv_sec, now.tv_nsec))
}

/// Says which time it is, in seconds since 1970.
fn clock(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let now = clock_gettime(ClockId::Realtime);
    Ok(format!("seconds={}.{:09}", now.tv_sec, now.tv_nsec))
}

/// Says 16 bytes of getrandom(2), in hexadecimal.
fn getrandom(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let mut bytes = [0; 16];
    // Up to 256 bytes come in one piece.
    random_bytes(&mut bytes[..], GetRandomFlags::empty())?;
    Ok(bytes.map(|byte| format!("{byte:02x}")).concat())
}

/// Empties the page cache and what the kernel keeps only to be fast.
fn drop_caches(
    _session: &mut Session,
    _arguments: &mut Arguments,
    _lines: &mut Lines<'_>,
) -> Result {
    sync();
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    Ok(String::new())
}

/// Switches the guest off; there is an answer only if that fails.
fn poweroff(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    sync();
    reboot(RebootCommand::PowerOff)?;
    Ok(String::new())
}

/// Resets the guest; there is an answer only if that fails.
fn restart(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    sync();
    reboot(RebootCommand::Restart)?;
    Ok(String::new())
}

/// Ends the first process, which no kernel survives.
fn panic(_session: &mut Session, _arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    process::exit(1)
}
