// SPDX-License-Identifier: GPL-2.0

//! What is generated from the program: manual pages that groff renders, and completions that bash uses.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::util::skip;
use crate::util::Dir;
use crate::util::PROGRAM;

/// The script that puts everything into its place.
const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/install");

/// Returns whether a program that a test needs is there.
fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output()
        .unwrap();
    if !found.status.success() {
        skip(format!("{program} is missing"));
    }
    found.status.success()
}

/// Renders a page for a terminal, and expects that nothing is complained about.
fn render(page: &Path) -> String {
    let output = Command::new("man")
        .args(["--warnings=w", "--encoding=UTF-8", "--local-file"])
        .arg(page)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "100")
        .env_remove("MANPAGER")
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaints}", page.display());
    assert_eq!(complaints, "", "{}", page.display());
    // Bold letters are printed twice, one over the other.
    let text = String::from_utf8(output.stdout).unwrap();
    let mut plain: Vec<char> = Vec::new();
    for character in text.chars() {
        if character == '\u{8}' {
            plain.pop();
        } else {
            plain.push(character);
        }
    }
    plain.into_iter().collect()
}

#[test]
fn manual_pages_are_rendered_without_warnings() {
    if !has("man") || !has("groff") {
        return;
    }
    let dir = Dir::new();
    let written = dir.ok(&["man", "man1"]);
    let names: Vec<&str> = written.lines().collect();
    assert!(names.len() > 25, "{written}");
    for name in &names {
        let text = render(&dir.path("man1").join(name));
        let mut parts = vec!["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"];
        match *name {
            "onecopy.1" => parts.extend(["ENVIRONMENT", "FILES", "EXAMPLES", "VERBS"]),
            _ => parts.push("SEE ALSO"),
        }
        for part in parts {
            assert!(
                text.contains(&format!("\n{part}\n")),
                "{name} {part}: {text}"
            );
        }
    }
    let text = render(&dir.path("man1/onecopy.1"));
    assert!(
        text.contains("\n       7      permission denied\n"),
        "{text}"
    );
    assert!(text.contains("onecopy-query(1)"), "{text}");
    let text = render(&dir.path("man1/onecopy-query-seg.1"));
    assert!(
        text.contains("\n       onecopy query seg USR --verify\n"),
        "{text}"
    );
    let text = render(&dir.path("man1/onecopy-partition-upgrade.1"));
    let usage = "onecopy partition upgrade [OPTIONS] --kernel <NAME> <PARTITION>";
    assert!(text.contains(usage), "{text}");
    let text = render(&dir.path("man1/onecopy-doctor.1"));
    assert!(
        text.contains("also when there are warnings; 1 when"),
        "{text}"
    );
}

#[test]
fn a_page_that_is_wrong_is_complained_about() {
    if !has("man") || !has("groff") {
        return;
    }
    let dir = Dir::new();
    let page = dir.file("x.1", ".TH X 1\n.SH NAME\nx - y\n.NOSUCH\n");
    assert!(std::panic::catch_unwind(|| render(&page)).is_err());
}

/// Returns what bash offers for the last word.
fn completed(dir: &Dir, words: &[&str]) -> Vec<String> {
    let list = words.join(" ");
    let last = words.len() - 1;
    let script = format!(
        "set -eu; source completion; complete -p onecopy >&2
         COMP_WORDS=({list} {}); COMP_CWORD={last}; COMP_LINE=\"${{COMP_WORDS[*]}}\"
         COMP_POINT=${{#COMP_LINE}}; COMPREPLY=()
         _onecopy onecopy \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\" || true
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        if words[last].is_empty() { "''" } else { "" }
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &script])
        .current_dir(dir.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-F _onecopy"), "{said}");
    assert!(output.status.success(), "{said}");
    let reply = String::from_utf8(output.stdout).unwrap();
    reply.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_and_options() {
    let dir = Dir::new();
    dir.file("completion", dir.ok(&["completions", "bash"]));
    assert_eq!(completed(&dir, &["onecopy", "part"]), ["partition"]);
    assert_eq!(completed(&dir, &["onecopy", "savese"]), ["saveseg"]);
    assert_eq!(completed(&dir, &["onecopy", "query", "gu"]), ["guests"]);
    assert_eq!(
        completed(&dir, &["onecopy", "ipl", "--sma"]),
        ["--small-pages"]
    );
    assert_eq!(
        completed(&dir, &["onecopy", "partition", "upgrade", "--ker"]),
        ["--kernel"]
    );
    assert!(completed(&dir, &["onecopy", "query", "seg", "--"]).contains(&"--json".to_owned()));
}

#[test]
fn completions_are_understood_by_their_shells() {
    let dir = Dir::new();
    for (shell, begin, check) in [
        ("bash", "_onecopy() {", Some("bash")),
        ("zsh", "#compdef onecopy", None),
        ("fish", "# Print an optspec for argparse", None),
    ] {
        let script = dir.ok(&["completions", shell]);
        assert!(script.starts_with(begin), "{shell}: {script}");
        assert!(script.contains("savesys"), "{shell}");
        if let Some(program) = check {
            let path = dir.file("script", script);
            let checked = Command::new(program).arg("-n").arg(path).status();
            assert!(checked.unwrap().success(), "{shell}");
        }
    }
    let ran = dir.run(&["completions", "sh"]);
    assert_eq!(ran.code, Some(2));
}

#[test]
fn everything_is_installed_where_it_belongs() {
    let dir = Dir::new();
    let output = Command::new(INSTALL)
        .env("ONECOPY_BINARY", PROGRAM)
        .env("DESTDIR", dir.path("root"))
        .env("PREFIX", "/opt/onecopy")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let prefix = dir.path("root/opt/onecopy");
    for file in [
        "bin/onecopy",
        "share/man/man1/onecopy.1",
        "share/man/man1/onecopy-partition-define.1",
        "share/bash-completion/completions/onecopy",
        "share/zsh/site-functions/_onecopy",
        "share/fish/vendor_completions.d/onecopy.fish",
        "share/onecopy/schema/query-guests.json",
    ] {
        assert!(prefix.join(file).is_file(), "{file}: {said}");
    }
    let unit = fs::read_to_string(prefix.join("lib/systemd/system/onecopy-vmrm.service"));
    let unit = unit.unwrap();
    assert!(
        unit.contains("\nExecStart=/opt/onecopy/bin/onecopy vmrm run\n"),
        "{unit}"
    );
    assert!(!unit.contains("/usr/local"), "{unit}");
    let installed = Command::new(prefix.join("bin/onecopy"))
        .arg("--version")
        .output();
    assert!(installed.unwrap().status.success());

    let missing = Command::new(INSTALL)
        .env("ONECOPY_BINARY", dir.path("nosuch"))
        .env("DESTDIR", dir.path("other"))
        .output()
        .unwrap();
    assert!(!missing.status.success());
    assert!(!dir.path("other").exists());
}
