// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach` that comes to its end in the middle, and what the next one finds then.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use onecopy_machine::options::Access;
use onecopy_machine::options::MemoryBackendFile;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::Client;
use rustix::fs::flock;
use rustix::fs::FlockOperation;
use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::json;
use serde_json::Value;

use crate::attach::Plain;
use crate::segments::save;
use crate::signals::ran;
use crate::signals::spawn;
use crate::signals::tell;
use crate::util::refused;
use crate::util::wait_until;
use crate::util::Dir;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The monitor of the guest, as an attach uses it.
fn monitor(guest: &Plain) -> Client {
    Client::connect(&guest.dir.path("run/guests/web/qmp"), TIMEOUT).unwrap()
}

/// Leaves what an attach leaves that is killed before it plugs the device.
fn leave(guest: &Plain, id: &str, file: &str) {
    let path = guest.dir.path("store/segments").join(file);
    let mut monitor = monitor(guest);
    let opaque = path.to_str().unwrap().to_owned();
    let open = fs::File::open(&path).unwrap();
    flock(&open, FlockOperation::LockShared).unwrap();
    let held = commands::AddFd { opaque };
    let held = monitor.execute_with(&held, open.as_fd(), TIMEOUT);
    held.unwrap();
    let size_bytes = fs::metadata(&path).unwrap().len();
    let backend = MemoryBackendFile::segment(id, &path, size_bytes, Access::ReadOnly);
    monitor.execute(&backend.object_add(), TIMEOUT).unwrap();
}

fn held(guest: &Plain) -> Vec<String> {
    let sets = monitor(guest).execute(&commands::QueryFdsets {}, TIMEOUT);
    let files = sets.unwrap().into_iter().flat_map(|set| set.fds);
    let mut names: Vec<_> = files
        .filter_map(|file| PathBuf::from(file.opaque?).parent().map(PathBuf::from))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_attach_has_left_is_removed_by_the_next() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    leave(&guest, "seg0", "USR/1.seg");
    assert_eq!(guest.mappings("USR/1.seg"), ["r--s"]);
    dir.ok(&["attach", "web", "PY"]);
    assert_eq!(held(&guest), ["PY"]);
    wait_until("QEMU gives the mapping back", || {
        guest.mappings("USR/1.seg").is_empty()
    });
    // Nobody holds the generation any more.
    save(dir, "USR");
    assert_eq!(dir.assert_sound("USR"), [2]);

    // The one that is killed was that of a copy, of the same generation.
    leave(&guest, "seg1", "USR/2.seg");
    dir.ok(&["attach", "web", "USR", "--non-shared"]);
    assert_eq!(held(&guest), ["PY", "USR"]);
    let users = dir.ok(&["query", "seg", "USR", "--users"]);
    assert!(users.contains("non-shared  attached  pmem1"), "{users}");
}

#[test]
fn a_back_end_that_another_device_uses_stays_and_its_port_is_taken() {
    let Some(guest) = Plain::start() else { return };
    leave(&guest, "seg1", "USR/1.seg");
    let properties = json!({ "memdev": "seg1" });
    let device = commands::DeviceAdd {
        driver: "virtio-pmem-pci".to_owned(),
        id: "mine".to_owned(),
        bus: Some("port0".to_owned()),
        properties: properties.as_object().unwrap().clone(),
    };
    monitor(&guest).execute(&device, TIMEOUT).unwrap();
    let said = refused(&guest.dir, &["attach", "web", "PY"], 5);
    assert!(
        said.starts_with("Guest web has no free port for another device"),
        "{said}"
    );
    assert_eq!(guest.mappings("USR/1.seg"), ["r--s"]);
    assert_eq!(held(&guest), ["USR"]);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    let pid = guest.machine.as_ref().unwrap().pid();
    let qemu = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        kill_process(qemu, Signal::STOP).unwrap();
        let child = spawn(&mut dir.command(&["attach", "web", "USR"]));
        wait_until("it has the lock", || is_locked(dir));
        // It catches signals from then on, or a little later, and waits for QEMU.
        thread::sleep(Duration::from_millis(500));
        tell(&child, signal);
        kill_process(qemu, Signal::CONT).unwrap();
        let ran = ran(child);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        let expected = format!("onecopy: Interrupted by signal {}\n", signal.as_raw());
        assert_eq!(ran.stderr, expected);
        assert_eq!(guest.mappings("USR/1.seg"), [""; 0]);
        assert_eq!(held(&guest), [""; 0]);
        let record = fs::read_to_string(guest.record()).unwrap();
        assert!(!record.contains("attachments"), "{record}");
    }
    dir.ok(&["attach", "web", "USR"]);
}

