// SPDX-License-Identifier: GPL-2.0

//! Partitions with real guests: which kernel serves which, by the table, by the guest's memory, and
//! by what the guest's kernel says of itself.

use std::fs;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::Qemu;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;

use crate::partition_table::assert_documented;
use crate::saved::Host;
use crate::second::note_of;
use crate::second::TwoKernels;
use crate::signals;
use crate::signals::interrupt;
use crate::signals::spawn;
use crate::signals::tell;
use crate::util::eqnice;
use crate::util::wait_until;
use crate::util::Dir;

/// How guests are started: with time enough on a busy machine.
const IPL: [&str; 5] = ["ipl", "--partition", "web", "--timeout", "300"];
const NOW: [&str; 5] = ["--now", "--grace", "1", "--timeout", "300"];

/// How long a guest may take to show its notes.
const NOTES_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a signal is sent until one comes before a guest is ready.
const ATTEMPTS: u32 = 10;

/// How many commands change one table at the same time.
const AT_ONCE: usize = 6;

fn upgrade(kernel: &str) -> Vec<&str> {
    [
        &["partition", "upgrade", "web", "--kernel", kernel][..],
        &NOW,
    ]
    .concat()
}

fn json(dir: &Dir, args: &[&str]) -> Value {
    let text = dir.ok(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap()
}

/// Returns a host with one or two saved systems, K1 and K2.
fn host(systems: usize) -> Option<(Host, TwoKernels)> {
    let host = Host::empty()?;
    let kernels = TwoKernels::new(&host);
    kernels.save(&host, systems);
    // The tests are to find the same on every machine.
    host.dir.file(
        "store/partitions/inventory.toml",
        "format = 1\nmemory_mib = 1024\ncpus = 4\n",
    );
    Some((host, kernels))
}

/// Asks the guest's kernel for its notes. Returns which of the two kernels has the build-id in there.
#[track_caller]
fn told_by_guest(host: &Host, kernels: &TwoKernels, guest: &str) -> Option<usize> {
    let mut command = host.dir.command(&["console", guest]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = BufReader::new(child.stdout.take().unwrap()).bytes();
    let (sender, receiver) = mpsc::channel();
    // It ends with the command.
    thread::spawn(move || {
        bytes
            .map_while(Result::ok)
            .try_for_each(|byte| sender.send(byte))
    });
    stdin.write_all(b"c/sys/kernel/notes\n").unwrap();
    // The command leaves the console a second after the end of its input: that is kept open.
    let deadline = Instant::now() + NOTES_TIMEOUT;
    let notes = kernels.build_ids.each_ref().map(|id| plain(note_of(id)));
    let (mut said, mut found) = (Vec::new(), None);
    // Behind the note there may be nothing more to wait for.
    while found.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(byte) = receiver.recv_timeout(left) else {
            break;
        };
        said.extend(plain(vec![byte]));
        found = notes.iter().position(|note| said.ends_with(note));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    found
}

/// Leaves out what the guest's terminal adds to ends of lines, of which bytes in notes may look like.
fn plain(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.retain(|byte| *byte != b'\r');
    bytes
}

/// Makes sure that the table, the record, the guest's memory and the guest itself agree.
#[track_caller]
fn assert_serves(host: &Host, kernels: &TwoKernels, number: usize) {
    let ours = &kernels.build_ids[number];
    let kernel = ["K1", "K2"][number];
    let shown = json(&host.dir, &["partition", "show", "web"]);
    let partition = &shown["partition"];
    assert_eq!(partition["kernel"], kernel);
    assert_eq!(partition["state"], "running");
    assert_eq!(partition["next"]["build_id"], **ours);
    let guest = &partition["guest"];
    assert_eq!(guest["kernel"], kernel);
    assert_eq!(guest["build_id"], **ours);
    assert_eq!(guest["memory_build_id"], **ours, "{shown}");
    assert_eq!(guest["current"], true);
    assert_eq!(guest.as_object().unwrap().len(), 11, "{guest}");
    assert_documented(&shown);
    assert_eq!(told_by_guest(host, kernels, "web"), Some(number));
}

#[test]
fn table_and_guest_agree_before_and_after_upgrade_and_rollback() {
    let Some((host, kernels)) = host(2) else {
        return;
    };
    let dir = &host.dir;
    let define = ["partition", "define", "web", "--kernel", "k1"];
    let more = ["--resource", "role=shop", "--hostname", "shop"];
    let file = "DIR/store/partitions/resources/web.toml";
    eqnice!(
        dir.ok(&[&define[..], &more].concat()),
        format!("web: kernel K1, 256 MiB, 1 processor, {file}\n")
    );
    let path = dir.path("store/partitions/resources/web.toml");
    let resources = fs::read_to_string(&path).unwrap();
    eqnice!(
        dir.ok(&IPL),
        "web: started from K1 generation 1 in partition web\n"
    );
    assert_serves(&host, &kernels, 0);

    // The table changes, the guest does not.
    eqnice!(
        dir.ok(&["partition", "upgrade", "web", "--kernel", "K2"]),
        "web: kernel K2 instead of K1 from the next IPL on; guest web runs K1 generation 1\n"
    );
    let shown = json(dir, &["partition", "show", "web"]);
    assert_eq!(shown["partition"]["previous"], "K1");
    assert_eq!(shown["partition"]["guest"]["kernel"], "K1");
    assert_eq!(shown["partition"]["guest"]["current"], false);
    assert_eq!(
        shown["partition"]["guest"]["memory_build_id"],
        *kernels.build_ids[0]
    );
    eqnice!(
        dir.ok(&upgrade("K2")),
        "web: kernel K2 already; guest web was started again, from K2 generation 1\n"
    );
    assert_serves(&host, &kernels, 1);

    eqnice!(
        dir.ok(&[&["partition", "rollback", "web"][..], &NOW].concat()),
        "web: kernel K1 instead of K2; guest web was started again, from K1 generation 1\n"
    );
    assert_serves(&host, &kernels, 0);
    let ran = dir.run(&["partition", "rollback", "web"]);
    assert_eq!(ran.code, Some(4));
    eqnice!(
        ran.stderr,
        "onecopy: Partition web has nothing to be rolled back to: it has had K1 since it was defined \
         or rolled back\n"
    );
    eqnice!(fs::read_to_string(&path).unwrap(), resources);
}

#[test]
fn a_partition_in_use_is_not_removed_and_has_one_guest() {
    let Some((host, _)) = host(1) else { return };
    let dir = &host.dir;
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    dir.ok(&[&IPL[..], &["--as", "shop"]].concat());
    for args in [
        &["partition", "remove", "web"][..],
        &["ipl", "--partition", "web"],
        &["ipl", "--partition", "web", "--as", "other"],
    ] {
        let ran = dir.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""), "{args:?}");
        let expected = "onecopy: Partition web is in use by guest shop; log that off first\n";
        eqnice!(ran.stderr, expected);
    }
    let table = dir.ok(&["query", "guests"]);
    assert!(
        table.starts_with("GUEST  PARTITION  SYSTEM  GEN  "),
        "{table}"
    );
    assert!(
        table.contains("\nshop   web        K1      1    "),
        "{table}"
    );
    let guests = json(dir, &["query", "guests"]);
    assert_eq!(guests["guests"][0]["partition"], "web");

    // Its keeper is killed: what is left in the run directory says nothing any more.
    let record = dir.path("run/guests/shop/guest.toml");
    let text = fs::read_to_string(&record).unwrap();
    let (_, keeper) = text.split_once("[keeper]\npid = ").unwrap();
    let keeper = keeper.lines().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::KILL).unwrap();
    host.wait_for_silence();
    wait_until("the keeper is gone", || {
        json(dir, &["partition", "show", "web"])["partition"]["state"] == "stopped"
    });
    assert!(record.exists());
    dir.ok(&[&IPL[..], &["--as", "shop"]].concat());
    dir.ok(&["logoff", "shop", "--now"]);
    // A guest of that name that is not the partition's.
    dir.ok(&["ipl", "K1", "--as", "web", "--timeout", "300"]);
    let ran = dir.run(&IPL);
    assert_eq!(ran.code, Some(4));
    eqnice!(ran.stderr, "onecopy: There is a guest web already\n");
    eqnice!(dir.ok(&["partition", "remove", "web"]), "web: removed\n");
}

