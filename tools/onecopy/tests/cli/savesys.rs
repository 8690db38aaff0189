// SPDX-License-Identifier: GPL-2.0

//! `onecopy savesys`, `query nss` and `purge nss`

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use onecopy_machine::Qemu;

use crate::full_disk::run_on_small_disk;
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
    let ran = dir.run(&[&args[..], &["kernel"]].concat());
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: kernel is neither an ELF kernel (vmlinux) nor a bzImage\n"
    );
    let ran = dir.run(&[&args[..], &["nosuch"]].concat());
    eqnice!(
        ran.stderr,
        "onecopy: Cannot read nosuch: No such file or directory (os error 2)\n"
    );
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
    let (complaint, rest) = said.split_once("exit 1\n").unwrap();
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
        assert_eq!(ran.code, Some(1), "{args:?}");
        eqnice!(
            ran.stderr,
            "onecopy: There is no saved system LX in DIR/store; nothing has been saved there\n"
        );
    }
    for verb in ["logoff", "console"] {
        let ran = dir.run(&[verb, "web"]);
        assert_eq!(ran.code, Some(1), "{verb}");
        eqnice!(
            ran.stderr,
            "onecopy: There is no guest web; none is running\n"
        );
    }
    eqnice!(
        dir.ok(&["query", "guests", "--json"]),
        "{\n  \"guests\": []\n}\n"
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

#[test]
fn what_was_tampered_with_is_found() {
    let Some(host) = Host::new() else { return };
    let image = host.file("1/sr-0.img");
    fs::set_permissions(&image, Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&image).unwrap();
    bytes[4096] ^= 1;
    fs::write(&image, &bytes).unwrap();
    let ran = host.dir.run(&["query", "nss", "--verify"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.ends_with(" EN 1FE00-1FFFF EW  CORRUPT\n"),
        "{}",
        ran.stdout
    );
    eqnice!(
        ran.stderr,
        "onecopy: DIR/store/systems/LX/1/sr-0.img is not what was saved: its SHA-256 is another \
         one\n"
    );
    let refused = |reason: &str| {
        let ran = host.dir.run(&["ipl", "LX"]);
        assert_eq!(ran.code, Some(1));
        eqnice!(
            ran.stderr,
            format!(
                "onecopy: DIR/store/systems/LX/1/sr-0.img is not what was saved: {reason}; save \
                 the system again\n"
            )
        );
    };
    refused("its SHA-256 is another one");
    fs::write(&image, &bytes[..4096]).unwrap();
    refused("its size is another one");
    host.wait_for_silence();
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
