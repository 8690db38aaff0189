// SPDX-License-Identifier: GPL-2.0

//! The inner host: the guests' kernel on an emulated machine, with QEMU and our programs as its root
//! file system.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::fs::Permissions;
use std::io::stdout;
use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Host;
use onecopy_boot::Kernel;
use onecopy_machine::options;
use onecopy_machine::options::Accel;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Machine;

use super::squeeze::Ended;
use super::squeeze::RESULT;
use crate::image::Image;

/// Where the saved system is in the root file system.
const SAVED: &str = "squeeze";

/// What the inner host has.
const MEMORY_BYTES: u64 = 4 << 30;
const CPUS: u32 = 2;

/// How long everything in it may take: an emulator in an emulator.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// What its first program says at the end, before the exit status.
const ENDED: &str = "squeeze: ended with ";

/// The first program, and where it is.
const INIT: (&str, &str) = (
    "usr/bin/squeeze-host",
    include_str!("../../guest/squeeze-host.sh"),
);

/// The programs that it needs, beside QEMU and ours.
const PROGRAMS: [&str; 4] = ["bash", "cp", "mount", "sleep"];

/// Our programs, which were built together with this one.
const OURS: [&str; 2] = ["onecopy", "onecopy-bench"];

/// The firmware of QEMU's machines.
const FIRMWARE: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// Where file systems are mounted.
const MOUNT_POINTS: [&str; 4] = ["dev", "proc", "sys", "tmp"];

/// What Debian has links for.
const LINKS: [(&str, &str); 4] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
];

/// What is needed of the directory that a kernel was built in.
const KERNEL: [&str; 3] = [".config", "arch/x86/boot/bzImage", "modules"];

/// Runs the squeezes in an inner host, and returns how they have ended.
pub(super) fn run(host: &Host, kernel: &Kernel, output: &Path) -> Result<Vec<Ended>> {
    let tree = tempfile::tempdir_in(output)?;
    Tree(tree.path()).fill(host, kernel)?;
    save(&tree.path().join(SAVED), host, kernel)?;
    let image = Image::save("SQUEEZE", tree.path(), output)?;
    drop(tree);
    let said = boot(host, kernel, &image);
    image.remove(output)?;
    let said = said?;
    ensure!(
        said.contains(&format!("{ENDED}0")),
        "the squeezes have failed in the inner host"
    );
    let results = said.lines().filter_map(|line| line.split_once(RESULT));
    results
        .map(|(_, json)| Ok(serde_json::from_str(json.trim())?))
        .collect()
}

/// Saves what the guests are started from: the inner host would take minutes for that. It has no KVM.
fn save(directory: &Path, host: &Host, kernel: &Kernel) -> Result<()> {
    fs::create_dir(directory)?;
    let host = Host {
        accel: Accel::Tcg,
        ..host.clone()
    };
    let modules = [balloon::CMM.to_owned()];
    SavedSystem::save(directory, &host, kernel, &modules, false)?;
    Ok(())
}

/// Boots the inner host, and returns what it has said.
fn boot(host: &Host, kernel: &Kernel, image: &Image) -> Result<String> {
    let mut config = Config::new(host.qemu.clone(), host.accel);
    config.name = "squeeze".to_owned();
    config.cpus = CPUS;
    config.memory_bytes = MEMORY_BYTES;
    config.kernel = Some(options::Kernel {
        kernel: kernel.image(),
        initrd: None,
        append: format!(
            "console=ttyS0 quiet panic=-1 tsc=reliable rcupdate.rcu_cpu_stall_timeout=200 \
             root=/dev/vda rootfstype=erofs ro init=/{}",
            INIT.0
        ),
    });
    config.disks.push(Disk {
        path: image.disk.clone(),
        read_only: true,
    });
    let mut machine = Machine::start_with(&config, Some(Box::new(stdout())))?;
    machine.wait_for_line(ENDED, TIMEOUT)?;
    let said = machine.console().text();
    machine.kill()?;
    Ok(said)
}

/// The root file system of the inner host.
struct Tree<'a>(&'a Path);

impl Tree<'_> {
    fn fill(&self, host: &Host, kernel: &Kernel) -> Result<()> {
        for name in MOUNT_POINTS {
            fs::create_dir(self.0.join(name))?;
        }
        for (name, target) in LINKS {
            fs::create_dir_all(self.0.join(target))?;
            symlink(target, self.0.join(name))?;
        }
        let ours = env::current_exe()?;
        let ours = OURS.map(|name| ours.with_file_name(name));
        let programs = PROGRAMS
            .iter()
            .map(|name| find(Path::new(name)))
            .collect::<Result<Vec<_>>>()?;
        let qemu = find(host.qemu.path())?;
        let mut libraries = BTreeSet::new();
        for program in ours.iter().chain(&programs).chain([&qemu, &host.program]) {
            let name = program.file_name().context("a program has no name")?;
            self.copy(program, &Path::new("usr/bin").join(name))?;
            libraries.extend(libraries_of(program)?);
        }
        for library in &libraries {
            self.copy(library, &place_of(library)?)?;
        }
        for directory in FIRMWARE {
            self.copy(
                Path::new(directory),
                Path::new(directory.trim_start_matches('/')),
            )?;
        }
        let built = kernel.directory();
        for name in KERNEL {
            self.copy(&built.join(name), &Path::new("build/kernel").join(name))?;
        }
        let (name, text) = INIT;
        fs::write(self.0.join(name), text)?;
        Ok(fs::set_permissions(
            self.0.join(name),
            Permissions::from_mode(0o755),
        )?)
    }

    /// Copies a file, or a directory with the files that its links lead to.
    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.0.join(to);
        if from.is_dir() {
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                let name = entry.file_name();
                // Some lead nowhere, and some to the sources.
                if entry.path().exists() && name != "build" && name != "source" {
                    self.copy(&entry.path(), &to.join(name))?;
                }
            }
            return Ok(());
        }
        let copy = || {
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::copy(from, &to)
        };
        copy().with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }
}

/// Searches a program, unless it has a path.
fn find(name: &Path) -> Result<PathBuf> {
    let places = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&places).map(|place| place.join(name));
    let found = places.find(|path| path.is_file());
    let found = found.with_context(|| format!("there is no {}", name.display()))?;
    Ok(found.canonicalize()?)
}

/// Returns where a library is without the links of directories, below the root.
fn place_of(library: &Path) -> Result<PathBuf> {
    let parent = library.parent().context("a library is nowhere")?;
    let name = library.file_name().context("a library has no name")?;
    let place = parent.canonicalize()?.join(name);
    Ok(place.strip_prefix("/")?.to_owned())
}

/// Returns the libraries that a program is linked with, and their loader.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.context("cannot run ldd")?;
    // A program without any is refused.
    Ok(parse_ldd(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_ldd(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let words = line.split_whitespace();
        let path = words.into_iter().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            parse_ldd(text),
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(parse_ldd("\tstatically linked\n").is_empty());
    }
}
