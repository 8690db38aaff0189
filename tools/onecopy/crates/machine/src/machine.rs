// SPDX-License-Identifier: GPL-2.0

//! A running guest.

mod connect;
mod handover;
mod place;
mod processor;
mod state;
mod talk;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use self::connect::accept;
use self::connect::explain;
use self::connect::listen;
use self::connect::start_failure;
pub(crate) use self::handover::check;
pub(crate) use self::handover::open_kvm;
use self::handover::Handover;
pub(crate) use self::handover::KVM;
pub use self::place::abandoned;
pub use self::place::remove_abandoned;
use self::place::Place;
pub use self::state::state_uri;
pub use self::state::Ram;
use crate::accounting;
use crate::config::Config;
use crate::config::Sockets;
use crate::confinement::Confinement;
use crate::console::Console;
use crate::console::Log;
use crate::console::Tee;
use crate::error::Error;
use crate::error::Report;
use crate::interrupt::Interrupt;
use crate::outcome::Outcome;
use crate::outcome::ShutdownReason;
use crate::process::Process;
use crate::qemu::Version;
use crate::qmp;
use crate::qmp::commands;
use crate::qmp::QmpError;
use crate::Result;

/// How long QEMU may take from its start until its monitor answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long QEMU may take for an ordinary monitor command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an interrupt is looked for.
const TICK: Duration = Duration::from_millis(100);

/// A QEMU process with one guest.
///
/// The process ends with this value, and when our process ends in any way at all.
// Fields are dropped in this order: the process first, its directory last.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    qmp: qmp::Client,
    console: Console,
    ended: Option<Outcome>,
    console_log: PathBuf,
    interrupt: Interrupt,
    confinement: Confinement,
    _place: Place,
}

impl Machine {
    /// Starts QEMU and waits until its monitor answers. The guest runs, unless the configuration
    /// asks for a paused one.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started or refuses its arguments; its own words are in the error. Also when
    /// the interrupt of the configuration comes, as in all other waits but [`Self::wait`].
    pub fn start(config: &Config) -> Result<Self> {
        Self::start_with(config, None)
    }

    /// Like [`Self::start`], and copies the console's output to `tee` as it comes.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(config: &Config, tee: Option<Tee>) -> Result<Self> {
        let place = Place::create(config.qemu.confinement().user.is_some());
        let place = place.map_err(Error::io("create a directory for the guest's sockets"))?;
        let console_log = config
            .console_log
            .clone()
            .unwrap_or_else(|| place.path().join("console.log"));
        let log = Log::create(&console_log, config.console_log_limit_bytes)
            .map_err(Error::io(format!("create {}", console_log.display())))?;
        let paths = [place.path().join("console"), place.path().join("qmp")];
        let [console_socket, qmp_socket] = [listen(&paths[0])?, listen(&paths[1])?];

        let config = &mut config.clone();
        let handover = Handover::prepare(config, place.path())?;
        let config = &*config;
        if let Some(user) = &config.qemu.confinement().user {
            for path in &paths {
                user.give(path)
                    .map_err(Error::io("give QEMU its sockets"))?;
            }
        }
        let sockets = Sockets {
            console: &paths[0],
            qmp: &paths[1],
            inherited: handover.inherited,
        };
        let mut command = config.qemu.command();
        command.args(config.arguments(sockets));
        handover.apply(&mut command);
        let mut process = Process::start(command)
            .map_err(Error::io(format!("start {}", config.qemu.path().display())))?;

