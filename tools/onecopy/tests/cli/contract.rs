// SPDX-License-Identifier: GPL-2.0

//! What each verb prints with `--json` conforms to its schema, and so does what it says when it fails.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use onecopy_machine::Qemu;
use serde_json::json;
use serde_json::Value;

use crate::guest::kernel;
use crate::guest::Action;
use crate::partition_table;
use crate::saved::Host;
use crate::schema::conforming;
use crate::schema::verbs;
use crate::util::skip;
use crate::util::Dir;
use crate::util::Ran;
use crate::vmrm::configure;

/// Verbs that print an object in each line.
const LINES: [&str; 2] = ["vmrm run", "vmrm simulate"];

/// A user who owns nothing.
const NOBODY: u32 = 65534;

/// Verbs that say something only when there are guests.
const WITH_GUESTS: [&str; 6] = ["attach", "ipl", "logoff", "savesys", "smsg", "vmrm run"];

/// Runs verbs in one directory, and remembers which.
struct Contract<'a> {
    dir: &'a Dir,
    seen: BTreeSet<String>,
}

impl<'a> Contract<'a> {
    fn new(dir: &'a Dir) -> Self {
        let seen = BTreeSet::new();
        Self { dir, seen }
    }

    /// Runs a verb with `--json`, which must succeed, and checks what it prints.
    #[track_caller]
    fn check(&mut self, args: &[&str]) -> Value {
        self.check_status(args, 0)
    }

    /// As [`Self::check`], of one that prints its outcome and ends with this exit status.
    #[track_caller]
    fn check_status(&mut self, args: &[&str], status: i32) -> Value {
        let Ran {
            code,
            stdout,
            stderr,
        } = self.dir.run(&[args, &["--json"]].concat());
        assert_eq!(code, Some(status), "{args:?}: {stderr}");
        let verb = verb(args);
        self.seen.insert(verb.clone());
        if LINES.contains(&verb.as_str()) {
            let lines = stdout.lines().map(|line| conforming(&verb, line));
            return lines.collect();
        }
        conforming(&verb, &stdout)
    }

    /// Runs a verb that must fail so, and checks what it says.
    #[track_caller]
    fn fail(&mut self, args: &[&str], status: i32) -> Value {
        let ran = self.dir.run(&[args, &["--json"]].concat());
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(status), ""),
            "{args:?}: {ran:?}"
        );
        let said = conforming("error", &ran.stderr);
        assert_eq!(said["exit_status"], status);
        self.seen.insert("error".to_owned());
        said
    }
}

/// Returns the words of a command line that are the verb.
fn verb(args: &[&str]) -> String {
    let known = verbs();
    let longest = (1..=args.len().min(2))
        .rev()
        .map(|count| args[..count].join(" "));
    longest
        .into_iter()
        .find(|words| known.contains(words))
        .unwrap()
}

