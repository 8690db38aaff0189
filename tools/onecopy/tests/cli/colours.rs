// SPDX-License-Identifier: GPL-2.0

//! Colours and progress are for terminals only, and for those who want them.

use std::process::Command;

use crate::partition_table;
use crate::util::Dir;
use crate::util::PROGRAM;

const ESCAPE: char = '\u{1b}';

/// What the environment says of colours; nothing for a variable that is not set.
type Environment<'a> = [(&'a str, Option<&'a str>)];

fn with(mut command: Command, environment: &Environment<'_>) -> Command {
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm");
    // There colours are shown whatever the terminal is.
    command.env_remove("CI");
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn on_a_pipe(dir: &Dir, environment: &Environment<'_>) -> String {
    said(with(dir.command(&["query", "nss"]), environment))
}

/// Runs a line on a terminal of its own.
fn on_a_terminal(dir: &Dir, line: &str, environment: &Environment<'_>) -> String {
    let mut command = Command::new("script");
    command
        .args(["-qec", &format!("{PROGRAM} {line}"), "/dev/null"])
        .current_dir(dir.path(""))
        .env("ONECOPY_ROOT", dir.path("store"))
        .env("ONECOPY_RUN", dir.path("run"));
    said(with(command, environment))
}

/// Takes out what gives colours.
fn plain(text: &str) -> String {
    let mut parts = text.replace('\r', "");
    while let Some(start) = parts.find(ESCAPE) {
        let end = parts[start..].find('m').unwrap();
        parts.replace_range(start..=start + end, "");
    }
    parts
}

#[test]
fn tables_have_colours_on_terminals_unless_somebody_does_not_want_them() {
    let dir = partition_table::dir();
    let table = on_a_pipe(&dir, &[]);
    assert!(!table.contains(ESCAPE), "{table:?}");
    let coloured = on_a_terminal(&dir, "query nss", &[]);
    assert!(coloured.contains("\u{1b}[1mNAME"), "{coloured:?}");
    assert_eq!(plain(&coloured), table);
    for environment in [
        &[("NO_COLOR", Some("1"))][..],
        &[("CLICOLOR", Some("0"))],
        &[("TERM", Some("dumb"))],
    ] {
        let shown = on_a_terminal(&dir, "query nss", environment);
        assert_eq!(shown.replace('\r', ""), table, "{environment:?}");
    }
    let forced = on_a_pipe(&dir, &[("CLICOLOR_FORCE", Some("1"))]);
    assert_eq!(plain(&forced), table);
    assert!(forced.contains(ESCAPE), "{forced:?}");
}

#[test]
fn json_and_scripts_never_have_colours() {
    let dir = partition_table::dir();
    for line in ["query nss --json", "completions bash", "schema"] {
        let shown = on_a_terminal(&dir, line, &[("CLICOLOR_FORCE", Some("1"))]);
        assert!(!shown.contains(ESCAPE), "{line}: {shown:?}");
    }
}

#[test]
fn progress_is_shown_on_a_terminal_only() {
    let dir = Dir::new();
    dir.file("a.img", vec![7; 64 << 20]);
    let line = "saveseg USR --from-image a.img";
    let shown = on_a_terminal(&dir, line, &[]);
    assert!(
        shown.contains("hashing USR") || shown.contains("copying USR"),
        "{shown:?}"
    );
    // Nothing on standard error, and the result only on standard output.
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(dir.ok(&words).lines().count(), 1);
}