        let interrupt = &config.interrupt;
        let doing = "connecting its console";
        let stream = accept(&console_socket, &mut process, interrupt, doing)
            .map_err(|error| explain(error, &config.qemu))?;
        let console = Console::attach(stream, log, tee).map_err(Error::io("read the console"))?;
        let doing = "connecting its monitor";
        let stream = accept(&qmp_socket, &mut process, interrupt, doing)?;
        let qmp = qmp::Client::negotiate(stream, START_TIMEOUT)
            .map_err(|error| start_failure(error, &mut process))?;
        handover.remove_copies()?;
        Ok(Self {
            process,
            qmp,
            console,
            ended: None,
            console_log,
            interrupt: config.interrupt.clone(),
            confinement: config.qemu.confinement().clone(),
            _place: place,
        })
    }

    /// Returns the process id of QEMU.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Returns where the console's output is being written.
    pub fn console_log(&self) -> &Path {
        &self.console_log
    }

    /// Returns the monitor, for commands that need a time limit of their own.
    pub fn qmp(&mut self) -> &mut qmp::Client {
        &mut self.qmp
    }

    /// Carries out a monitor command within 10 s.
    ///
    /// # Errors
    ///
    /// When QEMU refuses, ends, or does not answer; its last words are in the error.
    pub fn execute<C: qmp::Command>(&mut self, command: &C) -> Result<C::Ok> {
        let answer = self.qmp.execute(command, COMMAND_TIMEOUT);
        answer.map_err(|cause| {
            if matches!(cause, QmpError::Closed { .. }) {
                self.wait_for_last_words();
            }
            Error::Qmp {
                cause,
                report: Box::new(self.report()),
            }
        })
    }

    /// Returns how QEMU ended, or `None` while it runs.
    ///
    /// # Errors
    ///
    /// When the process cannot be watched.
    pub fn try_wait(&mut self) -> Result<Option<Outcome>> {
        self.poll_end(Duration::ZERO)
    }

    /// Waits until QEMU has ended by itself, usually because the guest switched itself off.
    ///
    /// # Errors
    ///
    /// When it still runs after `timeout`; it is left running.
    pub fn wait(&mut self, timeout: Duration) -> Result<Outcome> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            match self.poll_end(left)? {
                Some(outcome) => return Ok(outcome),
                None if left.is_zero() => {
                    return Err(Error::Timeout {
                        doing: "the guest".to_owned(),
                        waited: timeout,
                        report: Box::new(self.report()),
                    });
                }
                None => {}
            }
        }
    }

    /// Tells QEMU to quit, kills it if it does not within 10 s, and returns how it ended.
    ///
    /// # Errors
    ///
    /// When the process cannot be killed.
    pub fn quit(mut self) -> Result<Outcome> {
        // A monitor that does not answer any more is why there is a kill.
        let _ = self.qmp.execute(&commands::Quit {}, COMMAND_TIMEOUT);
        if let Some(outcome) = self.poll_end(COMMAND_TIMEOUT)? {
            return Ok(outcome);
        }
        self.kill()
    }

    /// Kills QEMU at once.
    ///
    /// # Errors
    ///
    /// When the process cannot be killed.
    pub fn kill(mut self) -> Result<Outcome> {
        let status = self.process.kill().map_err(Error::io("kill QEMU"))?;
        Ok(self.conclude(status))
    }

    /// Returns what the guest costs now, by range of its memory.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer or its mappings cannot be read.
    pub fn usage(&mut self) -> Result<accounting::Usage> {
        let answer = self.execute(&accounting::Usage::query())?;
        accounting::Usage::of_process(self.pid(), &answer)
            .map_err(Error::io("read the mappings of QEMU"))
    }

    /// Returns the version of the QEMU that runs.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn version(&mut self) -> Result<Version> {
        let found = self.execute(&commands::QueryVersion {})?.qemu;
        Ok(Version {
            major: found.major,
            minor: found.minor,
            micro: found.micro,
        })
    }

    /// Returns the board with its version, also if it was asked for by an alias such as `q35`.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn machine_type(&mut self) -> Result<String> {
        let found = self.execute(&commands::QomGet {
            path: "/machine".to_owned(),
            property: "type".to_owned(),
        })?;
        let name = found.as_str().unwrap_or_default();
        Ok(name.strip_suffix("-machine").unwrap_or(name).to_owned())
    }

    /// Returns the last words of QEMU and of the console.
    pub fn report(&mut self) -> Report {
        // First of all: once the process has ended, the words are complete.
        let outcome = self.poll_end(Duration::ZERO).ok().flatten();
        Report {
            stderr: self.process.stderr_tail(),
            console: self.console.tail(),
            outcome,
        }
    }

    /// Waits for the end of a process that has closed its sockets, which it does just before.
    fn wait_for_last_words(&mut self) {
        // If it does not end, there is nothing more to say.
        let _ = self.poll_end(COMMAND_TIMEOUT);
    }

    fn poll_end(&mut self, timeout: Duration) -> Result<Option<Outcome>> {
        if let Some(outcome) = &self.ended {
            return Ok(Some(outcome.clone()));
        }
        let status = self
            .process
            .wait(timeout)
            .map_err(Error::io("wait for QEMU"))?;
        Ok(status.map(|status| self.conclude(status)))
    }

    /// Collects what QEMU said before it ended.
    fn conclude(&mut self, status: std::process::ExitStatus) -> Outcome {
        self.qmp.drain(COMMAND_TIMEOUT);
        self.console.wait_for_end(COMMAND_TIMEOUT);
        let events = self.qmp.take_events();
        let shutdown = events.iter().rev().find(|event| event.name == "SHUTDOWN");
        let reason = shutdown
            .and_then(|event| event.data.get("reason")?.as_str())
            .map(ShutdownReason::from_qmp);
        let outcome = Outcome { status, reason };
        self.ended = Some(outcome.clone());
        outcome
    }
}
