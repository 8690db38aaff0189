// SPDX-License-Identifier: GPL-2.0

//! QEMU as another user than root.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use onecopy_machine::accel::kvm_verdict;
use onecopy_machine::accel::Verdict;
use onecopy_machine::qmp;
use onecopy_machine::qmp::commands::BlockdevAdd;
use onecopy_machine::Qemu;
use rustix::process::geteuid;
use rustix::process::Signal;
use serde_json::json;
use serde_json::Value;

use crate::confined::emulators;
use crate::confined::status;
use crate::guest::kernel;
use crate::guest::Action;
use crate::saved::Host;
use crate::signals::interrupt;
use crate::signals::spawn;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;
use crate::util::TEMPORARY;

/// A user that every host has.
const USER: &str = "nobody";
const UID: &str = "65534";

/// Returns the options that make QEMU run as that user, or says why a test does not run.
fn options() -> Option<[&'static str; 2]> {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can make QEMU run as another user");
        return None;
    }
    Qemu::find().map_err(skip).ok()?;
    Some(["--qemu-user", USER])
}

/// Lets everybody pass the directory of a test, as `/var/lib/onecopy` and `/run/onecopy` do.
fn open(dir: &Dir) {
    let passable = Permissions::from_mode(0o711);
    fs::set_permissions(dir.path(""), passable).unwrap();
}

/// Lets only us pass it.
fn shut(dir: &Dir) {
    let private = Permissions::from_mode(0o700);
    fs::set_permissions(dir.path(""), private).unwrap();
}

