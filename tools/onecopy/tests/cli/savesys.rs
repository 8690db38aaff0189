// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys`, `query nss` and `purge nss`

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use onecopy_machine::Qemu;

use crate::full_disk::run_on_small_disk;
use crate::guest::bzimage;
use crate::guest::elf_without_note;
use crate::guest::kernel as tiny_kernel;
use crate::guest::shared_kernel;
use crate::guest::Action;
use crate::saved::Host;
use crate::util::eqnice;
use crate::util::processes_with;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;

/// How many moments a save is killed at.
const MOMENTS: u32 = 12;

/// Tries to save a kernel that claims to be one that can be saved, and does something else.
fn save_tiny(dir: &Dir, action: Action) -> crate::util::Ran {
    shared_kernel(dir, action);
    let args = ["--kernel", "kernel", "--accel", "tcg", "--timeout", "1"];
    dir.run(&[&["savesys", "LX"], &args[..]].concat())
}

/// Returns the names in the directory of the saved system.
pub(crate) fn names(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path("store/systems/LX")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_no_shared_kernel_is_refused_before_anything_starts() {
    let dir = Dir::new();
    tiny_kernel(&dir, Action::Hang);
    let args = ["savesys", "LX", "--accel", "tcg", "--kernel"];
    let elf = elf_without_note();
    dir.file("vmlinux", &elf);
    dir.file("bzImage", bzimage(&elf));
    dir.file("bzImage.lz4", bzimage(b"\x02\x21\x4c\x18"));
    let without = "cannot be saved: it was built without CONFIG_SHARED_KERNEL";
    for (kernel, expected) in [
        (
            "kernel",
            "kernel is neither an ELF kernel (vmlinux) nor a bzImage",
        ),
        (
            "nosuch",
            "Cannot read nosuch: No such file or directory (os error 2)",
        ),
        ("vmlinux", &format!("The kernel vmlinux {without}")),
        ("bzImage", &format!("The kernel bzImage {without}")),
        (
            "bzImage.lz4",
            "Cannot take the kernel out of bzImage.lz4; pass its vmlinux instead: it is \
             compressed neither with gzip nor with zstd",
        ),
    ] {
        let ran = dir.run(&[&args[..], &[kernel]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        eqnice!(ran.stderr, format!("onecopy: {expected}\n"));
    }
    assert!(!dir.path("store").exists());
}

#[test]
fn a_kernel_that_does_not_reach_the_save_point_leaves_nothing() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    for (action, expected) in [
        (
            Action::Hang,
            "there is no kernel where its note says within 1 s; is it built with \
             CONFIG_RANDOMIZE_BASE?\nconsole ended with:\n    kernel console=ttyS0 panic=-1 \
             savesys=LX kernelcore=88M numa=off cmm.keep=0-5ffffff,1fe00000-1fffffff\n",
        ),
        (
            Action::Reset,
            "it ended before the save point: the guest asked for a reset (exit status: 0)\n\
             console ended with:\n    kernel console=ttyS0 panic=-1 savesys=LX kernelcore=88M \
             numa=off cmm.keep=0-5ffffff,1fe00000-1fffffff\n",
        ),
    ] {
        let dir = Dir::new();
        let ran = save_tiny(&dir, action);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        let expected = format!("onecopy: The template of LX cannot be saved: {expected}");
        eqnice!(ran.stderr, expected);
        assert_eq!(names(&dir), [".lock"]);
        assert!(processes_with(&dir.path("store")).is_empty());
        eqnice!(
            dir.ok(&["query", "nss"]),
            "NAME  GEN  CLASS  USERS  MEMORY  SAVED  RANGES\n"
        );
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = Dir::new();
    shared_kernel(&dir, Action::Hang);
    let script = "$onecopy savesys LX --kernel kernel --accel tcg 2>&1; echo \"exit $?\"
        mkdir -p store/segments/USR; ls -A store/systems/LX";
    let Some(said) = run_on_small_disk(&dir, script) else {
        return;
    };
    let (complaint, rest) = said.split_once("exit 5\n").unwrap();
    assert!(
        complaint.starts_with("onecopy: Cannot make room for DIR/store/systems/LX/.draft-")
            && complaint.ends_with("No space left on device (os error 28)\n"),
        "{complaint}"
    );
    eqnice!(rest, ".lock\nleft: \n");
}

#[test]
fn names_that_do_not_exist_are_reported_with_those_that_do() {
    let dir = Dir::new();
    for args in [
        &["ipl", "LX"][..],
        &["purge", "nss", "LX"],
        &["query", "nss", "LX"],
    ] {
        let ran = dir.run(args);
        assert_eq!(ran.code, Some(3), "{args:?}");
        eqnice!(
            ran.stderr,
            "onecopy: There is no saved system LX in DIR/store; nothing has been saved there\n"
        );
    }
    for verb in ["logoff", "console"] {
        let ran = dir.run(&[verb, "web"]);
        assert_eq!(ran.code, Some(3), "{verb}");
        eqnice!(
            ran.stderr,
            "onecopy: There is no guest web; none is running\n"
        );
    }
    eqnice!(
        dir.ok(&["query", "guests", "--json"]),
        "{\n  \"guests\": [],\n  \"invalid\": []\n}\n"
    );
}

#[test]
fn generations_replace_each_other_and_are_listed() {
    let Some(host) = Host::new() else { return };
    let said = host.dir.ok(&host.save_arguments());
    let start = "LX generation 2: 512 MiB, 0-FFF EW 1000-";
    assert!(said.starts_with(start), "{said}");
    assert!(
        said.ends_with(" EN 1FE00-1FFFF EW, DIR/store/systems/LX/2\n"),
        "{said}"
    );
    assert_eq!(names(&host.dir), [".lock", "2", "current"]);
    let table = host.dir.ok(&["query", "nss", "lx", "--verify"]);
    assert!(
        table.contains("LX    2    A      0      512 MiB  TIME"),
        "{table}"
    );
    assert!(table.ends_with(" EN 1FE00-1FFFF EW  intact\n"), "{table}");
    let images = ["ew-0.img", "sr-0.img", "ew-1.img", "ew-2.img"];
    for file in images.into_iter().chain(["state", "manifest.toml"]) {
        let metadata = host.file("2").join(file).metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o444, "{file}");
    }
    assert_eq!(
        host.dir.ok(&["purge", "nss", "LX"]),
        "LX generation 2: removed\n"
    );
    assert_eq!(names(&host.dir), [".lock"]);
}

/// Replaces a file of a generation, which nobody may write to.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_tampered_with_or_cut_is_found() {
    let Some(host) = Host::new() else { return };
    let run = |args: &[&str]| {
        let ran = host.dir.run(args);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        ran
    };
    for name in ["sr-0.img", "ew-1.img", "state"] {
        let path = host.file("1").join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[4096] ^= 1;
        for (bytes, reason) in [
            (&changed[..], "its SHA-256 is another one"),
            (&whole[..4096], "its size is another one"),
            (&[], "its size is another one"),
        ] {
            overwrite(&path, bytes);
            let file = format!("onecopy: DIR/store/systems/LX/1/{name}");
            let ran = run(&["query", "nss", "--verify"]);
            let end = " EN 1FE00-1FFFF EW  CORRUPT\n";
            assert!(ran.stdout.ends_with(end), "{}", ran.stdout);
            eqnice!(
                ran.stderr,
                format!("{file} is not what was saved: {reason}\n")
            );
            let refused = run(&["ipl", "LX"]).stderr;
            let end = "save the system again\n";
            eqnice!(
                refused,
                format!("{file} is not what was saved: {reason}; {end}")
            );
        }
        overwrite(&path, &whole);
    }
    host.dir.ok(&["query", "nss", "--verify"]);

    let path = host.file("1/manifest.toml");
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for bytes in [&changed[..], &whole[..whole.len() / 2], &[]] {
        overwrite(&path, bytes);
        let expected =
            "onecopy: The manifest DIR/store/systems/LX/1/manifest.toml cannot be used: \
                        its content is not what was written: it was cut or changed\n";
        for args in [&["ipl", "LX"][..], &["ipl", "LX", "--foreground"]] {
            eqnice!(run(args).stderr, expected);
        }
        let listed = run(&["query", "nss"]);
        assert!(listed.stderr.contains("manifest.toml"), "{listed:?}");
    }
    assert_eq!(host.emulators(), [0; 0]);
    assert!(!host.dir.path("run/guests/lx1").exists());
    // It can be replaced.
    host.dir.ok(&host.save_arguments());
    host.dir.ok(&["ipl", "LX"]);
}

#[test]
fn a_save_killed_at_any_moment_leaves_the_old_generation() {
    let Some(host) = Host::new() else { return };
    let args = host.save_arguments();
    let start = Instant::now();
    host.dir.ok(&args);
    let whole = start.elapsed();
    let mut interrupted = 0;
    for moment in 0..MOMENTS {
        let mut command = host.dir.command(&args);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(whole * (moment + 1) / MOMENTS);
        child.kill().unwrap();
        interrupted += u32::from(child.wait().unwrap().signal() == Some(9));

        let listed = host.dir.ok(&["query", "nss", "--verify"]);
        assert_eq!(listed.lines().count(), 2, "{listed}");
        assert!(
            listed.contains(" A ") && listed.ends_with("intact\n"),
            "{listed}"
        );
    }
    assert!(interrupted > 0, "no save was interrupted");
    wait_until("the templates end", || {
        processes_with(&host.dir.path("store")).is_empty()
    });
    host.dir.ok(&args);
    let names = names(&host.dir);
    assert_eq!(names.len(), 3, "{names:?}");
}