#[test]
fn an_upgrade_that_cannot_start_leaves_the_old_kernel_running() {
    let Some((host, kernels)) = host(2) else {
        return;
    };
    let dir = &host.dir;
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    dir.ok(&IPL);
    // What is found before: nothing is ended for it.
    let ran = dir.run(&["partition", "upgrade", "web", "--kernel", "NOSUCH", "--now"]);
    assert_eq!(ran.code, Some(3));
    eqnice!(
        ran.stderr,
        "onecopy: There is no saved system NOSUCH in DIR/store; there are: K1, K2\n"
    );
    let pid = json(dir, &["partition", "show", "web"])["partition"]["guest"]["pid"].clone();
    let image = dir.path("store/systems/K2/1/sr-0.img");
    let content = fs::read(&image).unwrap();
    fs::remove_file(&image).unwrap();
    fs::write(&image, "short").unwrap();
    let ran = dir.run(&["partition", "upgrade", "web", "--kernel", "K2", "--now"]);
    assert_eq!(ran.code, Some(6));
    let found = json(dir, &["partition", "show", "web"])["partition"]["guest"]["pid"].clone();
    assert_eq!(found, pid);
    fs::write(&image, content).unwrap();
    // What is found only when it is started.
    let version = Qemu::find().unwrap().version();
    let (here, other) = (format!("qemu = \"{version}\""), "qemu = \"9.2.0\"");
    host.forge_manifest_of("K2", 1, &here, other);
    let ran = dir.run(&upgrade("K2"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""));
    eqnice!(
        ran.stderr,
        format!(
            "onecopy: Partition web has kernel K1 as before, and guest web was started from K1 \
             generation 1: K2 was saved with QEMU 9.2.0, and here is {version}; save it again, or use \
             the same\n"
        )
    );
    let shown = json(dir, &["partition", "show", "web"]);
    assert_ne!(shown["partition"]["guest"]["pid"], pid);
    assert_eq!(shown["partition"]["previous"], Value::Null);
    assert_serves(&host, &kernels, 0);
}