/// Whether somebody changes what guest `web` has.
pub(crate) fn is_locked(dir: &Dir) -> bool {
    let lock = fs::File::open(dir.path("run/guests/web/.lock"));
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}

#[test]
fn why_a_plug_has_failed_is_said_although_the_record_cannot_be_written() {
    let Some(guest) = Plain::start() else { return };
    let guests = guest.dir.path("run/guests");
    fs::remove_file(guests.join("web/qmp")).unwrap();
    let listener = UnixListener::bind(guests.join("web/qmp")).unwrap();
    let monitor = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // The directory goes away in the middle.
        refuse_to_plug(stream, || {
            fs::rename(guests.join("web"), guests.join("gone")).unwrap();
        });
    });
    assert_eq!(
        refused(&guest.dir, &["attach", "web", "USR"], 1),
        "Segment space USR cannot be attached to guest web: no room"
    );
    monitor.join().unwrap();
}

/// Is the monitor of a QEMU that has one port and no room.
fn refuse_to_plug(mut stream: UnixStream, before: impl Fn()) {
    stream.write_all(b"{\"QMP\": {}}\n").unwrap();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_about = |path: &str| request["arguments"]["path"] == path;
        let value = match request["execute"].as_str().unwrap() {
            "qom-list" if is_about("/machine/peripheral") => {
                json!([{ "name": "port0", "type": "child<pcie-root-port>" }])
            }
            "qom-list" | "query-fdsets" => json!([]),
            "add-fd" => json!({ "fdset-id": 1, "fd": 3 }),
            _ => json!({}),
        };
        let mut answer = json!({ "return": value, "id": request["id"] });
        if request["execute"] == "object-add" {
            before();
            let error = json!({ "class": "GenericError", "desc": "no room" });
            answer = json!({ "error": error, "id": request["id"] });
        }
        writeln!(stream, "{answer}").unwrap();
    }
}

#[test]
fn a_copy_is_found_behind_a_symbolic_link() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    let link = guest.dir.path("link");
    std::os::unix::fs::symlink("store", &link).unwrap();
    let record = fs::read_to_string(guest.record()).unwrap();
    let store = guest.dir.path("store");
    let [store, link] = [&store, &link].map(|path| path.to_str().unwrap());
    fs::write(guest.record(), record.replace(store, link)).unwrap();
    guest
        .dir
        .ok(&["--root", link, "attach", "web", "USR", "--non-shared"]);
    assert_eq!(guest.mappings("USR/1.seg"), ["rw-p"]);
    let seen = guest.seen_by_guest("pmem0");
    assert_eq!(seen, [("USR".to_owned(), "EW".to_owned())]);
}

#[test]
fn a_process_that_has_got_the_number_of_qemu_is_not_written_to() {
    let Some(guest) = Plain::start() else { return };
    let record = fs::read_to_string(guest.record()).unwrap();
    let (before, qemu) = record.split_once("[qemu]").unwrap();
    let qemu = qemu.replace("start_ticks = ", "start_ticks = 9");
    fs::write(guest.record(), format!("{before}[qemu]{qemu}")).unwrap();
    assert_eq!(
        refused(&guest.dir, &["attach", "web", "USR", "--non-shared"], 3),
        "Guest web has ended"
    );
    assert_eq!(held(&guest), [""; 0]);
}
