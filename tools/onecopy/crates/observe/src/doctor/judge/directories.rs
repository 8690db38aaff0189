// SPDX-License-Identifier: GPL-2.0

//! The store and the run directory.

use std::os::unix::ffi::OsStrExt;

use super::Finding;
use crate::doctor::Directory;
use crate::doctor::Distrust;
use crate::doctor::Filesystem;
use crate::size::rounded;

/// The longest path of a socket, in bytes.
const SOCKET_PATH: usize = 107;

/// What follows the run directory in that of a guest's console: the longest name has 64 bytes.
const LONGEST_GUEST: usize = "/guests//console".len() + 64;

/// Below this a store has no room for the images of an ordinary system.
const LOW_BYTES: u64 = 1 << 30;

pub(super) fn store(directory: &Directory) -> Vec<Finding> {
    let replace = "Who can write there can replace what guests start from, and what they execute.";
    let mut findings = vec![
        writable("store", "The store", directory),
        guard("store-permissions", "The store", directory, replace),
    ];
    let name = directory
        .filesystem
        .map(Filesystem::name)
        .unwrap_or_default();
    findings.push(match directory.filesystem {
        Some(Filesystem::Remote(_)) => Finding::warning(
            "store-filesystem",
            format!("The store is on {name}"),
            "Hosts do not share its page cache, locks may not hold between them, and a guest dies or \
             hangs when a page cannot be read.",
            "Keep the store on a local disk.",
        ),
        Some(Filesystem::Memory(_)) => Finding::warning(
            "store-filesystem",
            format!("The store is on {name}"),
            "All of it takes memory, whether guests use it or not, and it is gone with the host's boot.",
            "Keep the store on a local disk.",
        ),
        Some(Filesystem::Overlay) => Finding::warning(
            "store-filesystem",
            "The store is on overlayfs",
            "It is likely a container's own layer: other containers have other copies of the same pages.",
            "Mount one directory of the host for all of them.",
        ),
        _ => Finding::ok("store-filesystem", format!("The store is on {name}")),
    });
    if directory.has_nameless_files == Some(false) {
        findings.push(Finding::warning(
            "store-nameless",
            format!("{name} knows no files without a name"),
            "What a killed save leaves stays until the next save of that name.",
            "onecopy doctor --clean removes it.",
        ));
    }
    if directory.has_holes == Some(false) {
        findings.push(Finding::warning(
            "store-holes",
            format!("{name} cannot give back blocks in the middle of a file"),
            "Saved systems take the space of their whole kernel part, about 96 MiB each.",
            "Keep the store on ext4, XFS or Btrfs.",
        ));
    }
    match directory.free_bytes {
        Some(free) if free < LOW_BYTES => findings.push(Finding::warning(
            "store-space",
            format!("The store has {} of room", rounded(free)),
            "A save may fail; what is saved already is not touched by that.",
            "Make room, or purge what is not needed: onecopy query nss.",
        )),
        Some(free) => findings.push(Finding::ok(
            "store-space",
            format!("The store has {} of room", rounded(free)),
        )),
        None => {}
    }
    findings
}

pub(super) fn run(directory: &Directory) -> Vec<Finding> {
    let refused =
        "No guest is started or listed: who can write there could name any process as one.";
    let mut findings = vec![
        writable("run", "The run directory", directory),
        guard("run-permissions", "The run directory", directory, refused),
    ];
    let length = directory.path.as_os_str().as_bytes().len();
    findings.push(if length + LONGEST_GUEST <= SOCKET_PATH {
        Finding::ok("run-path", "Names of guests can be as long as they may be")
    } else if length + LONGEST_GUEST - 63 > SOCKET_PATH {
        Finding::error(
            "run-path",
            format!("The path of the run directory has {length} bytes"),
            "The path of a socket has at most 107: no guest can be started.",
            "Choose a shorter one: --run-dir or ONECOPY_RUN.",
        )
    } else {
        let longest = SOCKET_PATH.saturating_sub(length + LONGEST_GUEST - 64);
        Finding::warning(
            "run-path",
            format!("The path of the run directory has {length} bytes"),
            &format!("The path of a socket has at most 107: names of guests at most {longest}."),
            "Choose a shorter one if that is not enough: --run-dir or ONECOPY_RUN.",
        )
    });
    if let Some(Filesystem::Remote(name)) = directory.filesystem {
        findings.push(Finding::warning(
            "run-filesystem",
            format!("The run directory is on {name}"),
            "Sockets and locks may not work there.",
            "Choose one on tmpfs: --run-dir or ONECOPY_RUN.",
        ));
    }
    findings
}

fn guard(id: &'static str, name: &str, directory: &Directory, meaning: &str) -> Finding {
    match &directory.guard {
        Ok(()) => Finding::ok(id, format!("{name} is written to by its owner only")),
        Err(Distrust::Others(reason)) => Finding::error(
            id,
            reason,
            meaning,
            "Look who has put what there; then chown and chmod go-w, or choose another one.",
        ),
        Err(Distrust::Closed(reason)) => Finding::error(
            id,
            reason,
            "This user may not look there, and is not told what there is.",
            "Become root or its owner, or choose another one: --root and --run-dir, ONECOPY_ROOT and ONECOPY_RUN.",
        ),
    }
}

fn writable(id: &'static str, name: &str, directory: &Directory) -> Finding {
    let path = directory.path.display();
    match (directory.is_writable, directory.exists) {
        (true, true) => Finding::ok(id, format!("{name} is {path}")),
        (true, false) => Finding::ok(id, format!("{name} {path} will be made when it is needed")),
        (false, _) => Finding::error(
            id,
            format!("{name} {path} cannot be written to"),
            "Nothing can be saved or started by this user.",
            "Become root, or choose another one: --root and --run-dir, ONECOPY_ROOT and ONECOPY_RUN.",
        ),
    }
}
