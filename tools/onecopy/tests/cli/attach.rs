// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach`, to a QEMU that has no kernel: what is plugged, and what is refused.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

use onecopy_machine::options::Accel;
use onecopy_machine::qmp::commands;
use onecopy_machine::Config;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use onecopy_store::Space;
use onecopy_system::Process;

use crate::saved::Host;
use crate::segments::save;
use crate::util::eqnice;
use crate::util::skip;
use crate::util::wait_until;
use crate::util::Dir;

/// A machine as that of a guest, with two ports, whose keeper is the test.
pub(crate) struct Plain {
    pub(crate) dir: Dir,
    pub(crate) machine: Option<Machine>,
}

impl Plain {
    /// Starts one as guest `web` with USR and PY in the store, or says why a test does not run.
    pub(crate) fn start() -> Option<Self> {
        let qemu = Qemu::find().map_err(skip).ok()?;
        let dir = Dir::new();
        fs::create_dir_all(dir.path("run/guests/web")).unwrap();
        let config = Config {
            root_ports: 2,
            hotplug_bytes: 16 << 20,
            hotplug_slots: 4,
            control_socket: Some(dir.path("run/guests/web/qmp")),
            ..Config::new(qemu, Accel::Tcg)
        };
        let machine = Machine::start(&config).unwrap();
        let plain = Self {
            dir,
            machine: Some(machine),
        };
        plain.write_record(true);
        save(&plain.dir, "USR");
        save(&plain.dir, "PY");
        Some(plain)
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.dir.path("run/guests/web/guest.toml")
    }

    fn write_record(&self, ready: bool) {
        let keeper = Process::ours().unwrap();
        let qemu = Process::of(self.machine.as_ref().unwrap().pid()).unwrap();
        let store = self.dir.path("store");
        let text = format!(
            "guest = \"web\"\nsystem = \"LX\"\ngeneration = 1\nstore = {store:?}\n\
             memory_bytes = 536870912\ncpus = 1\nready = {ready}\n\n\
             [keeper]\npid = {}\nstart_ticks = {}\n\n[qemu]\npid = {}\nstart_ticks = {}\n",
            keeper.pid, keeper.start_ticks, qemu.pid, qemu.start_ticks
        );
        fs::write(self.record(), text).unwrap();
    }

    #[track_caller]
    pub(crate) fn refused(&self, args: &[&str], code: i32, expected: &str) {
        let ran = self.dir.run(args);
        let end = (ran.code, ran.stdout.as_str());
        assert_eq!(end, (Some(code), ""), "{args:?}: {}", ran.stderr);
        eqnice!(ran.stderr, format!("onecopy: {expected}\n"));
    }

    /// Returns the permissions of the mappings of a generation in QEMU.
    pub(crate) fn mappings(&self, file: &str) -> Vec<String> {
        let mappings = self.mapped(file).into_iter();
        mappings.map(|(_, permissions)| permissions).collect()
    }

    /// Returns where a generation is mapped in QEMU, and how.
    fn mapped(&self, file: &str) -> Vec<(u64, String)> {
        let maps = fs::read_to_string(self.of_qemu("maps")).unwrap();
        let path = self.dir.path("store/segments").join(file);
        let path = path.to_str().unwrap();
        let lines = maps.lines().filter(|line| line.trim_end().ends_with(path));
        let parse = |line: &str| {
            let (start, rest) = line.split_once('-').unwrap();
            let permissions = rest.split(' ').nth(1).unwrap();
            (
                u64::from_str_radix(start, 16).unwrap(),
                permissions.to_owned(),
            )
        };
        lines.map(parse).collect()
    }

    fn of_qemu(&self, file: &str) -> PathBuf {
        let pid = self.machine.as_ref().unwrap().pid();
        PathBuf::from(format!("/proc/{pid}/{file}"))
    }

    /// Stores into what QEMU has mapped of a generation, as the guest does.
    pub(crate) fn store(&self, file: &str, offset_bytes: u64, bytes: &[u8]) {
        let (start, _) = self.mapped(file)[0];
        let memory = fs::File::options()
            .write(true)
            .open(self.of_qemu("mem"))
            .unwrap();
        memory.write_all_at(bytes, start + offset_bytes).unwrap();
    }

