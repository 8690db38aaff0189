// SPDX-License-Identifier: GPL-2.0

//! A guest of the demo: gets its root from the image, runs the job, and says what it found.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::saved;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Owner;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Kernel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use onecopy_system::IplOptions;
use onecopy_system::RangeUsage;
use onecopy_system::ResourceOptions;
use serde::Deserialize;

use crate::image::Image;
use crate::paths::Paths;
use crate::tree::TreeDigest;
use crate::way::Way;

/// What each line of `guest/init.sh` to us begins with.
const PREFIX: &str = "onecopy-demo: ";

/// RAM of a guest, the same in all ways.
const MEMORY_BYTES: u64 = saved::MEMORY_BYTES;

/// How long a guest may take for one step, also under TCG on a busy host.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What the job prints. Everything follows from the content of the root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobResult {
    /// Directories whose files were all read.
    pub(crate) directories: Vec<String>,
    /// Their number.
    pub(crate) files: u64,
    /// Their size.
    pub(crate) bytes: u64,
    /// Their digest.
    pub(crate) tree_sha256: String,
    /// Nodes in the syntax trees of the sources that were compiled.
    pub(crate) nodes: u64,
    /// Digest of the documents that were written about them.
    pub(crate) documents_sha256: String,
    /// Modules that were loaded.
    pub(crate) modules: u64,
}

impl JobResult {
    /// Returns what the host can compute too.
    pub(crate) fn tree(&self) -> TreeDigest {
        TreeDigest {
            files: self.files,
            bytes: self.bytes,
            sha256: self.tree_sha256.clone(),
        }
    }
}

/// What all guests of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Setup<'a> {
    /// The emulator.
    pub(crate) qemu: &'a Qemu,
    /// What executes the guests' code.
    pub(crate) accel: Accel,
    /// The kernel and the place for consoles.
    pub(crate) paths: &'a Paths,
    /// The root.
    pub(crate) image: &'a Image,
    /// The kernel that guests are started from without a boot.
    pub(crate) saved: Option<&'a SavedSystem>,
}

impl Setup<'_> {
    /// Starts a guest; it may not have come far then.
    fn start(&self, way: Way, name: &str) -> Result<Owner> {
        if way != Way::Ipl {
            let machine = Machine::start(&self.config(way, name))?;
            return Ok(Owner::Machine(Box::new(machine)));
        }
        let saved = self.saved.context("there is no saved system")?;
        let options = IplOptions {
            segments: vec![self.image.segment.clone()],
            resources: ResourceOptions {
                parm: Some(way.parameters(self.image)),
                ..ResourceOptions::default()
            },
            ..saved.options(name)?
        };
        let console = File::create(self.console_log(name))?;
        let guest = saved.start(&options, Some(Box::new(console)))?;
        Ok(Owner::System(Box::new(guest)))
    }

    fn console_log(&self, name: &str) -> PathBuf {
        self.paths.output.join(format!("{name}.console"))
    }

    fn config(&self, way: Way, name: &str) -> Config {
        let console_log = self.console_log(name);
        let mut config = Config::new(self.qemu.clone(), self.accel);
        config.name = name.to_owned();
        config.memory_bytes = MEMORY_BYTES;
        config.console_log = Some(console_log);
        config.kernel = Some(Kernel {
            kernel: self.paths.kernel.image(),
            initrd: None,
            append: format!(
                "console=ttyS0 quiet panic=-1 {}",
                way.parameters(self.image)
            ),
        });
        if way.is_dax() {
            config.segments.push(self.image.segment.clone());
        } else {
            config.disks.push(Disk {
                path: self.image.disk.clone(),
                read_only: true,
            });
        }
        config
    }
}

/// A guest that has done its job and waits.
#[derive(Debug)]
pub(crate) struct Guest {
    owner: Owner,
    name: String,
    /// Time from the decision to start it to the first line of the first program.
    pub(crate) first_program: Duration,
    /// What the job has printed.
    pub(crate) result: JobResult,
}

impl Guest {
    /// Starts a guest and waits until it has done its job.
    ///
    /// # Errors
    ///
    /// When it does not come so far; also when a root on a segment is not mounted with DAX.
    pub(crate) fn start(setup: &Setup<'_>, way: Way, number: usize) -> Result<Self> {
        let context = || format!("guest {number} on {}", way.label());
        let name = format!("{}{number}", way.label());
        let start = Instant::now();
        let mut owner = setup.start(way, &name).with_context(context)?;
        let machine = owner.machine();
        expect(machine, "first-program").with_context(context)?;
        let first_program = start.elapsed();
        let root = expect(machine, "root").with_context(context)?;
        // The guest has looked at it too, but this is what all the figures hang on.
        let dax = root.split([' ', ',']).any(|word| word == "dax=always");
        ensure!(dax == way.is_dax(), "{}: root mounted as {root}", context());
        let line = expect(machine, "result").with_context(context)?;
        let result = serde_json::from_str(&line)
            .with_context(|| format!("{}: the job printed {line}", context()))?;
        expect(machine, "idle").with_context(context)?;
        Ok(Self {
            owner,
            name,
            first_program,
            result,
        })
    }

    /// Returns the machine.
    pub(crate) fn machine(&mut self) -> &mut Machine {
        self.owner.machine()
    }

    /// Returns what the guest has of its saved kernel's text and read-only data, if it has such a
    /// kernel.
    pub(crate) fn kernel(&self, setup: &Setup<'_>) -> Option<Result<RangeUsage>> {
        match self.owner {
            Owner::Machine(_) => None,
            Owner::System(_) => Some(setup.saved?.shared_range(&self.name)),
        }
    }

    /// Asks the guest how many bytes of the files of its root are in its page cache.
    ///
    /// Asking changes the guest's memory, so it comes after everything else.
    pub(crate) fn file_cache_bytes(&mut self) -> Result<u64> {
        self.machine().send_line("file-cache")?;
        let answer = expect(self.machine(), "file-cache")?;
        let bytes = answer
            .split_once(' ')
            .and_then(|(_files, bytes)| bytes.trim().parse().ok());
        bytes.with_context(|| format!("the guest said {answer:?} about its page cache"))
    }

    /// Lets the guest switch itself off.
    pub(crate) fn power_off(mut self) -> Result<()> {
        self.machine().send_line("power-off")?;
        let outcome = self.machine().wait(TIMEOUT)?;
        ensure!(
            outcome.is_clean_shutdown(),
            "the guest did not switch itself off: {outcome}"
        );
        Ok(())
    }
}

/// Waits for the guest's next line, which must have this subject, and returns the rest of it.
///
/// Lines with the subject "meminfo" are for people who read the console.
fn expect(machine: &mut Machine, subject: &str) -> Result<String> {
    loop {
        let line = machine.wait_for_line(PREFIX, TIMEOUT)?;
        let said = line.split_once(PREFIX).map_or("", |(_, said)| said).trim();
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        match word {
            _ if word == subject => return Ok(rest.to_owned()),
            "meminfo" => {}
            "fail" => bail!("the guest gave up: {rest}{}", machine.report()),
            _ => bail!(
                "the guest said {said:?} instead of {subject:?}{}",
                machine.report()
            ),
        }
    }
}
