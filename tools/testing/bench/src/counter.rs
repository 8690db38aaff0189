// SPDX-License-Identifier: GPL-2.0

//! A guest with one processor whose instructions are counted, told what to do over a serial line.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::control;
use onecopy_boot::control::Answer;
use onecopy_boot::control::Control;
use onecopy_boot::control::Listener;
use onecopy_boot::initramfs::Archive;
use onecopy_boot::program;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Access;
use onecopy_machine::options::Chardev;
use onecopy_machine::options::Kernel;
use onecopy_machine::options::Serial;
use onecopy_machine::options::SocketEnd;
use onecopy_machine::Config;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use onecopy_machine::SegmentDevice;
use tempfile::TempDir;

use crate::image::Image;
use crate::paths::Paths;

/// How long the guest may take for one step: it executes some ten million instructions a second.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A running guest with the image as a segment and as a plain virtio-pmem device.
#[derive(Debug)]
pub(crate) struct Counter {
    machine: Machine,
    control: Control,
    _directory: TempDir,
}

impl Counter {
    /// Boots the guest with modules in its initramfs and waits until it takes commands.
    pub(crate) fn boot(
        qemu: &Qemu,
        paths: &Paths,
        image: &Image,
        modules: &[PathBuf],
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("onecopy-bench-")
            .tempdir()?;
        let initrd = directory.path().join("initramfs");
        fs::write(&initrd, initramfs(modules)?)?;
        let listener = Listener::bind(directory.path())?;
        let mut config = config(qemu, paths, image, initrd);
        let chardev = "control".to_owned();
        config.add(&Chardev {
            id: chardev.clone(),
            path: listener.path().to_owned(),
            end: SocketEnd::Client,
        });
        config.add(&Serial { chardev });
        let machine = Machine::start(&config)?;
        let control = listener
            .accept()
            .context("QEMU did not connect the second serial line")?;
        let mut counter = Self {
            machine,
            control,
            _directory: directory,
        };
        let ready = counter.control.wait_ready(TIMEOUT);
        counter.explain(ready)?;
        Ok(counter)
    }

    /// Tells the guest to do something.
    ///
    /// # Errors
    ///
    /// When it fails; the last words of the guest are in the error.
    pub(crate) fn run(&mut self, command: &str, arguments: &[&str]) -> Result<Answer> {
        let bytes: Vec<&[u8]> = arguments
            .iter()
            .map(|argument| argument.as_bytes())
            .collect();
        let answer = self.control.run(command, &bytes, TIMEOUT);
        self.explain(answer)
            .with_context(|| format!("{command} {}", arguments.join(" ")))
    }

    /// Loads a module of the initramfs.
    pub(crate) fn load(&mut self, module: &Path) -> Result<()> {
        self.run("insmod", &[&guest_path(module)]).map(drop)
    }

    /// Switches the guest off.
    pub(crate) fn power_off(mut self) -> Result<()> {
        match self.control.run("poweroff", &[], TIMEOUT) {
            Err(control::Error::Ended { .. }) => {}
            answer => drop(self.explain(answer)?),
        }
        let outcome = self.machine.wait(TIMEOUT)?;
        ensure!(
            outcome.is_clean_shutdown(),
            "the guest did not switch itself off: {outcome}"
        );
        Ok(())
    }

    fn explain<T>(&mut self, result: control::Result<T>) -> Result<T> {
        result.with_context(|| self.machine.report().to_string())
    }
}

/// Makes the first root file system: the program that is told what to do, and modules.
fn initramfs(modules: &[PathBuf]) -> Result<Vec<u8>> {
    let program = program::build()?;
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::default();
    for directory in ["/dev", "/proc", "/sys", "/tmp", "/modules"] {
        archive.directory(directory);
    }
    archive.character_device("/dev/console", 5, 1);
    archive.program("/init", &read(&program)?);
    for module in modules {
        archive.program(&guest_path(module), &read(module)?);
    }
    Ok(archive.finish())
}

fn config(qemu: &Qemu, paths: &Paths, image: &Image, initrd: PathBuf) -> Config {
    let mut config = Config::new(qemu.clone(), Accel::Tcg);
    config.name = "dcss-instructions".to_owned();
    config.console_log = Some(paths.output.join("dcss-instructions.console"));
    config.kernel = Some(Kernel {
        kernel: paths.kernel.image(),
        initrd: Some(initrd),
        append: format!(
            "console=ttyS0 onecopy_control=/dev/ttyS1 quiet panic=-1 dcss.segments={}",
            image.name
        ),
    });
    config.segments = vec![
        image.segment.clone(),
        SegmentDevice {
            path: image.disk.clone(),
            size_bytes: image.disk_bytes,
            access: Access::ReadOnly,
        },
    ];
    // Virtual time is the number of instructions executed; it does not wait for the host's.
    config.extra_args = ["-icount", "shift=0,sleep=off"].map(Into::into).to_vec();
    config
}

/// Returns where a module is in the initramfs.
fn guest_path(module: &Path) -> String {
    let name = module.file_name().unwrap_or_default();
    format!("/modules/{}", name.to_string_lossy())
}
