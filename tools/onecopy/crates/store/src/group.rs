// SPDX-License-Identifier: GPL-2.0

//! Trust groups: only guests of one group share pages of the host.
//!
//! The group of a segment space is a file beside its generations. It is decided when the first of these
//! is published, under the same lock, and stays until the last is gone: whoever has mapped one has been
//! told by it whom he shares it with.

use std::fmt;
use std::str::FromStr;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;

use crate::error::Error;
use crate::publish::Form;
use crate::shelf::Shelf;
use crate::shelf::SKELETON;
use crate::store::Store;
use crate::Result;

/// The longest name, in characters.
const MAX_LEN: usize = 64;

/// The group of what nobody has given one.
const DEFAULT: &str = "default";

/// Name of the file.
pub(crate) const FILE: &str = "group";

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

    /// Returns the group that the next generation of a segment space gets: the one that is wanted, or the
    /// one that there is.
    ///
    /// # Errors
    ///
    /// When there is a generation of another group, or the group cannot be read.
    pub fn group_for(&self, name: Name, wanted: Option<&Group>) -> Result<Group> {
        self.shelf(name).group_for(wanted)
    }
}

impl Shelf {
    fn group_for(&self, wanted: Option<&Group>) -> Result<Group> {
        let has_generations = !self.generations()?.is_empty();
        let found = match self.look()? {
            // What a killed save has left decides nothing.
            Some(directory) if has_generations || self.is_defined() => read(&directory)?,
            _ => Group::default(),
        };
        match wanted {
            Some(wanted) if *wanted != found && has_generations => Err(Error::OtherGroup {
                name: self.name(),
                found,
                wanted: wanted.clone(),
            }),
            Some(wanted) => Ok(wanted.clone()),
            None => Ok(found),
        }
    }

    /// Publishes a generation of this group, which may be the first. The caller has the lock.
    ///
    /// # Errors
    ///
    /// When there is a generation of another group by now, the group cannot be read or written, or
    /// `publish` fails. The group is then as it was.
    pub(crate) fn publish_in_group<T>(
        &self,
        wanted: Option<&Group>,
        publish: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let group = self.group_for(wanted)?;
        let directory = self.create()?;
        if read(&directory)? == group {
            return publish();
        }
        let before = directory.read(FILE)?;
        directory.replace(FILE, &format!("{group}\n"))?;
        publish().inspect_err(|_| {
            // A generation that has its name already must not be seen without its group.
            if self.generations().is_ok_and(|there| there.is_empty()) {
                // If that fails, the next one to get the lock does it.
                let _ = match &before {
                    Some(text) => directory.replace(FILE, text),
                    None => directory.remove(FILE),
                };
            }
        })
    }

    /// Removes the group of what is not there any more. The caller has the lock.
    pub(crate) fn forget_group(&self, directory: &Directory) -> Result<()> {
        if is_orphan(directory, self.form(), directory.has(SKELETON))? {
            directory.remove(FILE)?;
        }
        Ok(())
    }
}

