// SPDX-License-Identifier: GPL-2.0

//! Trust groups: only guests of one group share pages of the host.
//!
//! The group of a segment space is a file beside its generations. It is decided before the first of
//! these is there, and stays: whoever has mapped one has been told by it whom he shares it with.

use std::fmt;
use std::str::FromStr;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;

use crate::error::Error;
use crate::lock::Lock;
use crate::publish::Form;
use crate::store::Store;
use crate::Result;

/// The longest name, in characters.
const MAX_LEN: usize = 64;

/// The group of what nobody has given one.
const DEFAULT: &str = "default";

/// Name of the file.
const FILE: &str = "group";

/// The name of a trust group: 1 to 64 of `a-z A-Z 0-9 . _ -`, and the first is a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(String);

/// A text that cannot be the name of a trust group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name of a trust group: 1 to {MAX_LEN} of a-z A-Z 0-9 . _ -, and the first is a letter or a digit")]
pub struct GroupError(String);

impl Group {
    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is the group of what nobody has given one.
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }
}

impl Default for Group {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> std::result::Result<Self, GroupError> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_LEN && text.bytes().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GroupError(text.to_owned()))
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Store {
    /// Returns the group of a segment space.
    ///
    /// # Errors
    ///
    /// When the file that says it cannot be read, or says something else.
    pub fn group(&self, name: Name) -> Result<Group> {
        match self.shelf(name).look()? {
            Some(directory) => read(&directory),
            None => Ok(Group::default()),
        }
    }

    /// Gives a segment space its group before it is saved, and returns it: the one that is wanted, or
    /// the one that it has.
    ///
    /// # Errors
    ///
    /// When there is a generation of another group, or the group cannot be read or written.
    pub fn assign_group(&self, name: Name, wanted: Option<&Group>) -> Result<Group> {
        let path = self.create_space_directory(name)?;
        let _lock = Lock::exclusive(&path)?;
        let Some(directory) = self.shelf(name).look()? else {
            return Ok(Group::default());
        };
        let found = read(&directory)?;
        let Some(wanted) = wanted.filter(|wanted| **wanted != found) else {
            return Ok(found);
        };
        if !Form::Segment.generations(&path)?.is_empty() {
            return Err(Error::OtherGroup {
                name,
                found,
                wanted: wanted.clone(),
            });
        }
        directory.replace(FILE, &format!("{wanted}\n"))?;
        Ok(wanted.clone())
    }
}

fn read(directory: &Directory) -> Result<Group> {
    let Some(text) = directory.read(FILE)? else {
        return Ok(Group::default());
    };
    text.trim_end().parse().map_err(|source| Error::Group {
        path: directory.path(FILE),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_are_those_that_can_be_files_and_words() {
        for text in ["a", "tenant-7", "A.b_c", "default"] {
            assert_eq!(text.parse::<Group>().unwrap().to_string(), text);
        }
        for text in ["", "-a", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(text.parse::<Group>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_group_is_decided_before_the_first_generation_and_stays() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let name = "USR".parse().unwrap();
        let group = |text: &str| text.parse::<Group>().unwrap();
        assert_eq!(store.group(name).unwrap(), Group::default());
        assert_eq!(
            store.assign_group(name, Some(&group("a"))).unwrap(),
            group("a")
        );
        // A save that has failed decides nothing.
        assert_eq!(
            store.assign_group(name, Some(&group("b"))).unwrap(),
            group("b")
        );
        let directory = root.path().join("segments/USR");
        fs::write(directory.join("1.seg"), "").unwrap();
        assert_eq!(store.assign_group(name, None).unwrap(), group("b"));
        let error = store.assign_group(name, Some(&group("a"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Segment space USR is of trust group b, and not a: guests of b have it; save it under another name"
        );
        assert_eq!(store.group(name).unwrap(), group("b"));
        fs::write(directory.join("group"), "a b\n").unwrap();
        let error = store.group(name).unwrap_err();
        assert!(error
            .to_string()
            .ends_with("segments/USR/group does not name a trust group"));
    }
}
