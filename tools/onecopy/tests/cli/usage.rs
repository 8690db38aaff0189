// SPDX-License-Identifier: GPL-2.0

//! Exit codes and messages for command lines that are not understood.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::util::eqnice;
use crate::util::Dir;
use crate::vmrm::trace;

#[test]
fn usage_errors_have_exit_code_2() {
    let dir = Dir::new();
    for args in [
        &[][..],
        &["nosuchverb"],
        &["query"],
        &["saveseg", "TOOLONGNAME", "--from-dir", "."],
        &["saveseg", "USR", "--from-dir", ".", "--from-image", "x"],
        &["saveseg", "USR", "--from-dir", ".", "--type", "SN"],
        &["saveseg", "USR", "--member", "PY"],
        &["boot"],
        &["boot", "--kernel", "x", "--memory", "512"],
        &["boot", "--kernel", "x", "--cpus", "0"],
        &["boot", "--kernel", "x", "--accel", "hvf"],
        &["boot", "--kernel", "x", "--segment", "A:"],
        &["defsys", "LX"],
        &["defsys", "a/b", "--kernel", "x"],
        &["defsys", "LX", "--memory", "512M"],
        &["defsys", "LX", "--kernel", "x", "--restricted"],
        &["defsys", "LX", "--kernel", "x", "--allow", "web"],
        &[
            "defsys",
            "LX",
            "--kernel",
            "x",
            "--restricted",
            "--allow",
            "../web",
        ],
        &["defsys", "LX", "0-FFF", "EW", "--kernel-memory", "96M"],
        &["savesys", "a/b", "--kernel", "x"],
        &["savesys", "LX", "--kernel", "x", "--timeout", "0"],
        &["savesys", "LX", "--kernel", "x", "--secret"],
        &["ipl"],
        &["ipl", "../LX"],
        &["ipl", "LX", "--as", "a/b"],
        &["ipl", "LX", "--resource", "KEY=x"],
        &["ipl", "LX", "--nic", "ifname=tap0"],
        &["ipl", "LX", "--nic", "user,mac=01:00:00:00:00:01"],
        &["ipl", "LX", "--partition", "web"],
        &["ipl", "--partition", "../web"],
        &["ipl", "--partition", "web", "--memory", "1G"],
        &["ipl", "--partition", "web", "--cpus", "1"],
        &["partition"],
        &["partition", "define", "web"],
        &["partition", "define", "../web", "--kernel", "LX"],
        &[
            "partition",
            "define",
            "web",
            "--kernel",
            "LX",
            "--cpus",
            "0",
        ],
        &[
            "partition",
            "define",
            "web",
            "--kernel",
            "LX",
            "--nic",
            "id=x",
        ],
        &["partition", "show", ""],
        &["partition", "show"],
        &["partition", "upgrade", "web"],
        &["partition", "upgrade", "web", "--kernel", "a/b"],
        &[
            "partition",
            "upgrade",
            "web",
            "--kernel",
            "LX",
            "--grace",
            "1",
        ],
        &["partition", "rollback", "web", "--timeout", "1"],
        &["partition", "remove", "."],
        &["logoff", "a", "--now", "--grace", "1"],
        &["purge", "LX"],
        &["console", ".."],
        &["top", "--json"],
        &["top", "--once", "--sort", "size"],
        &["top", "--interval", "0"],
        &["report"],
        &["metrics", "--json", "--textfile", "x"],
        &["doctor", "web"],
    ] {
        let ran = dir.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_bad_name_is_explained() {
    let ran = Dir::new().run(&["saveseg", "TOOLONGNAME", "--from-dir", "."]);
    eqnice!(
        ran.stderr,
        "error: invalid value 'TOOLONGNAME' for '<NAME>': name has 11 characters, at most 8 fit\n\
         \n\
         For more information, try '--help'.\n"
    );
}

#[test]
fn help_shows_exit_statuses_and_examples() {
    // That all verbs have examples is tested where they are defined.
    let help = Dir::new().ok(&["--help"]);
    for part in [
        "\nExit status:\n  0  done\n",
        "\n  7  permission denied\n",
        "\nExamples:\n  onecopy ",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn who_reads_no_further_makes_nothing_fail() {
    let dir = Dir::new();
    dir.file("trace", trace(6, 10));
    for args in [
        &["--help"][..],
        &["query", "seg"],
        &["query", "guests", "--json"],
        &["metrics"],
        &["completions", "bash"],
        &["vmrm", "simulate", "trace"],
        &["vmrm", "simulate", "trace", "--json"],
    ] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut command = dir.command(args);
        let output = command.stdout(OwnedFd::from(ours)).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}