#[test]
fn verbs_without_guests_print_what_their_schemas_say() {
    if Qemu::find().map_err(skip).is_err() {
        return;
    }
    let dir = partition_table::dir();
    let mut contract = Contract::new(&dir);
    dir.file("a.img", "content");
    let saved = contract.check(&["saveseg", "USR", "--from-image", "a.img"]);
    assert_eq!(
        (&saved["name"], &saved["generation"]),
        (&json!("USR"), &json!(1))
    );
    assert_eq!(saved["path"], "DIR/store/segments/USR/1.seg");
    contract.check(&["query", "seg", "--verify"]);
    contract.check(&["query", "seg", "--users"]);
    let defseg = ["defseg", "NEW", "--type", "EW", "--size", "2M"];
    assert_eq!(contract.check(&defseg)["members"][0]["type"], "EW");
    let purged = contract.check(&["purge", "seg", "NEW"]);
    assert_eq!(purged["skeleton"], true);

    let kernel = kernel(&dir, Action::PowerOff);
    let kernel = kernel.to_str().unwrap();
    let boot = [
        "boot", "--accel", "tcg", "--memory", "64M", "--kernel", kernel,
    ];
    assert_eq!(contract.check(&boot)["end"], "switched-off");

    crate::guest::shared_kernel(&dir, Action::Hang);
    let defsys = ["defsys", "LX", "--kernel", "kernel"];
    let dry = contract.check(&[&defsys[..], &["--dry-run"]].concat());
    assert_eq!(dry["defined"], false);
    let defined = contract.check(&defsys);
    assert_eq!(defined["defined"], true);
    assert_eq!(dry["statement"], defined["statement"]);
    contract.check(&["query", "nss"]);
    assert_eq!(contract.check(&["purge", "nss", "LX"])["skeleton"], true);
    let purged = contract.check(&["purge", "nss", "K2"]);
    assert_eq!(
        (&purged["removed"], &purged["pending"]),
        (&json!([1]), &json!([]))
    );
    partition_table::put_system(&dir.path("store"), "K2", "bb22", "");

    let partition = |words: &[&'static str]| [&["partition"], words].concat();
    contract.check(&partition(&[
        "define", "web", "--kernel", "K1", "--nic", "user",
    ]));
    contract.check(&partition(&["show", "web"]));
    contract.check(&partition(&["list"]));
    contract.check(&partition(&["upgrade", "web", "--kernel", "K2"]));
    contract.check(&partition(&["rollback", "web"]));
    contract.check(&partition(&["remove", "web"]));
    contract.check(&["query", "partitions"]);
    contract.check(&["query", "guests"]);
    let memory = contract.check(&["query", "memory"]);
    assert_eq!(memory["segment_spaces"][0]["name"], "USR");
    contract.check(&["report", "-o", "r.html"]);
    contract.check(&["metrics"]);
    contract.check(&["top", "--once"]);
    contract.check(&["vmrm", "check"]);
    // What is wrong with the host makes its status 1.
    let ran = dir.run(&["doctor", "--json"]);
    conforming("doctor", &ran.stdout);

    dir.file("trace", "{\"onecopy_vmrm_trace\":1}\n");
    let lines = contract.check(&["vmrm", "simulate", "trace"]);
    assert_eq!(lines[0]["event"], "summary");

    let mut seen = contract.seen;
    seen.extend(["doctor", "error"].map(str::to_owned));
    seen.extend(WITH_GUESTS.map(str::to_owned));
    assert_eq!(seen, verbs().into_iter().collect());
}

#[test]
fn failures_of_all_kinds_are_objects_too() {
    let dir = partition_table::dir();
    let mut contract = Contract::new(&dir);
    let said = contract.fail(&["saveseg", "USR", "--from-image", "nosuch"], 1);
    assert_eq!(said["error"], "Cannot open nosuch");
    assert_eq!(
        said["causes"],
        json!(["No such file or directory (os error 2)"])
    );
    let said = contract.fail(&["saveseg", "USR", "--member", "PY"], 2);
    assert!(
        said["error"].as_str().unwrap().contains("NAME=PATH"),
        "{said}"
    );
    dir.ok(&["partition", "define", "web", "--kernel", "K1"]);
    let define = ["partition", "define", "web", "--kernel", "K1"];
    contract.fail(&define, 4);
    let large = ["partition", "define", "db", "--kernel", "K1", "--memory"];
    contract.fail(&[&large[..], &["2G"]].concat(), 5);
    dir.file("damaged", "{\"a\":1}\n");
    for args in [
        &["report", "-o", "r.html", "--from", "damaged"][..],
        &["vmrm", "simulate", "damaged"],
    ] {
        contract.fail(args, 6);
    }
    dir.file("vmrm.toml", "x");
    contract.fail(&["vmrm", "check", "--config", "vmrm.toml"], 2);
    fs::write(dir.path("store/partitions/table.toml"), "x").unwrap();
    contract.fail(&["partition", "remove", "web"], 6);
    contract.fail(&["ipl", "--partition", "web"], 6);
}

#[test]
fn what_does_not_exist_is_told_by_the_same_status_everywhere() {
    let dir = partition_table::dir();
    let mut contract = Contract::new(&dir);
    for args in [
        &["query", "seg", "NOSUCH"][..],
        &["query", "nss", "NOSUCH"],
        &["purge", "nss", "NOSUCH"],
        &["savesys", "NEW", "--running", "nosuch"],
        &["ipl", "NOSUCH"],
        &["ipl", "K1", "--segment", "NOSUCH"],
        &["ipl", "--partition", "nosuch"],
        &["boot", "--kernel", "x", "--segment", "NOSUCH"],
        &["console", "nosuch"],
        &["logoff", "nosuch"],
        &["partition", "show", "nosuch"],
        &["partition", "define", "web", "--kernel", "NOSUCH"],
        &["partition", "upgrade", "nosuch", "--kernel", "K1"],
        &["partition", "rollback", "nosuch"],
        &["partition", "remove", "nosuch"],
    ] {
        contract.fail(args, 3);
    }
}

#[test]
fn who_may_not_write_to_the_store_is_told() {
    let dir = partition_table::dir();
    dir.file("a.img", "content");
    let mode = |path: &str, mode| {
        fs::set_permissions(dir.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("", 0o755);
    mode("store", 0o555);
    let mut command = dir.command(&["saveseg", "USR", "--from-image", "a.img", "--json"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let ran = dir.finish(&mut command);
    mode("store", 0o755);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), ""));
    let said = conforming("error", &ran.stderr);
    assert_eq!(said["causes"][0], "Permission denied (os error 13)");
}

#[test]
fn verbs_about_guests_print_what_their_schemas_say() {
    let Some(host) = Host::empty() else { return };
    let mut contract = Contract::new(&host.dir);
    let saved = contract.check(&host.save_arguments());
    assert_eq!(saved["saved_system"]["generation"], 1);
    let more = ["--nic", "user", "--balloon", "--smsg"];
    let ipl = [&["ipl", "LX", "--as", "web"][..], &more].concat();
    let started = contract.check(&ipl);
    assert_eq!(
        (&started["guest"], &started["partition"]),
        (&json!("web"), &Value::Null)
    );
    contract.fail(&ipl, 4);
    host.dir
        .ok(&["partition", "define", "db", "--kernel", "LX"]);
    contract.check(&["ipl", "--partition", "db"]);
    let guests = contract.check(&["query", "guests"]);
    assert_eq!(guests["guests"].as_array().map(Vec::len), Some(2));
    host.dir.file("a.img", "content");
    host.dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let attached = contract.check(&["attach", "web", "USR"]);
    assert_eq!(attached["attached"][0]["space"], "USR");
    let told = contract.check(&["smsg", "web", "DCSS ATTACH USR", "--timeout", "30"]);
    assert_eq!(told["carried_out"], true);
    assert_eq!(
        contract.check(&["query", "nss"])["saved_systems"][0]["users"],
        json!(["db", "web"])
    );
    let memory = contract.check(&["query", "memory"]);
    assert_shared(&memory);
    for verb in [&["partition", "show", "db"][..], &["partition", "list"]] {
        contract.check(verb);
    }
    let now = ["--now", "--timeout", "120"];
    contract.check(&[&["partition", "upgrade", "db", "--kernel", "LX"], &now[..]].concat());
    for verb in [
        &["top", "--once"][..],
        &["metrics"],
        &["report", "-o", "r.html"],
    ] {
        contract.check(verb);
    }
    let checked = contract.check(&["vmrm", "check"]);
    assert_eq!(checked["guests"].as_array().map(Vec::len), Some(2));
    configure(&host.dir, 0, "notify.memory = [\"we*\"]\n");
    let lines = contract.check(&["vmrm", "run", "--once", "--config", "vmrm.toml"]);
    assert_eq!(lines[0]["event"], "mode");
    contract.check(&["purge", "nss", "LX"]);
    for guest in ["web", "db"] {
        assert_eq!(contract.check(&["logoff", guest, "--now"])["guest"], guest);
    }
    host.wait_for_silence();
    for verb in WITH_GUESTS {
        assert!(contract.seen.contains(verb), "{verb}");
    }
}

/// Two guests have the text of the kernel together, and it takes no more than once.
#[track_caller]
fn assert_shared(memory: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let (total, system) = (&memory["total"], &memory["saved_systems"][0]);
    assert_eq!((number(&total["guests"]), number(&system["users"])), (2, 2));
    let (shared, mapped) = (
        number(&total["shared_bytes"]),
        number(&total["mapped_bytes"]),
    );
    assert!(shared > 1 << 20 && mapped > shared * 3 / 2, "{memory}");
    assert!(
        number(&system["size_bytes"]) >= number(&system["resident_bytes"]),
        "{memory}"
    );
    assert_eq!(number(&total["unshared_bytes"]), 0, "{memory}");
    for guest in memory["guests"].as_array().unwrap() {
        assert!(number(&guest["private_bytes"]) > 0, "{memory}");
        assert_eq!(
            guest["given_bytes"].is_null(),
            guest["name"] != "web",
            "{memory}"
        );
    }
}
