// SPDX-License-Identifier: GPL-2.0

//! A saved system for tests: the real kernel, and an init of some instructions that echoes lines
//! and switches the guest off when one begins with `q`.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use onecopy_machine::Qemu;
use sha2::Digest;
use sha2::Sha256;

use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;

/// Where the build directory of a kernel with `CONFIG_SHARED_KERNEL` is said.
const KERNEL: &str = "ONECOPY_SHARED_KERNEL";

/// An executable that says "ready!", then echoes what it reads.
#[rustfmt::skip]
const INIT: [u8; 0x78 + 0x66] = [
    0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bits, little-endian
    2, 0, 62, 0, 1, 0, 0, 0, 0x78, 0, 0x40, 0, 0, 0, 0, 0,      // executable, entry behind headers
    64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,            // program headers at 64
    0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,           // one of 56 bytes
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,             // load, readable and executable
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,       // at 4 MiB
    0xde, 0, 0, 0, 0, 0, 0, 0, 0xde, 0, 0, 0, 0, 0, 0, 0,       // the whole file
    0, 0x10, 0, 0, 0, 0, 0, 0,
    0x48, 0x83, 0xec, 0x40,                                     // 00 sub rsp, 64
    0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,                         // 04 mov eax, 1; mov edi, 1
    0x48, 0x8d, 0x35, 0x4a, 0, 0, 0,                            // 0e lea rsi, [text]
    0xba, 7, 0, 0, 0, 0x0f, 0x05,                               // 15 mov edx, 7; syscall
    0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6,                   // 1c next: read(0, rsp, 64)
    0xba, 0x40, 0, 0, 0, 0x0f, 0x05,                            // 23
    0x85, 0xc0, 0x7e, 0xee,                                     // 2a test eax, eax; jle next
    0x80, 0x3c, 0x24, 0x71, 0x74, 0x13,                         // 2e cmp [rsp], 'q'; je off
    0x89, 0xc2, 0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,             // 34 write(1, rsp, eax)
    0x48, 0x89, 0xe6, 0x0f, 0x05, 0xeb, 0xd5,                   // 40 jmp next
    0xb8, 0xa9, 0, 0, 0, 0xbf, 0xad, 0xde, 0xe1, 0xfe,          // 47 off: reboot(magic ...
    0xbe, 0x69, 0x19, 0x12, 0x28, 0xba, 0xdc, 0xfe, 0x21, 0x43, // 51 ... magic2, POWER_OFF)
    0x0f, 0x05, 0xeb, 0xbd,                                     // 5b jmp next
    b'r', b'e', b'a', b'd', b'y', b'!', b'\n',                  // 5f text
];

/// Returns the kernel, or says why a test does not run.
pub(crate) fn kernel() -> Option<PathBuf> {
    let Some(directory) = std::env::var_os(KERNEL) else {
        eprintln!("skipped: {KERNEL} does not say where a shared kernel is");
        return None;
    };
    Qemu::find().map_err(skip).ok()?;
    let kernel = Path::new(&directory).join("arch/x86/boot/bzImage");
    assert!(kernel.exists(), "{} is missing", kernel.display());
    Some(kernel)
}

/// Returns the arguments that save the kernel as LX.
pub(crate) fn save_arguments<'a>(kernel: &'a Path, initrd: &'a Path) -> Vec<&'a str> {
    let [kernel, initrd] = [kernel, initrd].map(|path| path.to_str().unwrap());
    let mut arguments = vec!["savesys", "LX", "--kernel", kernel, "--initrd", initrd];
    arguments.extend(["--accel", "tcg"]);
    arguments
}

/// Writes an initial RAM file system with our init.
pub(crate) fn initrd(dir: &Dir) -> PathBuf {
    let mut archive = entry("init", 0o100_755, &INIT);
    archive.extend(entry("TRAILER!!!", 0, b""));
    dir.file("initrd", archive)
}

/// Makes an entry of a cpio archive, in the format "newc".
fn entry(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let numbers = [0, mode, 0, 0, 1, 0];
    let size = u32::try_from(content.len()).unwrap();
    let length = u32::try_from(name.len() + 1).unwrap();
    let mut header = String::from("070701");
    for number in numbers.into_iter().chain([size, 0, 0, 0, 0, length, 0]) {
        header.push_str(&format!("{number:08x}"));
    }
    let mut entry = header.into_bytes();
    entry.extend(name.as_bytes());
    entry.push(0);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

/// A directory with a saved system LX, all of whose guests end with it.
pub(crate) struct Host {
    pub(crate) dir: Dir,
}

impl Host {
    /// Saves the kernel, or says why a test does not run.
    pub(crate) fn new() -> Option<Self> {
        let kernel = kernel()?;
        let dir = Dir::new();
        let initrd = initrd(&dir);
        dir.ok(&save_arguments(&kernel, &initrd));
        Some(Self { dir })
    }

    /// Returns a path in the store's directory of LX.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path("store/systems/LX").join(name)
    }

    /// Changes the manifest of a generation as nobody but `savesys` should, and seals it again.
    pub(crate) fn forge_manifest(&self, generation: u64, old: &str, new: &str) {
        let path = self.file(&format!("{generation}/manifest.toml"));
        let text = fs::read_to_string(&path).unwrap();
        let (body, _) = text.rsplit_once("# sha256 = ").unwrap();
        let body = body.replace(old, new);
        let digest = Sha256::digest(&body);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::remove_file(&path).unwrap();
        fs::write(&path, format!("{body}# sha256 = {digest}\n")).unwrap();
    }

    /// Returns the processes that belong to guests: their QEMUs.
    pub(crate) fn emulators(&self) -> Vec<u32> {
        processes_with(&self.dir.path("run/guests"))
    }

    /// Returns the names of the guests that run and are ready.
    pub(crate) fn ready_guests(&self) -> Vec<String> {
        let ran = self.dir.run(&["query", "guests"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        // A guest that ends just now does not answer, and that is said on standard error.
        let rows = ran
            .stdout
            .lines()
            .skip(1)
            .filter(|row| row.contains(" running "));
        let names = rows.filter_map(|row| row.split_whitespace().next());
        names.map(str::to_owned).collect()
    }

    /// Waits until no guest is left.
    #[track_caller]
    pub(crate) fn wait_for_silence(&self) {
        wait_until("all guests end", || self.emulators().is_empty());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Ending QEMU ends its keeper, which has nothing else to do.
        for pid in self.emulators() {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap());
            let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL);
        }
    }
}
