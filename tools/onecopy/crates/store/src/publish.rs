// SPDX-License-Identifier: GPL-2.0

//! Giving a complete generation its name: the file of a segment space, the directory of a system.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Member;

use crate::draft;
use crate::draft::Draft;
use crate::draft::Scratch;
use crate::error::Error;
use crate::group;
use crate::lock::Lock;
use crate::shelf;
use crate::space::changes_in_place;
use crate::Result;

/// Name of the link to the generation that new guests get.
pub const CURRENT: &str = "current";

/// Name of the link from before the generation gets its name until it is current.
const NEXT: &str = ".current";

/// What the name of what is kept beside a generation ends with.
const BESIDE: &str = ".toml";

/// What a generation is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The file of a segment space, such as `1.seg`.
    Segment,
    /// The directory of a saved system, such as `1`.
    System,
}

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Segment => ".seg",
            Self::System => "",
        }
    }

    /// Returns the name of the directory in the store where all names are.
    pub(crate) fn parent_name(self) -> &'static str {
        match self {
            Self::Segment => "segments",
            Self::System => "systems",
        }
    }

    /// Returns the directory where all names are, in the store at `root`.
    pub fn parent(self, root: &Path) -> PathBuf {
        root.join(self.parent_name())
    }

    /// Returns the name of a generation in its directory.
    pub fn file_name(self, generation: u64) -> String {
        format!("{generation}{}", self.suffix())
    }

    /// Returns the generation that a name stands for.
    pub fn generation_of(self, name: &Path) -> Option<u64> {
        let name = name.to_str()?;
        let generation = name.strip_suffix(self.suffix())?.parse().ok()?;
        // Other spellings of a number, such as 01.seg, are not ours.
        (name == self.file_name(generation)).then_some(generation)
    }

    /// Returns the generations in `directory`, in ascending order.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub(crate) fn generations(self, directory: &Directory) -> Result<Vec<u64>> {
        let names = directory.names()?.into_iter();
        let mut generations: Vec<u64> = names
            .filter_map(|name| self.generation_of(Path::new(&name)))
            .collect();
        generations.sort_unstable();
        Ok(generations)
    }
}

/// The right to publish generations of one name; one process at a time has it.
#[derive(Debug)]
pub struct Publisher {
    directory: Directory,
    form: Form,
    _lock: Lock,
}

impl Publisher {
    /// Waits for the right, and removes what killed processes have left.
    ///
    /// # Errors
    ///
    /// When somebody else keeps the right for a minute, leftovers cannot be removed, or the directory is a
    /// link.
    pub fn lock(directory: &Path, form: Form) -> Result<Self> {
        Self::lock_in(open(directory)?, form)
    }

    /// As [`Self::lock`], in a directory that is open.
    pub(crate) fn lock_in(directory: Directory, form: Form) -> Result<Self> {
        let lock = Lock::exclusive_in(&directory)?;
        remove_leftovers(&directory, form)?;
        Ok(Self {
            directory,
            form,
            _lock: lock,
        })
    }

