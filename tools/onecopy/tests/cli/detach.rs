// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach` and `detach` of guests that take messages, with the real kernel.

use std::fs::File;

use rustix::fs::flock;
use rustix::fs::FlockOperation;
use serde_json::json;
use serde_json::Value;

use crate::attach_broken::is_locked;
use crate::saved::Host;
use crate::signals::ran;
use crate::signals::spawn;
use crate::util::eqnice;
use crate::util::refused;
use crate::util::wait_until;

/// What the guest says that its driver has attached.
const ATTACHED: &str = "/sys/kernel/config/dcss/remove";

fn users(host: &Host) -> Value {
    let listed = host.dir.ok(&["query", "seg", "TOOLS", "--json"]);
    let mut listed: Value = serde_json::from_str(&listed).unwrap();
    listed["segment_spaces"][0]["users"].take()
}

/// Starts a guest with a channel for messages, and one without, in a store with a segment space of two members.
fn start() -> Option<Host> {
    let host = Host::new()?;
    let dir = &host.dir;
    dir.file("a.img", "content");
    let members = ["--member", "PY=a.img", "--member", "GCC=a.img"];
    dir.ok(&[&["saveseg", "TOOLS"][..], &members].concat());
    dir.ok(&["ipl", "LX", "--as", "web", "--smsg"]);
    dir.ok(&["ipl", "LX", "--as", "deaf"]);
    Some(host)
}

#[test]
fn a_guest_that_takes_messages_attaches_and_detaches_when_it_is_told() {
    let Some(host) = start() else { return };
    let dir = &host.dir;
    eqnice!(
        dir.ok(&["attach", "web", "TOOLS"]),
        "TOOLS generation 1: attached to web\n\
         In the guest: /dev/dcss/PY\n\
         In the guest: /dev/dcss/GCC\n"
    );
    // It was waited for.
    let attached = host.content("web", ATTACHED).unwrap();
    assert!(
        attached.contains("PY") && attached.contains("GCC"),
        "{attached}"
    );
    assert_eq!(users(&host)[0]["detached"], false);

    eqnice!(
        dir.ok(&["detach", "web", "py"]),
        "TOOLS generation 1: PY, detached from web; mapped until it ends\n"
    );
    assert_eq!(host.content("web", ATTACHED).as_deref(), Some("GCC"));
    assert_eq!(users(&host)[0]["detached"], false);
    let rest = dir.ok(&["detach", "web", "TOOLS", "--json"]);
    let rest: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(rest["members"], json!(["GCC"]));
    assert_eq!(host.content("web", ATTACHED).as_deref(), Some(""));
    let user = &users(&host)[0];
    assert_eq!(
        (&user["guest"], &user["detached"]),
        (&"web".into(), &true.into())
    );

    // It is there still, and comes back.
    dir.ok(&["attach", "web", "TOOLS"]);
    assert_eq!(users(&host)[0]["detached"], false);
    assert!(host.content("web", ATTACHED).unwrap().contains("GCC"));
}

#[test]
fn a_guest_that_takes_no_messages_or_has_no_such_segment_is_told_apart() {
    let Some(host) = start() else { return };
    let dir = &host.dir;
    assert_eq!(
        refused(dir, &["detach", "web", "TOOLS"], 3),
        "Guest web has no segment TOOLS"
    );
    let said = dir.ok(&["attach", "deaf", "TOOLS"]);
    assert!(
        said.contains("In the guest: echo PY > /sys/kernel/config/dcss/add\n"),
        "{said}"
    );
    let said = refused(dir, &["detach", "deaf", "TOOLS"], 4);
    let start =
        "Cannot detach PY; in the guest, echo PY > /sys/kernel/config/dcss/remove does it: ";
    assert!(said.starts_with(start), "{said}");
    assert!(said.ends_with("ipl --smsg plugs one"), "{said}");
    assert_eq!(users(&host)[0]["detached"], false);

    // Rules about messages are rules about this as well.
    dir.file("store/smsg.toml", "");
    dir.ok(&["ipl", "LX", "--as", "api", "--smsg"]);
    let ran = dir.run(&["attach", "api", "TOOLS"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains("Guest api has not attached PY: "),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("echo GCC > "), "{ran:?}");
    dir.ok(&["ipl", "LX", "--as", "bus", "--smsg"]);
    let told = dir.ok(&["attach", "bus", "TOOLS", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["told"], json!([]));
    assert_eq!(told["entries"], json!(["PY", "GCC"]));
    let refused_entries = told["refused"].as_array().unwrap();
    let entries: Vec<_> = refused_entries.iter().map(|one| &one["entry"]).collect();
    assert_eq!(entries, ["PY", "GCC"]);
    for one in refused_entries {
        let reason = one["reason"].as_str().unwrap();
        assert!(reason.contains("smsg.toml"), "{told}");
    }
    refused(dir, &["detach", "api", "TOOLS"], 7);
}

#[test]
fn what_is_told_and_what_is_recorded_is_one_step() {
    let Some(host) = start() else { return };
    let dir = &host.dir;
    dir.ok(&["attach", "web", "TOOLS"]);
    // While somebody else is sending a message, a detach waits for its turn.
    let turn = File::options()
        .write(true)
        .open(dir.path("run/guests/web/smsg.lock"))
        .unwrap();
    flock(&turn, FlockOperation::LockExclusive).unwrap();
    let detach = ["detach", "web", "TOOLS", "--timeout", "60"];
    let detach = spawn(&mut dir.command(&detach));
    wait_until("detach has the guest's lock", || is_locked(dir));
    let attach = spawn(&mut dir.command(&["attach", "web", "TOOLS"]));
    drop(turn);
    let [detach, attach] = [detach, attach].map(ran);
    assert_eq!(detach.code, Some(0), "{detach:?}");
    assert_eq!(attach.code, Some(0), "{attach:?}");
    assert_eq!(users(&host)[0]["detached"], false);
    let attached = host.content("web", ATTACHED).unwrap();
    assert!(
        attached.contains("PY") && attached.contains("GCC"),
        "{attached}"
    );

    // What the guest has attached in the meantime it has attached.
    let record = dir.path("run/guests/web/guest.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    let text = text.replace("detached = false", "detached = true");
    std::fs::write(&record, text).unwrap();
    let told = dir.ok(&["attach", "web", "TOOLS", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["told"], json!(["PY", "GCC"]));
    assert_eq!(told["refused"], json!([]));
}
