// SPDX-License-Identifier: GPL-2.0

//! A guest on its way to the save point.

use std::path::Path;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::Directory;
use onecopy_format::saved_kernel;
use onecopy_format::saved_kernel::Layout;
use onecopy_format::segment_space::Name;
use onecopy_machine::qmp::commands;
use onecopy_machine::Config;
use onecopy_machine::Interrupt;
use onecopy_machine::Machine;
use onecopy_machine::Ram;
use onecopy_machine::Version;

use crate::error::Error;
use crate::gate::Gate;
use crate::ranges::Range;
use crate::Result;

/// How often the gate is looked at.
const TICK: Duration = Duration::from_millis(2);

/// How long QEMU may take to write the state: some megabytes.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a kernel that refuses may take to say why on its console.
const REASON_TIMEOUT: Duration = Duration::from_secs(10);

/// What the machine of a template has turned out to be.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) board: String,
    pub(super) qemu: Version,
    pub(super) cpu_features: Vec<String>,
}

/// A template that runs.
#[derive(Debug)]
pub(super) struct Template {
    name: Name,
    machine: Machine,
    gate: Gate,
}

impl Template {
    /// Starts a template whose saved ranges are files in `directory`.
    pub(super) fn start(
        name: Name,
        config: &Config,
        layout: &Layout,
        ranges: &[Range],
        directory: &Directory,
    ) -> Result<Self> {
        Ok(Self {
            name,
            gate: open_gate(layout.gate, ranges, directory)?,
            machine: Machine::start(config)?,
        })
    }

    /// Waits until the kernel says that it can be saved.
    pub(super) fn wait_for_save_point(
        &mut self,
        timeout: Duration,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            interrupt.check()?;
            let state = self.gate_state()?;
            match state {
                Some(saved_kernel::Gate::Waiting) => return Ok(()),
                Some(saved_kernel::Gate::Refused) => {
                    // The gate is faster than the console. Without the reason this is said, too.
                    let reason = format!("{}: only ", self.name);
                    let _ = self.machine.wait_for_line(&reason, REASON_TIMEOUT);
                    return Err(self.error("its kernel refuses".to_owned()));
                }
                Some(saved_kernel::Gate::Left) => {
                    return Err(self.error("it has gone on, this host was too slow".to_owned()))
                }
                _ => {}
            }
            if let Some(outcome) = self.machine.try_wait()? {
                return Err(self.error(format!("it ended before the save point: {outcome}")));
            }
            if start.elapsed() >= timeout {
                return Err(Error::Late {
                    name: self.name,
                    has_kernel: state.is_some(),
                    waited: timeout,
                    report: Box::new(self.machine.report()),
                });
            }
            thread::sleep(TICK);
        }
    }

    /// Stops the template, lets what is saved of it go through the gate, writes its state, and
    /// ends it. Returns what its machine was.
    pub(super) fn save(mut self, state: &Path, protect: bool) -> Result<Found> {
        self.machine.execute(&commands::Stop {})?;
        let status = self.machine.execute(&commands::QueryStatus {})?.status;
        if status != "paused" {
            return Err(self.error(format!("it is {status} and not paused")));
        }
        // It may have lost its patience in the last moment.
        if self.gate_state()? != Some(saved_kernel::Gate::Waiting) {
            return Err(self.error("it has gone on, this host was too slow".to_owned()));
        }
        self.gate
            .open(protect)
            .map_err(Error::io("open the gate of", Path::new("the template")))?;
        self.machine
            .save_state(state, Ram::NotShared, STATE_TIMEOUT)?;
        let found = Found {
            board: self.machine.machine_type()?,
            qemu: self.machine.version()?,
            cpu_features: self.machine.cpu_features()?,
        };
        self.machine.quit()?;
        Ok(found)
    }

    fn gate_state(&self) -> Result<Option<saved_kernel::Gate>> {
        self.gate
            .state()
            .map_err(Error::io("read the gate of", Path::new("the template")))
    }

    fn error(&mut self, reason: String) -> Error {
        Error::SavePoint {
            name: self.name,
            reason,
            report: Box::new(self.machine.report()),
        }
    }
}

/// Opens the gate in the range that holds it.
pub(super) fn open_gate(gate: u64, ranges: &[Range], directory: &Directory) -> Result<Gate> {
    let holds = |range: &&Range| (range.start..range.end).contains(&gate);
    let range = ranges.iter().find(holds);
    let name = range.and_then(Range::file_name).unwrap_or_default();
    let file = directory.open_to_write(&name)?;
    let start = range.map_or(0, |range| range.start);
    Ok(Gate::new(file, gate - start))
}