    /// Returns the directory of a segment space as the guest sees it.
    pub(crate) fn seen_by_guest(&mut self, device: &str) -> Vec<(String, String)> {
        let path = self.dir.path("seen");
        let machine = self.machine.as_mut().unwrap();
        let devices = machine.execute(&commands::QueryMemoryDevices {}).unwrap();
        let is_it = |found: &&commands::MemoryDevice| found.data.id.as_deref() == Some(device);
        let found = devices.iter().find(is_it).unwrap();
        let save = commands::Pmemsave {
            address: found.data.address,
            size: found.data.size_bytes,
            filename: path.to_str().unwrap().to_owned(),
        };
        machine.execute(&save).unwrap();
        let space = Space::open(&path).unwrap();
        let members = space.members().iter();
        members
            .map(|member| (member.name.to_string(), member.kind.to_string()))
            .collect()
    }

    pub(crate) fn state(&mut self) -> String {
        let machine = self.machine.as_mut().unwrap();
        machine.execute(&commands::QueryStatus {}).unwrap().status
    }
}

#[test]
fn a_segment_is_plugged_into_a_free_port_and_held_until_the_guest_ends() {
    let Some(mut guest) = Plain::start() else {
        return;
    };
    let dir = &guest.dir;
    eqnice!(
        dir.ok(&["attach", "web", "usr"]),
        "USR generation 1: attached to web\n\
         In the guest: echo USR > /sys/kernel/config/dcss/add\n"
    );
    assert_eq!(guest.mappings("USR/1.seg"), ["r--s"]);
    // The command that attached it has ended; QEMU holds the generation itself.
    save(dir, "USR");
    eqnice!(
        dir.ok(&["query", "seg", "--users"]),
        "SPACE  GEN  CLASS  USER  ACCESS  STATE     DEVICE\n\
         USR    1    P      web   shared  attached  pmem0\n"
    );
    eqnice!(
        dir.ok(&["purge", "seg", "USR"]),
        "USR generation 2: removed\n\
         USR generation 1: class P, removed when its last guest has ended\n"
    );
    guest.machine.take().unwrap().quit().unwrap();
    let dir = &guest.dir;
    let said = dir.ok(&["doctor", "--clean"]);
    let left = "Nobody uses generation 1 of USR (class P)\n";
    assert!(said.ends_with(left), "{said}");
    assert!(!dir.path("store/segments/USR/1.seg").exists());
}

