// SPDX-License-Identifier: GPL-2.0

//! What QEMU still has of an attach that was killed: a file that it holds, and a back end without a device.

use std::path::Path;
use std::path::PathBuf;

use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::commands::FdSet;
use onecopy_machine::qmp::Command;
use onecopy_machine::qmp::QmpError;

use super::attach::list;
use crate::control::Session;
use crate::error::Error;
use crate::plug::SEGMENT_BACKEND;
use crate::plug::SEGMENT_DEVICE;
use crate::Result;

/// Where QEMU has the back ends.
const OBJECTS: &str = "/objects";

/// Removes it from a guest whose lock we have, so that nobody is plugging just now. Returns the ids of the back
/// ends that are there then: one that somebody else's device uses stays.
pub(super) fn remove(
    session: &mut Session,
    peripherals: &[String],
    store: &Path,
) -> Result<Vec<String>> {
    let ids = list(session, OBJECTS)?;
    for id in ids.into_iter().filter(|id| is_left(id, peripherals)) {
        try_to(session, &commands::ObjectDel { id })?;
    }
    let objects = list(session, OBJECTS)?.into_iter();
    let backends: Vec<String> = objects.filter(|id| port_of(id).is_some()).collect();
    let mut used = Vec::new();
    for id in &backends {
        let path = format!("{OBJECTS}/{id}");
        let property = "mem-path".to_owned();
        let file = session.ask(&commands::QomGet { path, property })?;
        used.extend(file.as_str().map(PathBuf::from));
    }
    for set in session.ask(&commands::QueryFdsets {})? {
        if is_useless(&set, store, &used) {
            let fdset_id = set.fdset_id;
            try_to(session, &commands::RemoveFd { fdset_id })?;
        }
    }
    Ok(backends)
}

/// Returns the number of the port, if an id is that of a back end of ours.
fn port_of(id: &str) -> Option<usize> {
    id.strip_prefix(SEGMENT_BACKEND)?.parse().ok()
}

fn is_left(id: &str, peripherals: &[String]) -> bool {
    let device = |port| format!("{SEGMENT_DEVICE}{port}");
    port_of(id).is_some_and(|port| !peripherals.contains(&device(port)))
}

/// Returns whether a set holds nothing but generations of the store that no back end has.
fn is_useless(set: &FdSet, store: &Path, used: &[PathBuf]) -> bool {
    let is_useless = |opaque: &Option<String>| {
        let path = opaque.as_deref().map(Path::new);
        path.is_some_and(|path| path.starts_with(store) && !used.iter().any(|one| one == path))
    };
    !set.fds.is_empty() && set.fds.iter().all(|fd| is_useless(&fd.opaque))
}

/// Carries out a command that QEMU may refuse.
fn try_to<C: Command>(session: &mut Session, command: &C) -> Result<()> {
    match session.ask(command) {
        Err(Error::Monitor {
            source: QmpError::Refused { .. },
            ..
        })
        | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use onecopy_machine::qmp::commands::GivenFd;

    use super::*;

    #[test]
    fn only_back_ends_of_ours_without_a_device_are_left_over() {
        let peripherals = ["port0", "port1", "pmem0"].map(str::to_owned);
        for (id, expected) in [
            ("seg0", false),
            ("seg1", true),
            ("seg12", true),
            ("seg", false),
            ("segx", false),
            ("more", false),
        ] {
            assert_eq!(is_left(id, &peripherals), expected, "{id}");
        }
    }

    #[test]
    fn only_generations_that_nothing_uses_are_given_back() {
        let used = [PathBuf::from("/s/segments/USR/1.seg")];
        for (opaques, expected) in [
            (&[Some("/s/segments/USR/2.seg")][..], true),
            (&[Some("/s/segments/USR/1.seg")], false),
            (
                &[Some("/s/segments/USR/2.seg"), Some("/s/segments/USR/1.seg")],
                false,
            ),
            (&[Some("/dev/kvm")], false),
            (&[None], false),
            (&[], false),
        ] {
            let fds = opaques.iter().map(|opaque| GivenFd {
                opaque: opaque.map(str::to_owned),
            });
            let set = FdSet {
                fdset_id: 1,
                fds: fds.collect(),
            };
            assert_eq!(
                is_useless(&set, Path::new("/s"), &used),
                expected,
                "{opaques:?}"
            );
        }
    }
}