    /// Returns the directory in which we have the right.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the number that the next generation gets.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn next_generation(&self) -> Result<u64> {
        let generations = self.form.generations(&self.directory)?;
        Ok(generations.last().map_or(1, |last| last + 1))
    }

    /// Writes the draft to disk, with what is to be kept beside it, names it and makes it the current
    /// generation.
    pub(crate) fn publish(
        &self,
        draft: &Draft,
        generation: u64,
        members: &[Member],
        attributes: Option<&str>,
    ) -> Result<PathBuf> {
        let name = self.form.file_name(generation);
        let path = self.directory.path(&name);
        let file = draft.file();
        file.set_permissions(Permissions::from_mode(mode(members)))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &path))?;
        self.make_current(generation, || {
            // Nobody sees the generation without.
            if let Some(text) = attributes {
                self.directory.replace(&beside(generation), text)?;
            }
            let linked = draft.link(&self.directory, &name);
            linked.map_err(Error::io("create", &path))
        })
    }

    /// Names a directory, whose files are complete and on disk, and makes it the current
    /// generation.
    ///
    /// # Errors
    ///
    /// When it cannot be named; the generation that was current still is.
    pub fn publish_directory(&self, draft: &Scratch, generation: u64) -> Result<PathBuf> {
        let name = self.form.file_name(generation);
        let path = self.directory.path(&name);
        self.make_current(generation, || {
            let synced = draft.directory().sync();
            synced
                .and_then(|()| self.directory.rename_to_new(draft.name(), &name))
                .map_err(Error::io("create", &path))
        })
    }

    /// Announces the generation, lets `link` give it its name, and replaces `current`.
    fn make_current(&self, generation: u64, link: impl FnOnce() -> Result<()>) -> Result<PathBuf> {
        let directory = &self.directory;
        let name = self.form.file_name(generation);
        directory
            .make_link(&name, NEXT)
            .map_err(Error::io("create", &directory.path(NEXT)))?;
        if let Err(error) = link() {
            // What has the name, if there is something, is not ours to remove.
            let removed = directory.remove_file(NEXT);
            removed.map_err(Error::io("remove", &directory.path(NEXT)))?;
            return Err(error);
        }
        self.sync()?;
        directory
            .rename(NEXT, CURRENT)
            .map_err(Error::io("replace", &directory.path(CURRENT)))?;
        self.sync()?;
        Ok(directory.path(&name))
    }

    /// Writes the directory itself to disk.
    fn sync(&self) -> Result<()> {
        let synced = self.directory.sync();
        synced.map_err(Error::io("write", self.directory.location()))
    }
}

/// Opens the directory of a name, which must be there and no link.
fn open(directory: &Path) -> Result<Directory> {
    let missing = || Error::io("open", directory)(io::ErrorKind::NotFound.into());
    Directory::open_itself(directory)?.ok_or_else(missing)
}

/// Returns the permissions of a generation: only one that guests store to is writable.
fn mode(members: &[Member]) -> u32 {
    if members.iter().any(changes_in_place) {
        0o644
    } else {
        0o444
    }
}

/// Removes what killed processes have left in `directory`.
///
/// The caller holds the exclusive lock of the directory.
fn remove_leftovers(directory: &Directory, form: Form) -> Result<()> {
    draft::remove_stale(directory)?;
    let unpublished = unpublished(directory, form).map_or(Vec::new(), Unpublished::names);
    // The link that tells of a generation goes last.
    for name in unpublished {
        remove(directory, &name)?;
    }
    for name in orphans(directory, form)? {
        remove(directory, &name)?;
    }
    Ok(())
}

fn remove(directory: &Directory, name: &str) -> Result<()> {
    let removed = directory.remove_tree(name);
    removed.map_err(Error::io("remove", &directory.path(name)))?;
    Ok(())
}

/// Returns what killed processes have left in the directory of a name: what the next [`Publisher`]
/// removes. Nothing is changed.
///
/// # Errors
///
/// When the directory cannot be read or locked, or is a link.
pub fn leftovers(directory: &Path, form: Form) -> Result<Vec<PathBuf>> {
    let directory = open(directory)?;
    let _lock = Lock::exclusive_in(&directory)?;
    let mut names = draft::stale(&directory)?;
    if let Some(unpublished) = unpublished(&directory, form) {
        let there = unpublished.names().into_iter();
        names.extend(there.filter(|name| directory.has(name)));
    }
    names.extend(orphans(&directory, form)?);
    names.sort_unstable();
    Ok(names.iter().map(|name| directory.path(name)).collect())
}

/// Returns the name of what is kept beside a generation of a segment space.
pub(crate) fn beside(generation: u64) -> String {
    format!("{generation}{BESIDE}")
}

/// Returns what was to be kept beside generations that are not there, and the group of nothing.
fn orphans(directory: &Directory, form: Form) -> Result<Vec<String>> {
    let mut orphans = Vec::new();
    if form == Form::System {
        return Ok(orphans);
    }
    for name in directory.names()? {
        let Some(name) = name.to_str() else { continue };
        let stem = name.strip_suffix(BESIDE);
        let Some(generation) = stem.and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        if name == beside(generation) && !directory.has(&form.file_name(generation)) {
            orphans.push(name.to_owned());
        }
    }
    if group::is_orphan(directory, form, directory.has(shelf::SKELETON))? {
        orphans.push(group::FILE.to_owned());
    }
    Ok(orphans)
}

