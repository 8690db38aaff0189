// SPDX-License-Identifier: GPL-2.0

//! `onecopy top`, `report` and `metrics`

use std::fs;

use serde_json::Value;

use crate::full_disk::run_on_disk;
use crate::saved::Host;
use crate::util::eqnice;
use crate::util::Dir;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap();
    object.keys().map(String::as_str).collect()
}

#[test]
fn without_guests_everything_works_and_says_so() {
    let dir = Dir::new();
    let shown = dir.ok(&["top", "--once"]);
    assert!(shown.contains("  0 guests\n"), "{shown}");
    assert!(shown.ends_with("No guest runs that was started from a saved system.\n"));
    assert!(!shown.contains('\u{1b}'), "no colours: {shown}");
    let sample = json(&dir.ok(&["top", "--once", "--json"]));
    assert_eq!(sample["guests"], Value::Array(Vec::new()));
    assert!(dir.ok(&["metrics"]).contains("\nonecopy_guests 0\n"));
    eqnice!(
        dir.ok(&["report", "-o", "now.html"]),
        "now.html: 1 sample, 0 guests, 0 SHRINKs\n"
    );
    let html = fs::read_to_string(dir.path("now.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>\n") && html.ends_with("</html>\n"));
}

#[test]
fn top_needs_a_terminal_unless_it_is_shown_once() {
    let ran = Dir::new().run(&["top"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    let expected = "onecopy: There is no terminal to show this on; --once needs none\n";
    eqnice!(ran.stderr, expected);
}

#[test]
fn a_record_that_is_something_else_is_refused_and_nothing_written() {
    let dir = Dir::new();
    dir.file("x.jsonl", "{\"a\":1}\n");
    let ran = dir.run(&["report", "-o", "r.html", "--from", "x.jsonl"]);
    assert_eq!(ran.code, Some(6));
    let start = "onecopy: Line 1 of x.jsonl is neither a sample nor a SHRINK: ";
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
    assert!(!dir.path("r.html").exists());
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let dir = Dir::new();
    let said = run_on_disk(
        &dir,
        4,
        "report() { $onecopy report -o store/r.html; }
         metrics() { $onecopy metrics --textfile store/m.prom; }
         record() { $onecopy top --once --record store/h.jsonl; }
         manual() { $onecopy man store/man; }
         for what in report metrics record manual; do $what >/dev/null || exit; done
         # Room for a part of a line, in the last page of the file.
         while [ $(($(stat -c %s store/h.jsonl) % 4096)) -lt 3996 ]; do
             size=$(stat -c %s store/h.jsonl)
             left=$((4096 - size % 4096 - 50))
             head -c $((left - 1)) /dev/zero | tr '\\0' ' ' >>store/h.jsonl
             echo >>store/h.jsonl
         done
         cp -r store before
         cat /dev/zero >store/fill 2>/dev/null
         for what in report metrics record manual; do
             $what 2>&1 >/dev/null; echo \"exit $?\"
         done
         rm store/fill
         diff -r before store && echo same; ls -A store | tr '\\n' ' '",
    );
    let Some(said) = said else { return };
    // Where a temporary file would have been has no fixed name.
    let lines = said
        .lines()
        .map(|line| line.split(" at path ").next().unwrap());
    let said = lines.collect::<Vec<_>>().join("\n");
    let full = "No space left on device (os error 28)";
    eqnice!(
        said,
        format!(
            "onecopy: Cannot write store/r.html: {full}\nexit 5\n\
             onecopy: Cannot write store/m.prom: {full}\nexit 5\n\
             onecopy: Cannot write to store/h.jsonl: {full}\nexit 5\n\
             onecopy: Cannot write manual pages to store/man: {full}\nexit 5\n\
             same\nh.jsonl m.prom man r.html "
        )
    );
}

#[test]
fn guests_are_sampled_recorded_reported_and_measured() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    for name in ["a", "b"] {
        dir.ok(&["ipl", "LX", "--as", name, "--small-pages"]);
    }
    let args = ["top", "--once", "--json", "--record", "h.jsonl"];
    let sample = json(&dir.ok(&args));
    dir.ok(&args);
    let all = ["time_unix_ms", "host", "guests", "files"];
    assert_eq!(keys(&sample), sorted(&all));
    let guest = &sample["guests"][0];
    let all = [
        "name",
        "system",
        "generation",
        "pid",
        "state",
        "memory_bytes",
        "cpus",
        "balloon_bytes",
        "process",
        "unique_bytes",
        "ranges",
        "attached",
        "error",
    ];
    assert_eq!(keys(guest), sorted(&all));
    assert_eq!(
        (guest["name"].as_str(), guest["state"].as_str()),
        (Some("a"), Some("running"))
    );
    assert_eq!(guest["generation"], 1);
    assert!(guest["unique_bytes"].as_u64().unwrap() > 4096);
    assert!(guest["process"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    let ranges = guest["ranges"].as_array().unwrap();
    let shared = ranges.iter().find(|range| range["type"] == "SR").unwrap();
    let bytes = |name: &str| shared[name].as_u64().unwrap();
    // Both map the same pages, so each has half of them.
    assert!(bytes("shared_bytes") >= 2 << 20);
    assert!(
        bytes("proportional_bytes") < bytes("shared_bytes") * 2 / 3,
        "{shared}"
    );
    let files = sample["files"].as_array().unwrap();
    let file = files
        .iter()
        .find(|file| file["file"] == "sr-0.img")
        .unwrap();
    assert!(
        file["resident_bytes"].as_u64().unwrap() >= 2 << 20,
        "{file}"
    );

    let shown = dir.ok(&["top", "--once", "--sort", "name", "--filter", "b"]);
    assert!(shown.contains("  2 guests\n") && shown.contains("\nb      LX.1   running "));
    assert!(!shown.contains("\na "), "{shown}");

    fs::write(
        dir.path("s.jsonl"),
        "{\"time\":1800000000,\"guest\":\"a\",\"bytes\":1048576}\n",
    )
    .unwrap();
    let args = [
        "report",
        "-o",
        "r.html",
        "--from",
        "h.jsonl",
        "--shrinks",
        "s.jsonl",
        "--json",
    ];
    let reported = json(&dir.ok(&args));
    let expected = serde_json::json!({"file": "r.html", "samples": 2, "guests": 2, "shrinks": 1});
    assert_eq!(reported, expected);
    let html = fs::read_to_string(dir.path("r.html")).unwrap();
    assert_eq!(html.matches("<svg ").count(), 4);

    let file = dir.path("onecopy.prom");
    eqnice!(
        dir.ok(&["metrics", "--textfile", file.to_str().unwrap()]),
        ""
    );
    let text = fs::read_to_string(&file).unwrap();
    let up = "\nonecopy_guest_up{guest=\"b\",system=\"LX\",generation=\"1\"} 1\n";
    assert!(text.contains(up), "{text}");
    let measured = json(&dir.ok(&["metrics", "--json"]));
    assert_eq!(measured["guests"].as_array().unwrap().len(), 2);
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}