/// Returns whether there is the file of a group in a directory that has neither generations nor a
/// skeleton.
pub(crate) fn is_orphan(directory: &Directory, form: Form, is_defined: bool) -> Result<bool> {
    if form == Form::System || is_defined || !directory.has(FILE) {
        return Ok(false);
    }
    Ok(form.generations(directory)?.is_empty())
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

    use onecopy_format::segment_space::SegmentType;

    use super::*;
    use crate::builder::MemberContent;
    use crate::builder::MemberSource;
    use crate::builder::SpaceBuilder;

    #[test]
    fn names_are_those_that_can_be_files_and_words() {
        for text in ["a", "tenant-7", "A.b_c", "default"] {
            assert_eq!(text.parse::<Group>().unwrap().to_string(), text);
        }
        for text in ["", "-a", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(text.parse::<Group>().is_err(), "{text}");
        }
    }

    fn group(text: &str) -> Group {
        text.parse().unwrap()
    }

    /// Saves USR in a group, and does something else while its content is copied.
    fn save_while(store: &Store, wanted: Option<&str>, meanwhile: impl Fn()) -> Result<u64> {
        let image = store.root().join("image");
        fs::write(&image, "content").unwrap();
        let member = MemberSource {
            name: "USR".parse().unwrap(),
            kind: SegmentType::Sr,
            content: MemberContent::Image(image),
        };
        let builder = SpaceBuilder::new(member.name)
            .group(wanted.map(group))
            .member(member);
        let mut is_first = true;
        let space = builder.save(store, &mut |_| {
            if std::mem::take(&mut is_first) {
                meanwhile();
            }
        })?;
        Ok(space.generation())
    }

    fn save(store: &Store, wanted: Option<&str>) -> Result<u64> {
        save_while(store, wanted, || ())
    }

    #[test]
    fn a_group_is_decided_with_the_first_generation_and_stays_until_the_last_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let name = "USR".parse().unwrap();
        assert_eq!(store.group(name).unwrap(), Group::default());
        // To ask decides nothing.
        assert_eq!(
            store.group_for(name, Some(&group("a"))).unwrap(),
            group("a")
        );
        assert_eq!(save(&store, Some("b")).unwrap(), 1);
        assert_eq!(save(&store, None).unwrap(), 2);
        for error in [
            save(&store, Some("a")).unwrap_err(),
            store.group_for(name, Some(&group("a"))).unwrap_err(),
        ] {
            assert_eq!(
                error.to_string(),
                "Segment space USR is of trust group b, and not a: guests of b have it; save it under another name"
            );
        }
        assert_eq!(store.group(name).unwrap(), group("b"));
        let held = store.acquire(name).unwrap();
        store.purge(name).unwrap();
        save(&store, Some("a")).unwrap_err();
        drop(held);
        store.shelf(name).remove_unused().unwrap();
        let file = root.path().join("segments/USR/group");
        assert!(!file.exists());
        // A skeleton keeps it, for as long as there is one.
        save(&store, Some("a")).unwrap();
        let held = store.acquire(name).unwrap();
        store.purge(name).unwrap();
        store.shelf(name).define("text").unwrap();
        drop(held);
        store.shelf(name).remove_unused().unwrap();
        assert_eq!(store.group_for(name, None).unwrap(), group("a"));
        store.purge(name).unwrap();
        assert!(!file.exists());
        // A killed save may leave one.
        fs::write(&file, "a\n").unwrap();
        assert_eq!(store.group_for(name, None).unwrap(), Group::default());
        assert_eq!(
            store.shelf(name).leftovers().unwrap(),
            std::slice::from_ref(&file)
        );
        save(&store, None).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_group_that_came_while_content_was_copied_is_not_joined() {
        for first in [Some("a"), None] {
            let root = tempfile::tempdir().unwrap();
            let store = Store::open(root.path());
            let name = "USR".parse().unwrap();
            let meanwhile = || assert_eq!(save(&store, Some("b")).unwrap(), 1);
            let error = save_while(&store, first, meanwhile).unwrap_err();
            assert!(matches!(error, Error::OtherGroup { .. }), "{error}");
            assert_eq!(store.generations(name).unwrap(), [1]);
            assert_eq!(store.group(name).unwrap(), group("b"));
            // Another generation of it, and another name of the same owner.
            let meanwhile = || {
                store.purge(name).unwrap();
                save(&store, Some("c")).unwrap();
            };
            save_while(&store, None, meanwhile).unwrap_err();
            assert_eq!(store.group(name).unwrap(), group("c"));
        }
    }

    #[test]
    fn a_generation_that_is_not_published_decides_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let shelf = store.shelf("USR".parse().unwrap());
        let directory = shelf.create().unwrap();
        let publish = |is_named: bool| {
            let wanted = group("a");
            let error = shelf.publish_in_group(Some(&wanted), || {
                assert_eq!(read(&directory).unwrap(), wanted);
                if is_named {
                    fs::write(shelf.path(1), "").unwrap();
                }
                Err::<(), _>(Error::NoMembers)
            });
            error.unwrap_err();
            directory.read(FILE).unwrap()
        };
        assert_eq!(publish(false), None);
        shelf.define("text").unwrap();
        fs::write(directory.path(FILE), "b\n").unwrap();
        assert_eq!(publish(false).as_deref(), Some("b\n"));
        assert_eq!(publish(true).as_deref(), Some("a\n"));
    }

    #[test]
    fn a_damaged_group_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path());
        let name = "USR".parse().unwrap();
        save(&store, Some("a")).unwrap();
        fs::write(root.path().join("segments/USR/group"), "a b\n").unwrap();
        let error = store.group(name).unwrap_err();
        assert!(error
            .to_string()
            .ends_with("segments/USR/group does not name a trust group"));
        save(&store, None).unwrap_err();
    }
}
