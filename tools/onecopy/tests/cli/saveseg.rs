// SPDX-License-Identifier: GPL-2.0

//! `onecopy saveseg`

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::process::Stdio;

use crate::util::eqnice;
use crate::util::has_mkfs;
use crate::util::Dir;

#[test]
fn an_image_becomes_a_generation() {
    let dir = Dir::new();
    dir.file("a.img", "content");
    let said = dir.ok(&["saveseg", "usr", "--from-image", "a.img"]);
    eqnice!(
        said,
        "USR generation 1: 1 member, 4 MiB, DIR/store/segments/USR/1.seg\n"
    );
    let said = dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    eqnice!(
        said,
        "USR generation 2: 1 member, 4 MiB, DIR/store/segments/USR/2.seg\n"
    );

    let path = dir.path("store/segments/USR/2.seg");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
    // Nobody used the first one.
    assert_eq!(dir.assert_sound("USR"), [2]);
    let current = fs::read_link(dir.path("store/segments/USR/current")).unwrap();
    assert_eq!(current.to_str(), Some("2.seg"));
}

#[test]
fn a_sparse_image_stays_sparse() {
    let dir = Dir::new();
    fs::File::create(dir.path("a.img"))
        .unwrap()
        .set_len(256 << 20)
        .unwrap();
    dir.ok(&["saveseg", "USR", "--from-image", "a.img"]);
    let metadata = dir.path("store/segments/USR/1.seg").metadata().unwrap();
    assert_eq!(metadata.len(), 258 << 20);
    assert!(
        metadata.blocks() * 512 < 1 << 20,
        "{} blocks",
        metadata.blocks()
    );
}

#[test]
fn a_directory_becomes_an_image() {
    if !has_mkfs() {
        return;
    }
    let dir = Dir::new();
    dir.file("tree/bin/program", vec![7; 3 << 20]);
    let said = dir.ok(&["saveseg", "USR", "--from-dir", "tree"]);
    // Header and directory, metadata up to the next 2 MiB, the program.
    eqnice!(
        said,
        "USR generation 1: 1 member, 8 MiB, DIR/store/segments/USR/1.seg\n"
    );
    assert_eq!(dir.assert_sound("USR"), [1]);
}

#[test]
fn members_come_from_directories_and_images() {
    if !has_mkfs() {
        return;
    }
    let dir = Dir::new();
    dir.file("tree/hello", "hello");
    dir.file("a.img", "content");
    let args = [
        "saveseg",
        "TOOLS",
        "--member",
        "PY=tree",
        "--member",
        "data=a.img",
        "--type",
        "er",
    ];
    let said = dir.ok(&args);
    eqnice!(
        said,
        "TOOLS generation 1: 2 members, 6 MiB, DIR/store/segments/TOOLS/1.seg\n"
    );
    eqnice!(
        dir.ok(&["query", "seg", "TOOLS"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE   DAX  SAVED\n\
         TOOLS  PY      ER    1    A      0      2 MiB   2 MiB  yes  TIME\n\
         TOOLS  DATA    ER    1    A      0      4 MiB   2 MiB  yes  TIME\n"
    );
}

#[test]
fn sources_that_cannot_be_used_are_named() {
    let dir = Dir::new();
    dir.file("empty.img", "");
    dir.file("a.img", "content");
    for (args, expected) in [
        (
            &["saveseg", "USR", "--from-image", "nosuch.img"][..],
            "onecopy: Cannot open nosuch.img: No such file or directory (os error 2)\n",
        ),
        (
            &["saveseg", "USR", "--from-image", "empty.img"],
            "onecopy: Member USR is empty: empty.img has no bytes\n",
        ),
        (
            &[
                "saveseg", "USR", "--member", "A=a.img", "--member", "A=a.img",
            ],
            "onecopy: These members do not make a segment space: segment A: name is that of both \
             member #0 and member #1\n",
        ),
    ] {
        let ran = dir.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{args:?}");
        eqnice!(ran.stderr, expected);
    }
    eqnice!(
        dir.ok(&["query", "seg"]),
        "SPACE  MEMBER  TYPE  GEN  CLASS  USERS  OFFSET  SIZE  DAX  SAVED\n"
    );
}

#[test]
fn a_missing_directory_and_a_file_are_not_trees() {
    if !has_mkfs() {
        return;
    }
    let dir = Dir::new();
    dir.file("file", "content");
    let ran = dir.run(&["saveseg", "USR", "--from-dir", "nosuch"]);
    eqnice!(
        ran.stderr,
        "onecopy: Cannot make the image of member USR: Cannot read the directory nosuch: No such \
         file or directory (os error 2)\n"
    );
    let ran = dir.run(&["saveseg", "USR", "--from-dir", "file"]);
    eqnice!(
        ran.stderr,
        "onecopy: Cannot make the image of member USR: Cannot read the directory file: Not a \
         directory (os error 20)\n"
    );
}

#[test]
fn a_missing_mkfs_is_explained() {
    let dir = Dir::new();
    dir.file("tree/hello", "hello");
    let mut command = dir.command(&["saveseg", "USR", "--from-dir", "tree"]);
    let ran = dir.finish(command.env("MKFS_EROFS", "/nonexistent/mkfs.erofs"));
    assert_eq!(ran.code, Some(1));
    eqnice!(
        ran.stderr,
        "onecopy: Cannot make the image of member USR: Cannot run /nonexistent/mkfs.erofs; install \
         erofs-utils 1.8 or later, or set MKFS_EROFS: No such file or directory (os error 2)\n"
    );
}

#[test]
fn generations_saved_at_the_same_time_follow_each_other() {
    let dir = Dir::new();
    dir.file("a.img", vec![7; 3 << 20]);
    let start = |_| {
        let mut command = dir.command(&["saveseg", "USR", "--from-image", "a.img"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(dir.assert_sound("USR"), [8]);
    assert_eq!(
        dir.store()
            .current("USR".parse().unwrap())
            .unwrap()
            .generation(),
        8
    );
}