#[test]
fn what_the_guest_has_or_has_no_place_for_is_refused() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    dir.ok(&["attach", "web", "USR"]);
    guest.refused(
        &["attach", "web", "USR"],
        4,
        "Guest web has USR already, generation 1",
    );
    let args = [
        "saveseg",
        "TOOLS",
        "--member",
        "GCC=a.img",
        "--member",
        "USR=a.img",
    ];
    dir.ok(&args);
    guest.refused(
        &["attach", "web", "TOOLS"],
        4,
        "Guest web has a segment USR already, of segment space USR; it would take either",
    );
    save(dir, "BIG");
    fs::File::create(dir.path("big.img"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    dir.ok(&["saveseg", "BIG", "--from-image", "big.img"]);
    let ran = dir.run(&["attach", "web", "BIG"]);
    assert_eq!(ran.code, Some(1));
    let start = "onecopy: Segment space BIG cannot be attached to guest web: not enough space";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    // Nothing of it is left: not its mapping, its hold or its record.
    wait_until("it is not mapped", || {
        guest.mappings("BIG/2.seg").is_empty()
    });
    eqnice!(
        dir.ok(&["purge", "seg", "BIG"]),
        "BIG generation 2: removed\n"
    );

    dir.ok(&["attach", "web", "PY"]);
    save(dir, "THIRD");
    guest.refused(
        &["attach", "web", "THIRD"],
        5,
        "Guest web has no free port for another device; ipl --segment gives it what it needs from \
         the beginning",
    );
    eqnice!(
        dir.ok(&["query", "seg", "--users"]),
        "SPACE  GEN  CLASS  USER  ACCESS  STATE     DEVICE\n\
         PY     1    A      web   shared  attached  pmem1\n\
         USR    1    A      web   shared  attached  pmem0\n"
    );
}

#[test]
fn what_was_recorded_and_never_plugged_or_was_detached_is_attached() {
    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    dir.ok(&["attach", "web", "USR"]);
    let record = fs::read_to_string(guest.record()).unwrap();
    // A kill before the plug leaves this.
    let half = "\n[[attachments]]\nspace = \"PY\"\ngeneration = 1\nmembers = [\"PY\"]\n\
                non_shared = false\ndetached = false\ndevice = \"pmem7\"\n";
    fs::write(guest.record(), format!("{record}{half}")).unwrap();
    dir.ok(&["attach", "web", "PY"]);
    let json = dir.ok(&["query", "seg", "PY", "--json"]);
    assert_eq!(json.matches("\"device\": \"pmem1\"").count(), 1, "{json}");
    assert_eq!(json.matches("pmem7").count(), 0, "{json}");

    // The guest lets go of it, and takes it again.
    let record = fs::read_to_string(guest.record()).unwrap();
    let detached = record.replace("detached = false", "detached = true");
    fs::write(guest.record(), detached).unwrap();
    let users = dir.ok(&["query", "seg", "USR", "--users"]);
    let row = "USR    1    A      web   shared  detached  pmem0\n";
    assert!(users.ends_with(row), "{users}");
    dir.ok(&["attach", "web", "USR"]);
    assert_eq!(guest.mappings("USR/1.seg"), ["r--s"]);
    save(dir, "PY");
    guest.refused(
        &["attach", "web", "PY"],
        4,
        "Guest web has PY already, generation 1, which it has detached; another one can be attached \
         when it was started again",
    );
}

#[test]
fn what_a_guest_has_is_recorded_and_kept_whatever_happens_at_the_same_time() {
    const ROUNDS: usize = 6;

    let Some(guest) = Plain::start() else { return };
    let dir = &guest.dir;
    let run = |args: &[&str]| {
        let ran = dir.run(args);
        let is_race = ["no segment", "no segment space", "has "];
        let is_race = is_race.iter().any(|words| ran.stderr.contains(words));
        assert!(ran.code == Some(0) || is_race, "{args:?}: {ran:?}");
    };
    thread::scope(|scope| {
        for name in ["USR", "PY"] {
            scope.spawn(move || (0..ROUNDS).for_each(|_| run(&["attach", "web", name])));
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    run(&["saveseg", name, "--from-image", "a.img"]);
                }
            });
            scope.spawn(move || (0..ROUNDS).for_each(|_| run(&["purge", "seg", name])));
        }
    });
    let listed = dir.ok(&["query", "seg", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let mut devices = Vec::new();
    for space in listed["segment_spaces"].as_array().unwrap() {
        let users = space["users"].as_array().unwrap();
        let path = space["path"].as_str().unwrap();
        let file = path.strip_prefix("DIR/store/segments/").unwrap();
        assert_eq!(guest.mappings(file).len(), users.len(), "{listed}");
        assert!(space["class"] == "A" || users.len() == 1, "{listed}");
        devices.extend(users.iter().map(|user| user["device"].as_str().unwrap()));
    }
    // Nothing is mapped of which the file is gone.
    assert_eq!(guest.mappings("(deleted)"), [""; 0]);
    devices.sort_unstable();
    devices.dedup();
    let maps = fs::read_to_string(guest.of_qemu("maps")).unwrap();
    assert_eq!(maps.matches(".seg\n").count(), devices.len(), "{maps}");
}

#[test]
fn a_guest_that_is_not_there_or_not_ready_gets_nothing() {
    let Some(guest) = Plain::start() else { return };
    guest.refused(
        &["attach", "db", "USR"],
        3,
        "There is no guest db; there are: web",
    );
    guest.refused(
        &["attach", "web", "NOSUCH"],
        3,
        "Cannot attach segments from DIR/store: There is no segment NOSUCH; there are: PY (PY), USR \
         (USR)",
    );
    guest.refused(
        &["--root", "other", "attach", "web", "USR"],
        4,
        "Guest web was started from the store DIR/store; --root says which is used",
    );
    guest.write_record(false);
    guest.refused(
        &["attach", "web", "USR"],
        4,
        "Guest web is still starting; try again when it is ready",
    );
}

#[test]
fn a_guest_finds_what_is_attached_and_its_keeper_removes_what_nobody_uses_then() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    for name in ["USR", "PY"] {
        save(dir, name);
    }
    // One from the beginning, beside a balloon, and one later.
    dir.ok(&["ipl", "LX", "--as", "web", "--segment", "USR", "--balloon"]);
    dir.ok(&["attach", "web", "PY"]);
    let available = "/sys/kernel/config/dcss/add";
    wait_until("the guest has both", || {
        let content = host.content("web", available);
        content.is_some_and(|content| content == "USR\nPY" || content == "PY\nUSR")
    });
    for name in ["USR", "PY"] {
        save(dir, name);
    }
    eqnice!(
        dir.ok(&["query", "seg", "--users"]),
        "SPACE  GEN  CLASS  USER  ACCESS  STATE     DEVICE\n\
         PY     1    P      web   shared  attached  pmem2\n\
         USR    1    P      web   shared  attached  pmem0\n"
    );
    dir.ok(&["logoff", "web", "--now"]);
    for name in ["USR", "PY"] {
        assert_eq!(dir.assert_sound(name), [2]);
    }
}