#[test]
fn a_partition_has_what_its_file_says() {
    let Some((host, _)) = host(1) else { return };
    let dir = &host.dir;
    dir.file("a.img", "content");
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    dir.file("disk.img", vec![0; 1 << 20]);
    dir.ok(&[
        "partition",
        "define",
        "web",
        "--kernel",
        "K1",
        "--memory",
        "384M",
        "--cpus",
        "2",
        "--segment",
        "usr",
        "--nic",
        "user",
        "--disk",
        "disk.img,readonly",
        "--balloon",
        "--small-pages",
    ]);
    let first = json(dir, &["partition", "show", "web"])["partition"]["resources"].clone();
    assert_eq!(first["memory_bytes"], 384 << 20);
    assert_eq!(first["disks"][0]["file"], "DIR/disk.img");
    assert_eq!(first["balloon"], true);
    let mac = first["nics"][0]
        .as_str()
        .unwrap()
        .strip_prefix("user,mac=")
        .unwrap();
    let check = |cpus: u32| {
        let shown = json(dir, &["partition", "show", "web"]);
        let guest = &shown["partition"]["guest"];
        assert_eq!(guest["memory_bytes"], 384 << 20);
        assert_eq!(guest["cpus"], cpus);
        assert_eq!(guest["mac_addresses"][0], mac);
    };
    dir.ok(&IPL);
    check(2);
    // The file may be edited; that takes effect at the next IPL.
    let path = dir.path("store/partitions/resources/web.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("cpus = 2", "cpus = 1")).unwrap();
    check(2);
    eqnice!(
        dir.ok(&upgrade("K1")),
        "web: kernel K1 already; guest web was started again, from K1 generation 1\n"
    );
    check(1);
    fs::write(&path, text.replace("memory_mib = 384", "memory_mib = 8192")).unwrap();
    dir.ok(&["logoff", "web", "--now"]);
    let ran = dir.run(&["ipl", "--partition", "web"]);
    assert_eq!(ran.code, Some(5));
    eqnice!(
        ran.stderr,
        "onecopy: Partition web does not fit: 8192 MiB of memory are wanted, and of the 1024 MiB that \
         the host gives other partitions have 0; take less, or say --overcommit\n"
    );
    fs::write(&path, &text).unwrap();
    fs::remove_file(dir.path("disk.img")).unwrap();
    let ran = dir.run(&["ipl", "--partition", "web"]);
    assert_eq!(ran.code, Some(1));
    let expected =
        "onecopy: Cannot use disk DIR/disk.img: No such file or directory (os error 2)\n";
    eqnice!(ran.stderr, expected);
}

#[test]
fn commands_at_the_same_time_do_not_disturb_each_other() {
    let Some((host, _)) = host(2) else { return };
    let dir = &host.dir;
    let names: Vec<String> = (0..AT_ONCE).map(|number| format!("p{number}")).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || {
                dir.ok(&[
                    "partition",
                    "define",
                    name,
                    "--kernel",
                    "K1",
                    "--overcommit",
                ]);
                dir.ok(&["partition", "upgrade", name, "--kernel", "K2"]);
            });
        }
    });
    let list = json(dir, &["partition", "list"]);
    let found = list["partitions"].as_array().unwrap();
    assert_eq!(found.len(), AT_ONCE);
    assert!(found
        .iter()
        .all(|one| one["kernel"] == "K2" && one["previous"] == "K1"));

    // Of two guests for one partition one comes; a partition goes only without a guest.
    thread::scope(|scope| {
        let start = |guest| {
            scope.spawn(move || {
                let ran = dir.run(&[
                    "ipl",
                    "--partition",
                    "p0",
                    "--as",
                    guest,
                    "--timeout",
                    "300",
                ]);
                ran.code
            })
        };
        let starts = [start("a"), start("b")];
        let codes = starts.map(|start| start.join().unwrap());
        assert_eq!(
            codes.iter().filter(|code| **code == Some(0)).count(),
            1,
            "{codes:?}"
        );
    });
    assert_eq!(host.ready_guests().len(), 1);
    thread::scope(|scope| {
        let start = scope.spawn(|| {
            dir.run(&["ipl", "--partition", "p1", "--timeout", "300"])
                .code
        });
        thread::sleep(Duration::from_millis(50));
        let removed = dir.run(&["partition", "remove", "p1"]).code;
        let started = start.join().unwrap();
        // Never both, and never a guest of what is not there.
        assert_ne!((started, removed), (Some(0), Some(0)));
        let runs = host.ready_guests().contains(&"p1".to_owned());
        assert_eq!(runs, started == Some(0));
    });
}