/// What a publication that was killed has left: the link that tells of it, and its generation, if
/// that has a name and was never current.
struct Unpublished {
    generation: Option<String>,
}

impl Unpublished {
    fn names(self) -> Vec<String> {
        let link = [NEXT.to_owned()];
        self.generation.into_iter().chain(link).collect()
    }
}

fn unpublished(directory: &Directory, form: Form) -> Option<Unpublished> {
    let target = directory.read_link(NEXT).ok()??;
    let current = directory.read_link(CURRENT).ok().flatten();
    let generation = form.generation_of(&target);
    let left = generation.filter(|_| current.as_ref() != Some(&target));
    Some(Unpublished {
        generation: left.map(|generation| form.file_name(generation)),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn publish(directory: &Path) -> PathBuf {
        let draft = Draft::create(&open(directory).unwrap()).unwrap();
        let publisher = Publisher::lock(directory, Form::Segment).unwrap();
        let generation = publisher.next_generation().unwrap();
        publisher.publish(&draft, generation, &[], None).unwrap()
    }

    fn generations(directory: &Path, form: Form) -> Vec<u64> {
        form.generations(&open(directory).unwrap()).unwrap()
    }

    #[test]
    fn generations_count_up_and_current_follows() {
        let directory = tempfile::tempdir().unwrap();
        for expected in ["1.seg", "2.seg", "3.seg"] {
            let path = publish(directory.path());
            assert_eq!(path, directory.path().join(expected));
            let current = fs::read_link(directory.path().join(CURRENT)).unwrap();
            assert_eq!(current, Path::new(expected));
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o444);
        }
        assert_eq!(generations(directory.path(), Form::Segment), [1, 2, 3]);
    }

    #[test]
    fn a_leftover_of_an_interrupted_rename_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        symlink("7.seg", directory.path().join(NEXT)).unwrap();
        publish(directory.path());
        assert!(!directory.path().join(NEXT).is_symlink());
    }

    #[test]
    fn a_generation_that_never_became_current_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        publish(directory.path());
        // A kill between the name and the link leaves this.
        symlink("2.seg", directory.path().join(NEXT)).unwrap();
        fs::write(directory.path().join("2.seg"), "complete but never current").unwrap();
        drop(Publisher::lock(directory.path(), Form::Segment).unwrap());
        assert_eq!(generations(directory.path(), Form::Segment), [1]);
        assert!(!directory.path().join(NEXT).is_symlink());
        // The current generation stays, whatever the link says.
        symlink("1.seg", directory.path().join(NEXT)).unwrap();
        drop(Publisher::lock(directory.path(), Form::Segment).unwrap());
        assert_eq!(generations(directory.path(), Form::Segment), [1]);
    }

    #[test]
    fn what_is_kept_beside_a_generation_comes_and_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // A kill between the two leaves this.
        fs::write(path.join("1.toml"), "of none").unwrap();
        fs::write(path.join("notes.toml"), "not ours").unwrap();
        assert_eq!(
            leftovers(path, Form::Segment).unwrap(),
            [path.join("1.toml")]
        );
        publish(path);
        assert!(!path.join("1.toml").exists());
        let draft = Draft::create(&open(path).unwrap()).unwrap();
        let publisher = Publisher::lock(path, Form::Segment).unwrap();
        publisher.publish(&draft, 2, &[], Some("of two")).unwrap();
        drop(publisher);
        assert_eq!(
            leftovers(path, Form::Segment).unwrap(),
            [""; 0].map(PathBuf::from)
        );
        assert_eq!(fs::read_to_string(path.join("2.toml")).unwrap(), "of two");
        assert!(path.join("notes.toml").exists());
    }

    #[test]
    fn a_generation_without_a_link_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("4.seg"), "complete but never current").unwrap();
        assert_eq!(publish(directory.path()), directory.path().join("5.seg"));
    }

    #[test]
    fn a_directory_is_published_like_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for expected in ["1", "2"] {
            let draft = Scratch::create(&open(directory.path()).unwrap()).unwrap();
            fs::write(draft.path().join("manifest"), expected).unwrap();
            let publisher = Publisher::lock(directory.path(), Form::System).unwrap();
            let generation = publisher.next_generation().unwrap();
            let path = publisher.publish_directory(&draft, generation).unwrap();
            assert_eq!(path, at(expected));
            drop(draft);
            let manifest = fs::read_to_string(at(CURRENT).join("manifest")).unwrap();
            assert_eq!(manifest, expected);
        }
        // A kill between the name and the link leaves this.
        symlink("3", at(NEXT)).unwrap();
        fs::create_dir(at("3")).unwrap();
        fs::write(at("3/manifest"), "complete but never current").unwrap();
        drop(Publisher::lock(directory.path(), Form::System).unwrap());
        assert_eq!(generations(directory.path(), Form::System), [1, 2]);
    }

    #[test]
    fn a_publisher_stays_in_the_directory_that_it_has_locked() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["USR", "outside"] {
            fs::create_dir(at(name)).unwrap();
        }
        let directory = open(&at("USR")).unwrap();
        let draft = Draft::create(&directory).unwrap();
        let scratch = Scratch::create(&directory).unwrap();
        let publisher = Publisher::lock(&at("USR"), Form::Segment).unwrap();
        fs::rename(at("USR"), at("moved")).unwrap();
        symlink(at("outside"), at("USR")).unwrap();
        publisher.publish(&draft, 1, &[], Some("text")).unwrap();
        drop(publisher);
        let error = Publisher::lock(&at("USR"), Form::System).unwrap_err();
        assert!(
            error.to_string().contains("USR is a symbolic link"),
            "{error}"
        );
        leftovers(&at("USR"), Form::Segment).unwrap_err();
        let publisher = Publisher::lock_in(directory, Form::System).unwrap();
        publisher.publish_directory(&scratch, 2).unwrap();
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
        let mut names = publisher.directory().names().unwrap();
        names.sort();
        assert_eq!(names, [".lock", "1.seg", "1.toml", "2", "current"]);
    }

    #[test]
    fn a_link_where_something_is_to_be_written_is_refused_or_replaced() {
        let root = tempfile::tempdir().unwrap();
        let (path, outside) = (root.path().join("USR"), root.path().join("outside"));
        fs::create_dir(&path).unwrap();
        fs::write(&outside, "secret").unwrap();
        let plant = |name: &str| symlink(&outside, path.join(name)).unwrap();
        plant(".lock");
        let error = Publisher::lock(&path, Form::Segment).unwrap_err();
        assert!(
            error.to_string().contains("/.lock is a symbolic link"),
            "{error}"
        );
        fs::remove_file(path.join(".lock")).unwrap();
        // Whoever gets the right removes these, and not what they lead to.
        for name in [NEXT, onecopy_directory::DRAFT, ".draft-a", "1.toml"] {
            plant(name);
        }
        let draft = Draft::create(&open(&path).unwrap()).unwrap();
        let publisher = Publisher::lock(&path, Form::Segment).unwrap();
        for name in [onecopy_directory::DRAFT, "1.toml", CURRENT, "2.seg"] {
            plant(name);
        }
        publisher.publish(&draft, 1, &[], Some("text")).unwrap();
        assert_eq!(fs::read_to_string(path.join("1.toml")).unwrap(), "text");
        let error = publisher.publish(&draft, 2, &[], None).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(
            source.is_some_and(|said| said.contains("exists")),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
    }

    #[test]
    fn only_our_file_names_are_generations() {
        for (name, expected) in [
            ("12.seg", Some(12)),
            ("012.seg", None),
            ("+1.seg", None),
            ("1seg", None),
            (".seg", None),
            ("current", None),
        ] {
            assert_eq!(
                Form::Segment.generation_of(Path::new(name)),
                expected,
                "{name}"
            );
        }
    }
}
