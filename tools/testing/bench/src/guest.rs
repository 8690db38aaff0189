// SPDX-License-Identifier: GPL-2.0

//! A guest of the demo: boots from the image, runs the job, and says what it found.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Kernel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use serde::Deserialize;

use crate::image::Image;
use crate::image::PROGRAMS;
use crate::paths::Paths;
use crate::tree::TreeDigest;

/// What each line of `guest/init.sh` to us begins with.
const PREFIX: &str = "onecopy-demo: ";

/// RAM of a guest.
const MEMORY_BYTES: u64 = 512 << 20;

/// How long a guest may take for one step, also under TCG on a busy host.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How a guest gets its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In place, from a segment.
    Segment,
    /// Through its page cache, from a virtio disk.
    Disk,
}

impl Way {
    /// Returns a short name for tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Segment => "dcss",
            Self::Disk => "blk",
        }
    }

    /// Returns the file of the image that the guest uses.
    pub(crate) fn file(self, image: &Image) -> &Path {
        match self {
            Self::Segment => &image.segment.path,
            Self::Disk => &image.disk,
        }
    }

    /// Returns the kernel parameters that make the image the root.
    fn parameters(self, image: &Image) -> String {
        match self {
            Self::Segment => {
                let name = image.name;
                format!("dcss.segments={name} root=/dev/dcss/{name} rootflags=dax=always demo.dax")
            }
            Self::Disk => "root=/dev/vda".to_owned(),
        }
    }
}

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
}

impl Setup<'_> {
    fn config(&self, way: Way, number: usize) -> Config {
        let name = format!("{}{number}", way.label());
        let console_log = self.paths.output.join(format!("{name}.console"));
        let mut config = Config::new(self.qemu.clone(), self.accel);
        config.name = name;
        config.memory_bytes = MEMORY_BYTES;
        config.console_log = Some(console_log);
        config.kernel = Some(Kernel {
            kernel: self.paths.kernel.image(),
            initrd: None,
            append: format!(
                "console=ttyS0 quiet panic=-1 rootfstype=erofs ro init=/{PROGRAMS}/init.sh {}",
                way.parameters(self.image)
            ),
        });
        match way {
            Way::Segment => config.segments.push(self.image.segment.clone()),
            Way::Disk => config.disks.push(Disk {
                path: self.image.disk.clone(),
                read_only: true,
            }),
        }
        config
    }
}

/// A guest that has done its job and waits.
#[derive(Debug)]
pub(crate) struct Guest {
    /// The machine.
    pub(crate) machine: Machine,
    /// Time from the start of QEMU to the first line of the first program.
    pub(crate) first_program: Duration,
    /// What the job has printed.
    pub(crate) result: JobResult,
}

impl Guest {
    /// Boots a guest and waits until it has done its job.
    ///
    /// # Errors
    ///
    /// When it does not come so far; also when a root on a segment is not mounted with DAX.
    pub(crate) fn boot(setup: &Setup<'_>, way: Way, number: usize) -> Result<Self> {
        let context = || format!("guest {number} on {}", way.label());
        let start = Instant::now();
        let mut machine = Machine::start(&setup.config(way, number)).with_context(context)?;
        expect(&mut machine, "first-program").with_context(context)?;
        let first_program = start.elapsed();
        let root = expect(&mut machine, "root").with_context(context)?;
        // The guest has looked at it too, but this is what all the figures hang on.
        let dax = root.split([' ', ',']).any(|word| word == "dax=always");
        ensure!(
            dax == (way == Way::Segment),
            "{}: root mounted as {root}",
            context()
        );
        let line = expect(&mut machine, "result").with_context(context)?;
        let result = serde_json::from_str(&line)
            .with_context(|| format!("{}: the job printed {line}", context()))?;
        expect(&mut machine, "idle").with_context(context)?;
        Ok(Self {
            machine,
            first_program,
            result,
        })
    }

    /// Asks the guest how many bytes of the files of its root are in its page cache.
    ///
    /// Asking changes the guest's memory, so it comes after everything else.
    pub(crate) fn file_cache_bytes(&mut self) -> Result<u64> {
        self.machine.send_line("file-cache")?;
        let answer = expect(&mut self.machine, "file-cache")?;
        let bytes = answer
            .split_once(' ')
            .and_then(|(_files, bytes)| bytes.trim().parse().ok());
        bytes.with_context(|| format!("the guest said {answer:?} about its page cache"))
    }

    /// Lets the guest switch itself off.
    pub(crate) fn power_off(mut self) -> Result<()> {
        self.machine.send_line("power-off")?;
        let outcome = self.machine.wait(TIMEOUT)?;
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
