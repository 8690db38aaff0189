// SPDX-License-Identifier: GPL-2.0

//! Systems that only some guests may start from, and segment spaces that only some may attach: class R.
//!
//! This keeps them from being used under a wrong name. Who can read the store can do what
//! `ipl` does; that is what permissions of files are for.

use onecopy_store::Group;

use crate::error::Error;
use crate::guests::GuestName;
use crate::manifest::Manifest;

/// Makes sure that what is restricted says to whom, and that nothing else does: a list that is not
/// looked at would be a mistake.
pub(crate) fn check(restricted: bool, allow: &[GuestName]) -> Result<(), &'static str> {
    match (restricted, allow.is_empty()) {
        (true, true) => Err("it is restricted, and has no list of guests that may use it"),
        (false, false) => Err("it is not restricted, and has a list of guests that may use it"),
        _ => Ok(()),
    }
}

/// Returns whether a guest is on the list of what is restricted.
pub(crate) fn is_admitted(
    guest: Option<&GuestName>,
    restricted: bool,
    allow: &[GuestName],
) -> bool {
    !restricted || guest.is_some_and(|guest| allow.contains(guest))
}

/// Makes sure that a guest may start from a system. One that gets a name later may not: it is not
/// known yet which.
pub(crate) fn admit(guest: Option<&GuestName>, manifest: &Manifest) -> Result<(), Error> {
    if is_admitted(guest, manifest.restricted, &manifest.allow) {
        return Ok(());
    }
    Err(Error::Restricted {
        name: manifest.name,
        guest: guest.cloned(),
        allow: manifest.allow.clone(),
    })
}

/// Makes sure that a system is of the trust group that is asked for.
pub(crate) fn admit_group(group: Option<&Group>, manifest: &Manifest) -> Result<(), Error> {
    match group {
        Some(group) if *group != manifest.group => Err(Error::Group {
            name: manifest.name,
            found: manifest.group.clone(),
            wanted: group.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    #[test]
    fn only_guests_on_the_list_are_admitted() {
        let mut manifest = manifest();
        let admit = |name: Option<&str>, manifest: &Manifest| {
            let guest = name.map(|name| name.parse().unwrap());
            admit(guest.as_ref(), manifest).map_err(|error| error.to_string())
        };
        assert_eq!(admit(None, &manifest), Ok(()));
        assert_eq!(admit(Some("web"), &manifest), Ok(()));

        manifest.restricted = true;
        manifest.allow = vec!["web".parse().unwrap(), "db".parse().unwrap()];
        assert_eq!(admit(Some("db"), &manifest), Ok(()));
        // A name in other letters is another name.
        assert_eq!(
            admit(Some("Web"), &manifest).unwrap_err(),
            "Guest Web may not start from LX73, which is restricted to: web, db"
        );
        assert_eq!(
            admit(None, &manifest).unwrap_err(),
            "LX73 is restricted to: web, db; --as says which of them is started"
        );
    }

    #[test]
    fn a_system_of_another_trust_group_is_refused() {
        let mut manifest = manifest();
        let group = |text: &str| text.parse::<Group>().unwrap();
        admit_group(None, &manifest).unwrap();
        admit_group(Some(&Group::default()), &manifest).unwrap();
        manifest.group = group("a");
        admit_group(Some(&group("a")), &manifest).unwrap();
        let error = admit_group(Some(&group("b")), &manifest).unwrap_err();
        assert_eq!(
            error.to_string(),
            "LX73 is of trust group a, and not b: guests share pages with those of their own group only"
        );
    }
}
