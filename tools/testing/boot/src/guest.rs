// SPDX-License-Identifier: GPL-2.0

//! A running guest.

mod end;
mod options;
mod root;

use std::fs;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use onecopy_machine::Machine;
use onecopy_machine::Outcome;
use tempfile::TempDir;

pub use self::options::Host;
pub use self::options::Options;
pub use self::options::Pmem;
pub(crate) use self::options::APPEND;
pub(crate) use self::root::archive;
use crate::control;
use crate::control::Answer;
use crate::control::Control;
use crate::control::Listener;
use crate::kernel::Kernel;
use crate::report::complaints;

/// How long a guest may take until its first process answers, and for one command. A kernel that
/// checks itself gets several times as long.
const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);
const POWEROFF_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two looks at something that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running guest with our program as its first process.
///
/// Dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    owner: Owner,
    control: Control,
    factor: u32,
    _directory: Option<TempDir>,
}

/// What has the machine of a guest, and ends it.
#[derive(Debug)]
pub enum Owner {
    /// The guest has booted.
    Machine(Box<Machine>),
    /// The guest was started from a saved system.
    System(Box<onecopy_system::Guest>),
}

impl Owner {
    /// Returns the machine.
    pub fn machine(&mut self) -> &mut Machine {
        match self {
            Self::Machine(machine) => machine,
            Self::System(guest) => guest.machine(),
        }
    }
}

impl Guest {
    /// Starts a guest and waits until it takes commands.
    ///
    /// # Errors
    ///
    /// When it does not come up; the end of its console is in the error.
    pub fn start(host: &Host, kernel: &Kernel, options: &Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("onecopy-boot-").tempdir()?;
        let listener = Listener::bind(directory.path())?;
        let initrd = if options.no_initramfs {
            None
        } else {
            let path = directory.path().join("initramfs");
            fs::write(&path, archive(host, kernel, &options.modules)?)?;
            Some(path)
        };
        let config = options::config(host, kernel, options, initrd, listener.path());
        let machine = Machine::start(&config)?;
        let control = listener
            .accept()
            .context("QEMU did not connect the second serial line")?;
        let factor = kernel.factor();
        let mut guest = Self {
            _directory: Some(directory),
            ..Self::of(Owner::Machine(Box::new(machine)), control, factor)
        };
        let ready = guest.control.wait_ready(BOOT_TIMEOUT * factor);
        ready.map_err(|error| guest.not_up(error))?;
        Ok(guest)
    }

    /// A guest that runs already; `factor` is how much longer it may take for everything.
    pub(crate) fn of(owner: Owner, control: Control, factor: u32) -> Self {
        Self {
            owner,
            control,
            factor,
            _directory: None,
        }
    }

    /// Returns the line over which the guest takes commands.
    pub(crate) fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Tells the guest to do something.
    ///
    /// # Errors
    ///
    /// [`control::Error::Refused`] with the errno, or what else went wrong.
    pub fn run(&mut self, command: &str, arguments: &[&str]) -> control::Result {
        let arguments: Vec<&[u8]> = arguments
            .iter()
            .map(|argument| argument.as_bytes())
            .collect();
        self.run_bytes(command, &arguments)
    }