fn close(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn runs_as_nobody(pid: u32) {
    let ids = |field: &str| status(pid, field).unwrap();
    let all = [UID; 4].join("\t");
    for field in ["Uid", "Gid"] {
        assert_eq!(ids(field), all, "{field}");
    }
    for field in ["Groups", "CapPrm", "CapEff", "CapAmb"] {
        let found = ids(field);
        assert!(found.trim_matches('0').is_empty(), "{field}: {found}");
    }
    assert_eq!(ids("Seccomp"), "2");
}

#[test]
fn a_guest_in_the_foreground_runs_as_the_user_and_ends_with_the_command() {
    let Some(options) = options() else { return };
    let dir = Dir::new();
    open(&dir);
    // As in /boot of some distributions.
    let path = kernel(&dir, Action::Hang);
    close(&path);
    let tmp = dir.path(TEMPORARY);
    let disk = dir.file("disk.img", vec![0; 1 << 20]);
    fs::set_permissions(&disk, Permissions::from_mode(0o666)).unwrap();
    let boot = ["boot", "--kernel", "kernel", "--accel", "tcg"];
    let args = [&boot[..], &["--disk", disk.to_str().unwrap()], &options].concat();
    let mut child = spawn(&mut dir.command(&args));
    wait_until("QEMU runs", || !emulators(&disk).is_empty());
    let [pid] = emulators(&disk)[..] else {
        panic!("one QEMU is expected")
    };
    // It is the user's from its first instruction on; the filter comes a little later.
    wait_until("QEMU filters", || {
        status(pid, "Seccomp").as_deref() == Some("2")
    });
    runs_as_nobody(pid);
    wait_until("QEMU has read its kernel", || {
        let left = fs::read_dir(&tmp).unwrap().flatten();
        let mut copies = left.flat_map(|own| fs::read_dir(own.path()).unwrap().flatten());
        !copies.any(|file| file.file_name().to_str().unwrap().starts_with("copy"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    // The signal of the parent's end is not lost by the change of the user.
    wait_until("QEMU ends", || emulators(&disk).is_empty());
    let child = spawn(&mut dir.command(&args));
    wait_until("QEMU runs", || !emulators(&disk).is_empty());
    let ran = interrupt(child, Signal::TERM);
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[test]
fn what_the_user_cannot_open_is_refused_before_anything_starts() {
    let Some(options) = options() else { return };
    let dir = Dir::new();
    shut(&dir);
    kernel(&dir, Action::PowerOff);
    let disk = dir.file("secret.img", vec![0; 1 << 20]);
    close(&disk);
    let boot = [
        "boot",
        "--kernel",
        "kernel",
        "--accel",
        "tcg",
        "--disk",
        disk.to_str().unwrap(),
    ];
    let ran = dir.run(&[&boot[..], &options].concat());
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stderr,
        "onecopy: QEMU runs as user nobody, who cannot write to DIR/secret.img; let that user do it, and pass the \
         directories above, or give --qemu-user another one or root\n"
    );
    // The kernel is copied for him, who cannot reach it either, to where everybody's temporary files are.
    let mut command = dir.command(&[&boot[..5], &options].concat());
    let ran = dir.finish(command.env("TMPDIR", std::env::temp_dir()));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let ran = dir.run(&[&boot[..], &["--qemu-user", "root"]].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = dir.run(&[&boot[..], &["--qemu-user", "no-such-user"]].concat());
    assert_eq!(
        ran.stderr,
        "onecopy: There is no user no-such-user for QEMU\n"
    );
    // Who starts no QEMU need not know him.
    dir.ok(&["query", "seg", "--qemu-user", "no-such-user"]);
}

/// Asks the QEMU of a guest to open a file.
fn opens(host: &Host, guest: &str, path: &Path) -> Result<(), String> {
    let socket = host.dir.path("run/guests").join(guest).join("qmp");
    let timeout = Duration::from_secs(10);
    let mut client = qmp::Client::connect(&socket, timeout).unwrap();
    let properties = json!({ "filename": path, "read-only": true });
    let command = BlockdevAdd {
        driver: "file".to_owned(),
        node_name: "probe".to_owned(),
        properties: properties.as_object().unwrap().clone(),
    };
    let answer = client.execute(&command, timeout);
    answer.map(drop).map_err(|error| error.to_string())
}

#[test]
fn everything_works_with_a_guest_whose_qemu_is_another_user() {
    let Some(options) = options() else { return };
    let Some(host) = Host::empty() else { return };
    let dir = &host.dir;
    let with = |args: &[&str]| dir.ok(&[args, &options].concat());
    shut(dir);
    // A store that the user cannot reach is refused, and nothing of it is given away.
    let ran = dir.run(&[&host.save_arguments()[..], &options].concat());
    assert!(
        ran.stderr
            .contains("QEMU runs as user nobody, who cannot write to"),
        "{ran:?}"
    );
    open(dir);
    with(&host.save_arguments());
    for entry in fs::read_dir(host.file("1")).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        assert_eq!(metadata.uid(), 0, "{entry:?}");
        assert_eq!(metadata.mode() & 0o022, 0, "{entry:?}");
    }

    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "USR", "--from-image", "data"]);
    dir.ok(&["saveseg", "SHARED", "--from-image", "data", "--type", "SW"]);
    let disk = dir.file("disk.img", vec![0; 1 << 20]);
    let disk = disk.to_str().unwrap();
    let ipl = ["ipl", "LX", "--as", "web", "--disk", disk];
    let ran = dir.run(&[&ipl[..], &options].concat());
    assert!(
        ran.stderr.contains("who cannot write to DIR/disk.img"),
        "{ran:?}"
    );
    fs::set_permissions(disk, Permissions::from_mode(0o666)).unwrap();
    let more = [
        "--segment",
        "USR",
        "--segment",
        "SHARED",
        "--balloon",
        "--nic",
        "user",
        "--cpus",
        "2",
    ];
    with(&[&ipl[..], &more].concat());
    assert_eq!(host.ready_guests(), ["web"]);
    let [pid] = host.emulators()[..] else {
        panic!("one QEMU is expected")
    };
    runs_as_nobody(pid);

    // It cannot open what is root's, nor what belongs to its guest on the host.
    let secret = dir.file("secret", [0; 4096]);
    close(&secret);
    for path in [secret, dir.path("run/guests/web/guest.toml")] {
        let refused = opens(&host, "web", &path).unwrap_err();
        assert!(refused.contains("Permission denied"), "{refused}");
    }
    opens(&host, "web", &dir.path("data")).unwrap();
    dir.ok(&["logoff", "web", "--now"]);
    host.wait_for_silence();

    // A guest is saved and started again; its files are for the user, and for no others.
    with(&["ipl", "LX", "--as", "web"]);
    host.say("web", "save\n");
    with(&["savesys", "WARM", "--running", "web"]);
    with(&["ipl", "WARM", "--as", "again"]);
    for entry in fs::read_dir(dir.path("store/systems/WARM/1"))
        .unwrap()
        .flatten()
    {
        let metadata = entry.metadata().unwrap();
        let is_shared = metadata.nlink() > 1 || entry.file_name() == "manifest.toml";
        assert!(
            is_shared || metadata.mode() & 0o027 == 0,
            "{entry:?}: {:o}",
            metadata.mode()
        );
    }
    assert_eq!(host.ready_guests(), ["again"]);
    // Who looks at guests is not disturbed by that.
    let listed: Value = serde_json::from_str(&dir.ok(&["query", "guests", "--json"])).unwrap();
    assert!(
        listed["guests"][0]["ranges"][0]["shared_bytes"]
            .as_u64()
            .unwrap()
            > 0,
        "{listed}"
    );
}

#[test]
fn a_qemu_of_another_user_ends_with_its_keeper_and_is_found_without() {
    let Some(options) = options() else { return };
    let Some(host) = Host::empty() else { return };
    open(&host.dir);
    host.dir
        .ok(&[&host.save_arguments()[..], &options].concat());
    host.dir
        .ok(&[&["ipl", "LX", "--as", "web"][..], &options].concat());
    let [pid] = host.emulators()[..] else {
        panic!("one QEMU is expected")
    };
    runs_as_nobody(pid);
    let record = fs::read_to_string(host.dir.path("run/guests/web/guest.toml")).unwrap();
    let (_, keeper) = record.split_once("[keeper]\npid = ").unwrap();
    let keeper: i32 = keeper.lines().next().unwrap().parse().unwrap();
    let keeper = rustix::process::Pid::from_raw(keeper).unwrap();
    rustix::process::kill_process(keeper, Signal::KILL).unwrap();
    wait_until("QEMU ends", || host.emulators().is_empty());
    let examined = host.dir.run(&["doctor", "--clean", "--json"]);
    assert!(
        examined.stdout.contains("stale-guest"),
        "{}",
        examined.stdout
    );
    assert!(!host.dir.path("run/guests/web").exists());
}

#[test]
fn doctor_knows_whether_the_user_reaches_the_store_and_who_else_writes() {
    let Some(options) = options() else { return };
    let dir = Dir::new();
    dir.file("data", [1; 4096]);
    dir.ok(&["saveseg", "DATA", "--from-image", "data"]);
    let finding = |options: &[&str], id: &str| {
        let ran = dir.run(&[&["doctor", "--json"], options].concat());
        let examined: Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = examined["findings"].as_array().unwrap().iter();
        let mut found = findings.filter(|finding| finding["id"] == id);
        let found = found.next().unwrap();
        (ran.code, found["severity"].as_str().unwrap().to_owned())
    };
    let verdict = |code: i32, severity: &str| (Some(code), severity.to_owned());
    open(&dir);
    assert_eq!(finding(&options, "qemu-user"), verdict(0, "ok"));
    assert_eq!(
        finding(&["--qemu-user", "root"], "qemu-user"),
        verdict(0, "warning")
    );
    shut(&dir);
    assert_eq!(finding(&options, "qemu-user"), verdict(1, "error"));
    open(&dir);
    fs::create_dir_all(dir.path("run/guests")).unwrap();
    for (path, id) in [
        ("store", "store-permissions"),
        ("run", "run-permissions"),
        ("run/guests", "run-permissions"),
    ] {
        assert_eq!(finding(&options, id), verdict(0, "ok"));
        let mode =
            |mode| fs::set_permissions(dir.path(path), Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        assert_eq!(finding(&options, id), verdict(1, "error"), "{path}");
        mode(0o755);
    }
}

#[test]
fn a_qemu_of_another_user_gets_the_open_kvm() {
    let Some(options) = options() else { return };
    let qemu = Qemu::find().unwrap();
    if let Verdict::Fails(reason) = kvm_verdict(&qemu) {
        eprintln!("skipped: KVM does not work here: {reason}");
        return;
    }
    let dir = Dir::new();
    open(&dir);
    let path = kernel(&dir, Action::Hang);
    let file = path.to_str().unwrap();
    let boot = ["boot", "--kernel", file, "--accel", "kvm", "--timeout", "2"];
    let ran = dir.run(&[&boot[..], &options].concat());
    // Whether a guest runs on this KVM is another question. The user alone could not open it.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for refused in [
        "Could not access KVM",
        "failed to initialize kvm",
        "Permission denied",
    ] {
        assert!(!ran.stderr.contains(refused), "{ran:?}");
    }
}