#[test]
fn a_signal_undoes_an_upgrade_and_a_start() {
    let Some((host, kernels)) = host(2) else {
        return;
    };
    let dir = &host.dir;
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    let started = || fs::read_to_string(dir.path("run/guests/web/guest.toml")).unwrap_or_default();
    // A start is given up unless it is ready just before the signal.
    let is_given_up = (0..ATTEMPTS).any(|_| {
        let child = spawn(&mut dir.command(&IPL));
        wait_until("the start has begun", || started().contains("\"K1\""));
        let ran = interrupt(child, Signal::TERM);
        if ran.code == Some(0) {
            dir.ok(&["logoff", "web", "--now"]);
            return false;
        }
        assert_eq!(ran.code, Some(1));
        eqnice!(ran.stderr, "onecopy: Interrupted by signal 15\n");
        assert_eq!(host.emulators(), [0; 0]);
        true
    });
    assert!(is_given_up);

    // While the guest ignores its power button.
    dir.ok(&IPL);
    let shown = || json(dir, &["partition", "show", "web"])["partition"].clone();
    let pid = shown()["guest"]["pid"].clone();
    let args = ["partition", "upgrade", "web", "--kernel", "K2", "--now"];
    let child = spawn(&mut dir.command(&[&args[..], &["--grace", "300"]].concat()));
    wait_until("the table has changed", || shown()["kernel"] == "K2");
    let ran = interrupt(child, Signal::INT);
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: Partition web has kernel K1 as before: Interrupted by signal 2\n"
    );
    assert_eq!(shown()["guest"]["pid"], pid);
    assert_serves(&host, &kernels, 0);

    // While the guest is started from the new kernel.
    let is_undone = (0..ATTEMPTS).any(|_| {
        let child = spawn(&mut dir.command(&upgrade("K2")));
        wait_until("the start has begun", || started().contains("\"K2\""));
        tell(&child, Signal::TERM);
        // It starts the old kernel first.
        let ran = signals::ran(child);
        if ran.code == Some(0) {
            dir.ok(&[&["partition", "rollback", "web"][..], &NOW].concat());
            return false;
        }
        assert_eq!(ran.code, Some(1));
        eqnice!(
            ran.stderr,
            "onecopy: Partition web has kernel K1 as before, and guest web was started from K1 \
             generation 1: Interrupted by signal 15\n"
        );
        true
    });
    assert!(is_undone);
    assert_serves(&host, &kernels, 0);
}
