// SPDX-License-Identifier: GPL-2.0

//! The library against the real emulator and a real kernel.
//!
//! The build directory of a kernel with `CONFIG_SHARED_KERNEL` is in `ONECOPY_SHARED_KERNEL`.
//! Without that the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_machine::options::Accel;
use onecopy_machine::Interrupt;
use onecopy_machine::Qemu;
use onecopy_system::ipl;
use onecopy_system::save;
use onecopy_system::Error;
use onecopy_system::Guest;
use onecopy_system::Guests;
use onecopy_system::IplOptions;
use onecopy_system::Running;
use onecopy_system::SaveOptions;
use onecopy_system::Systems;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A second serial line, as a test of the guest's kernel may need.
const SERIAL: [&str; 2] = ["-serial", "null"];

/// A store and a run directory for one test.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    /// Saves the kernel as LX, with an init that cannot be executed.
    fn new(kernel: &Path) -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let initrd = host.directory.path().join("initrd");
        std::fs::write(&initrd, archive()).unwrap();
        let options = SaveOptions {
            name: "LX".parse().unwrap(),
            qemu: Qemu::find().unwrap(),
            accel: Accel::Tcg,
            cpu: None,
            kernel: kernel.to_owned(),
            initrd: Some(initrd),
            memory_bytes: 256 << 20,
            kernel_bytes: None,
            definition: None,
            group: None,
            append: None,
            protect: false,
            timeout: TIMEOUT,
            interrupt: Interrupt::default(),
            extra_args: arguments(&SERIAL),
        };
        save(&options, &host.systems()).unwrap();
        host
    }

    fn systems(&self) -> Systems {
        Systems::open(self.directory.path().join("store"))
    }

    fn guests(&self) -> Guests {
        Guests::open(self.directory.path().join("run"))
    }

    fn ipl(&self, extra_args: &[&str]) -> Result<Guest, Error> {
        let options = IplOptions {
            timeout: TIMEOUT,
            interrupt: Interrupt::default(),
            extra_args: arguments(extra_args),
            ..IplOptions::new("LX".parse().unwrap())
        };
        ipl(&options, &self.systems(), &self.guests(), None)
    }
}

/// Returns a cpio archive, in the format "newc", with an empty file `init`.
fn archive() -> String {
    let entry = |mode: u32, name: &str| {
        let length = name.len() + 1;
        let zeroes = |count: usize| "0".repeat(8 * count);
        let header = format!("070701{}{mode:08x}", zeroes(1));
        let mut entry = format!("{header}{}{length:08x}{}{name}\0", zeroes(9), zeroes(1));
        while entry.len() % 4 != 0 {
            entry.push('\0');
        }
        entry
    };
    entry(0o100_755, "init") + &entry(0, "TRAILER!!!")
}

fn arguments(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Returns the kernel as an ELF file, or says why a test does not run.
fn kernel() -> Option<PathBuf> {
    let directory = std::env::var_os("ONECOPY_SHARED_KERNEL");
    if directory.is_none() {
        eprintln!("skipped: ONECOPY_SHARED_KERNEL does not say where a shared kernel is");
    }
    Some(Path::new(&directory?).join("vmlinux"))
}

#[test]
fn a_guest_has_the_devices_of_its_template() {
    let Some(kernel) = kernel() else { return };
    let host = Host::new(&kernel);
    let guest = host.ipl(&SERIAL).unwrap();
    let name = guest.record().guest.clone();
    assert_eq!(host.guests().find(&name).unwrap(), *guest.record());
    assert!(guest.record().ready);
    guest.clean().unwrap();
    assert!(matches!(
        Running::find(&host.guests(), &name),
        Err(Error::NoGuest { .. })
    ));

    let error = host.ipl(&[]).unwrap_err().to_string();
    assert!(error.contains("serial"), "{error}");
    assert_eq!(host.guests().list().unwrap(), []);
}

#[test]
fn a_generation_that_was_replaced_goes_with_its_last_guest() {
    let Some(kernel) = kernel() else { return };
    let host = Host::new(&kernel);
    let name = "LX".parse().unwrap();
    let guests = [host.ipl(&SERIAL).unwrap(), host.ipl(&SERIAL).unwrap()];
    assert_eq!(host.systems().purge(name).unwrap().pending, [1]);
    let [first, last] = guests;
    first.clean().unwrap();
    assert_eq!(host.systems().generations(name).unwrap(), [1]);
    last.clean().unwrap();
    assert!(host.systems().generations(name).unwrap().is_empty());
}
