// SPDX-License-Identifier: GPL-2.0

//! A saved system for tests: the real kernel, and an init of some instructions.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use onecopy_machine::Qemu;
use sha2::Digest;
use sha2::Sha256;

use crate::init;
use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;

/// Where the build directory of a kernel with `CONFIG_SHARED_KERNEL` is said.
const KERNEL: &str = "ONECOPY_SHARED_KERNEL";

/// Returns the kernel, or says why a test does not run.
fn kernel() -> Option<PathBuf> {
    let Some(directory) = std::env::var_os(KERNEL) else {
        eprintln!("skipped: {KERNEL} does not say where a shared kernel is");
        return None;
    };
    Qemu::find().map_err(skip).ok()?;
    let kernel = Path::new(&directory).join("arch/x86/boot/bzImage");
    assert!(kernel.exists(), "{} is missing", kernel.display());
    Some(kernel)
}

/// Writes an initial RAM file system with our init.
fn initrd(dir: &Dir) -> PathBuf {
    let mut archive = entry("init", 0o100_755, &init::executable());
    for directory in ["sys", "proc"] {
        archive.extend(entry(directory, 0o040_755, b""));
    }
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

/// A directory for saved systems, all of whose guests end with it.
pub(crate) struct Host {
    pub(crate) dir: Dir,
    pub(crate) kernel: String,
    pub(crate) initrd: String,
}

impl Host {
    /// Returns one on which nothing is saved yet, or says why a test does not run.
    pub(crate) fn empty() -> Option<Self> {
        let kernel = kernel()?;
        let dir = Dir::new();
        let [kernel, initrd] = [kernel, initrd(&dir)].map(|path| path.to_str().unwrap().to_owned());
        Some(Self {
            dir,
            kernel,
            initrd,
        })
    }

    /// Saves the kernel as LX, or says why a test does not run.
    pub(crate) fn new() -> Option<Self> {
        let host = Self::empty()?;
        host.dir.ok(&host.save_arguments());
        Some(host)
    }

    /// Returns the arguments that save the kernel as LX.
    pub(crate) fn save_arguments(&self) -> Vec<&str> {
        let [kernel, initrd] = [self.kernel.as_str(), self.initrd.as_str()];
        let mut arguments = vec!["savesys", "LX", "--kernel", kernel, "--initrd", initrd];
        arguments.extend(["--accel", "tcg"]);
        arguments
    }

    /// Returns a path in the store's directory of LX.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path("store/systems/LX").join(name)
    }

    /// Changes the manifest of a generation of LX as nobody but `savesys` should, and seals it again.
    pub(crate) fn forge_manifest(&self, generation: u64, old: &str, new: &str) {
        self.forge_manifest_of("LX", generation, old, new);
    }

    /// As [`Self::forge_manifest`], of another system.
    pub(crate) fn forge_manifest_of(&self, name: &str, generation: u64, old: &str, new: &str) {
        let directory = self.dir.path("store/systems").join(name);
        let path = directory.join(format!("{generation}/manifest.toml"));
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

    /// Says something on the console of a guest, and returns what that says until it is silent.
    #[track_caller]
    pub(crate) fn say(&self, guest: &str, text: &str) -> String {
        let mut command = self.dir.command(&["console", guest]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns what a file in a guest holds, without white space at its end; nothing if a message of the
    /// kernel came in between.
    #[track_caller]
    pub(crate) fn content(&self, guest: &str, path: &str) -> Option<String> {
        let said = self.say(guest, &format!("c{path}\n")).replace('\r', "");
        // The terminal echoes the path.
        let (_, content) = said.split_once(&format!("c{path}\n"))?;
        Some(content.trim_end().to_owned())
    }

    /// Waits until no guest is left, and their keepers have cleaned up.
    #[track_caller]
    pub(crate) fn wait_for_silence(&self) {
        wait_until("all guests end", || {
            // Below the heading there are those whose keepers live.
            let listed = self.dir.run(&["query", "guests"]).stdout;
            self.emulators().is_empty() && listed.lines().count() == 1
        });
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
