// SPDX-License-Identifier: GPL-2.0

//! A guest in the foreground: started, connected to our standard streams, and ended.

use std::sync::atomic::AtomicUsize;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::Config;
use onecopy_machine::Error;
use onecopy_machine::Interrupt;
use onecopy_machine::Machine;
use onecopy_machine::Outcome;
use onecopy_machine::Tee;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;

use crate::terminal;
use crate::terminal::CtrlC;
use crate::terminal::Keyboard;

/// How often signals and the time limit are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How a guest in the foreground came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// QEMU ended.
    Machine(Outcome),
    /// The guest ran for as long as it was allowed to.
    Timeout(Duration),
    /// We were told to end it.
    Signal(usize),
}

/// Runs a guest until it ends, or until a signal or the time limit ends it.
pub(crate) fn run(config: &Config, tee: Tee, timeout: Option<Duration>) -> anyhow::Result<End> {
    let interrupt = watch_signals()?;
    let start = Instant::now();
    let mut machine = Machine::start_with(config, Some(tee))?;
    let _keyboard = Keyboard::take(CtrlC::Ours)?;
    terminal::forward_input(machine.console().clone())?;
    let limit = timeout.map(|timeout| Limit { start, timeout });
    attend(&mut machine, &interrupt, limit)
}

/// How long a guest may run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// When it was started.
    pub(crate) start: Instant,
    /// How long it may take from then on.
    pub(crate) timeout: Duration,
}

/// Waits for the end of a guest, or for a signal or the time limit, which ask for it.
///
/// In the last two cases the guest still runs, and ends with its machine.
pub(crate) fn attend(
    machine: &mut Machine,
    interrupt: &Interrupt,
    limit: Option<Limit>,
) -> anyhow::Result<End> {
    loop {
        match machine.wait(TICK) {
            Ok(outcome) => return Ok(End::Machine(outcome)),
            Err(Error::Timeout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(signal) = interrupt.signal() {
            return Ok(End::Signal(signal));
        }
        let over = limit.filter(|limit| limit.start.elapsed() >= limit.timeout);
        if let Some(limit) = over {
            return Ok(End::Timeout(limit.timeout));
        }
    }
}

/// From now on signals that ask us to end are an interrupt.
pub(crate) fn watch_signals() -> std::io::Result<Interrupt> {
    let received = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).unwrap_or_default();
        signal_hook::flag::register_usize(signal, Arc::clone(&received), number)?;
    }
    Ok(received.into())
}