    /// Like [`Self::run`], with any bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn run_bytes(&mut self, command: &str, arguments: &[&[u8]]) -> control::Result {
        let timeout = COMMAND_TIMEOUT * self.factor;
        let answer = self.control.run(command, arguments, timeout);
        answer.map_err(|error| self.explain(error, false))
    }

    /// Returns the text of a file, without white space around it.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn read(&mut self, path: &str) -> control::Result<String> {
        Ok(self
            .run("read", &[path])?
            .lines
            .join("\n")
            .trim()
            .to_owned())
    }

    /// Writes to a file by one system call.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn write(&mut self, path: &str, text: &str) -> control::Result {
        self.run("write", &[path, text])
    }

    /// Whether there is something of that name.
    ///
    /// # Errors
    ///
    /// When the guest cannot say.
    pub fn exists(&mut self, path: &str) -> control::Result<bool> {
        match self.run("stat", &[path]) {
            Ok(_) => Ok(true),
            Err(control::Error::Refused(failure)) if failure.name == "ENOENT" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells the guest to do something that takes long or never ends, and waits for what its console says
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// When it answers at once, or does not say so within the time that a command may take.
    pub fn run_until(&mut self, command: &str, arguments: &[&str], said: &str) -> Result<()> {
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        let answer = self.control.run(command, &arguments, POLL_INTERVAL);
        if !matches!(answer, Err(control::Error::Timeout { .. })) {
            bail!("the guest has answered: {answer:?}");
        }
        let words = format!("the console says {said:?}");
        self.wait_until(&words, |guest| Ok(guest.console().contains(said)))
    }

    /// Waits until something is so.
    ///
    /// # Errors
    ///
    /// When it is not within the time that a command may take.
    pub fn wait_until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let timeout = COMMAND_TIMEOUT * self.factor;
        let start = Instant::now();
        while !is_so(self)? {
            if start.elapsed() > timeout {
                bail!("not within {} s: {what}", timeout.as_secs());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Returns the messages of the kernel that hold a text.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn dmesg(&mut self, text: &str) -> control::Result<Vec<String>> {
        Ok(self.run("dmesg", &[text])?.lines)
    }

    /// Returns how far the guest's wall clock is from the host's, in seconds: at least, since the
    /// answer takes its time.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn clock_error(&mut self) -> Result<f64> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH);
        let before = now()?.as_secs_f64();
        let answer = self.run("clock", &[])?;
        let after = now()?.as_secs_f64();
        let clock: f64 = answer.value("seconds").context("no time")?.parse()?;
        Ok((before - clock).max(clock - after).max(0.0))
    }

    /// Loads a module of the initramfs, after what it needs.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]; a dependency that is loaded already is no error.
    pub fn load(&mut self, kernel: &Kernel, name: &str, parameters: &str) -> Result<Answer> {
        let modules = kernel.module_with_dependencies(name)?;
        let (module, dependencies) = modules.split_last().context("no module")?;
        for dependency in dependencies {
            match self.run("insmod", &[&root::guest_path(dependency)]) {
                Err(control::Error::Refused(failure)) if failure.name == "EEXIST" => {}
                other => drop(other?),
            }
        }
        Ok(self.run("insmod", &[&root::guest_path(module), parameters])?)
    }

    /// Returns the machine, for the monitor and for accounting.
    pub fn machine(&mut self) -> &mut Machine {
        self.owner.machine()
    }

    /// Returns everything that the kernel has said on its console.
    pub fn console(&mut self) -> String {
        self.machine().console().text()
    }

    /// Fails if the kernel has complained, or has lost memory.
    ///
    /// # Errors
    ///
    /// With the reports of the kernel.
    pub fn check(&mut self, leaks: bool) -> Result<()> {
        if leaks {
            let answer = self.run("kmemleak", &[])?;
            if answer.value("leaks") != Some("0") {
                bail!("kernel memory was lost:\n{}", answer.lines.join("\n"));
            }
        }
        // The log is complete: the console may lose characters when the host is busy.
        ensure_no_complaints(&self.dmesg("")?.join("\n"))
    }

    /// Switches the guest off, and fails if its kernel has complained by then.
    ///
    /// # Errors
    ///
    /// With the reports of the kernel, or when the guest does not end.
    pub fn finish(mut self) -> Result<Outcome> {
        match self.run("poweroff", &[]) {
            Err(control::Error::Ended { .. }) => {}
            Ok(_) => bail!("the guest did not switch itself off"),
            Err(error) => return Err(error.into()),
        }
        let timeout = POWEROFF_TIMEOUT * self.factor;
        let outcome = self.machine().wait(timeout)?;
        // By now only the console can tell.
        ensure_no_complaints(&self.console())?;
        if !outcome.is_clean_shutdown() {
            bail!("the guest did not end as it should: {outcome}");
        }
        Ok(outcome)
    }
}

fn ensure_no_complaints(log: &str) -> Result<()> {
    let found = complaints(log);
    if !found.is_empty() {
        let excerpts: Vec<_> = found.into_iter().map(|found| found.excerpt).collect();
        bail!("the kernel complains:\n{}", excerpts.join("\n...\n"));
    }
    Ok(())
}
