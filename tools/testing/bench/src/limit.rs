// SPDX-License-Identifier: GPL-2.0

//! The limit: a guest without an operating system, which does nothing but serve the balloon.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::Host;
use onecopy_machine::options;
use onecopy_machine::options::Params;
use onecopy_machine::qmp::commands;
use onecopy_machine::Config;
use onecopy_machine::Machine;

use crate::cmm::rate;
use crate::cmm::GUEST_MIB;
use crate::cmm::SHRINK_MIB;
use crate::cmm::TIMEOUT;
use crate::cmm::TOUCHED_MIB;
use crate::command::Options;

/// How often the host looks at what the guest says; as for other guests.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// QEMU's exit status when the guest ends with success: twice its code 0, plus 1.
const SUCCESS_STATUS: i32 = 1;

/// Starts the guest, lets it give memory back once, and returns at what rate, in MiB/s.
///
/// # Errors
///
/// When the guest was not built, or does not do it.
pub(crate) fn shrink(host: &Host, program: &Path) -> Result<f64> {
    let mut machine = start(host, program, &format!("touch={TOUCHED_MIB}M"))?;
    machine.wait_for_line("serving ", TIMEOUT)?;

    let size = machine.execute(&commands::QueryBalloon {})?.actual;
    let target = size - (SHRINK_MIB << 20);
    let start = Instant::now();
    machine.execute(&commands::Balloon { value: target })?;
    while machine.execute(&commands::QueryBalloon {})?.actual != target {
        ensure!(
            start.elapsed() < TIMEOUT,
            "the guest did not reach its target"
        );
        thread::sleep(POLL_INTERVAL);
    }
    let time = start.elapsed();
    machine.kill()?;
    Ok(rate(SHRINK_MIB, time))
}

/// Lets the guest check what it relies on in the device, and prints what it found: a line for each
/// check, and their sum.
///
/// # Errors
///
/// When a check fails, or the guest does not come to its end.
pub(crate) fn check_contract(options: &Options, program: &Path) -> Result<()> {
    let host = Host::find(options.accel)?;
    let mut machine = start(&host, program, "mode=check host=on")?;

    machine.wait_for_line("request balloon ", TIMEOUT)?;
    machine.execute(&commands::Balloon { value: 1 })?;
    machine.wait_for_line("request stats ", TIMEOUT)?;
    machine.execute(&commands::QomSet {
        path: balloon::OBJECT.to_owned(),
        property: balloon::POLLING.to_owned(),
        value: 1.into(),
    })?;
    let outcome = machine.wait(TIMEOUT)?;

    let console = machine.console().text();
    let said = |line: &&str| {
        line.starts_with("ok ") || line.starts_with("not ok ") || line.contains(" passed, ")
    };
    for line in console.lines().filter(said) {
        println!("{line}");
    }
    ensure!(
        outcome.status.code() == Some(SUCCESS_STATUS),
        "the guest ended with {outcome}:\n{console}"
    );
    Ok(())
}

/// Starts the guest.
fn start(host: &Host, program: &Path, append: &str) -> Result<Machine> {
    ensure!(
        program.is_file(),
        "{} is missing; make it with: make baremetal",
        program.display()
    );
    let mut config = Config::new(host.qemu.clone(), host.accel);
    config.memory_bytes = GUEST_MIB << 20;
    config.kernel = Some(options::Kernel {
        kernel: program.to_owned(),
        initrd: None,
        append: append.to_owned(),
    });
    config.add(&options::Device(balloon::device(true)));
    config.add(&options::Device(
        Params::new("isa-debug-exit")
            .with("iobase", "0xf4")
            .with("iosize", "1"),
    ));
    Ok(Machine::start(&config)?)
}
