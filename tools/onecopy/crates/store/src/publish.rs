// SPDX-License-Identifier: GPL-2.0

//! Giving a complete generation its name: the file of a segment space, the directory of a system.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Member;
use rustix::fs::renameat_with;
use rustix::fs::RenameFlags;
use rustix::fs::CWD;

use crate::draft;
use crate::draft::Draft;
use crate::draft::Scratch;
use crate::error::Error;
use crate::group;
use crate::lock::Lock;
use crate::shelf;
use crate::shelf::replace;
use crate::space::changes_in_place;
use crate::Result;

/// Name of the link to the generation that new guests get.
pub const CURRENT: &str = "current";

/// Name of the link from before the generation gets its name until it is current.
const NEXT: &str = ".current";

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
    pub fn generations(self, directory: &Path) -> Result<Vec<u64>> {
        self.numbers(directory)
            .map_err(Error::io("read", directory))
    }

    /// As [`Self::generations`], with the error of the system.
    pub(crate) fn numbers(self, directory: &Path) -> io::Result<Vec<u64>> {
        let mut generations = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            generations.extend(self.generation_of(Path::new(&name)));
        }
        generations.sort_unstable();
        Ok(generations)
    }
}

/// The right to publish generations of one name; one process at a time has it.
#[derive(Debug)]
pub struct Publisher {
    directory: PathBuf,
    form: Form,
    _lock: Lock,
}

impl Publisher {
    /// Waits for the right, and removes what killed processes have left.
    ///
    /// # Errors
    ///
    /// When somebody else keeps the right for a minute, or leftovers cannot be removed.
    pub fn lock(directory: &Path, form: Form) -> Result<Self> {
        let lock = Lock::exclusive(directory)?;
        remove_leftovers(directory, form)?;
        Ok(Self {
            directory: directory.to_owned(),
            form,
            _lock: lock,
        })
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
        let path = self.directory.join(self.form.file_name(generation));
        let file = draft.file();
        file.set_permissions(Permissions::from_mode(mode(members)))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &path))?;
        self.make_current(generation, || {
            // Nobody sees the generation without.
            if let Some(text) = attributes {
                replace(
                    &self.directory,
                    &self.directory.join(beside(generation)),
                    text,
                )?;
            }
            draft.link(&path)
        })
    }

    /// Names a directory, whose files are complete and on disk, and makes it the current
    /// generation.
    ///
    /// # Errors
    ///
    /// When it cannot be named; the generation that was current still is.
    pub fn publish_directory(&self, draft: &Scratch, generation: u64) -> Result<PathBuf> {
        let path = self.directory.join(self.form.file_name(generation));
        self.make_current(generation, || {
            File::open(draft.path())?.sync_all()?;
            Ok(renameat_with(
                CWD,
                draft.path(),
                CWD,
                &path,
                RenameFlags::NOREPLACE,
            )?)
        })
    }

    /// Announces the generation, lets `link` give it its name, and replaces `current`.
    fn make_current(
        &self,
        generation: u64,
        link: impl FnOnce() -> io::Result<()>,
    ) -> Result<PathBuf> {
        let name = self.form.file_name(generation);
        let path = self.directory.join(&name);
        let next = self.directory.join(NEXT);
        symlink(&name, &next).map_err(Error::io("create", &next))?;
        if let Err(error) = link() {
            // What has the name, if there is something, is not ours to remove.
            remove_if_there(&next).map_err(Error::io("remove", &next))?;
            return Err(Error::io("create", &path)(error));
        }
        self.sync()?;
        let current = self.directory.join(CURRENT);
        fs::rename(&next, &current).map_err(Error::io("replace", &current))?;
        self.sync()?;
        Ok(path)
    }

    /// Writes the directory itself to disk.
    fn sync(&self) -> Result<()> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(Error::io("write", &self.directory))
    }
}

/// Returns the permissions of a generation: only one that guests store to is writable.
fn mode(members: &[Member]) -> u32 {
    if members.iter().any(changes_in_place) {
        0o644
    } else {
        0o444
    }
}

/// Removes what killed processes have left in `directory`, and returns the number of files.
///
/// The caller holds the exclusive lock of the directory.
pub(crate) fn remove_leftovers(directory: &Path, form: Form) -> Result<usize> {
    let clean = || -> io::Result<usize> {
        let drafts = draft::remove_stale(directory)?;
        let unpublished = remove_unpublished(directory, form)?;
        let orphans = orphans(directory, form)?;
        for path in &orphans {
            remove_if_there(path)?;
        }
        Ok(drafts + unpublished + orphans.len())
    };
    clean().map_err(Error::io("clean", directory))
}

/// Returns what killed processes have left in the directory of a name: what the next [`Publisher`]
/// removes. Nothing is changed.
///
/// # Errors
///
/// When the directory cannot be read or locked.
pub fn leftovers(directory: &Path, form: Form) -> Result<Vec<PathBuf>> {
    let _lock = Lock::exclusive(directory)?;
    let mut paths = draft::stale(directory).map_err(Error::io("read", directory))?;
    if let Some(unpublished) = unpublished(directory, form) {
        let there = |path: &PathBuf| path.symlink_metadata().is_ok();
        paths.extend(unpublished.generation.into_iter().filter(there));
        paths.push(directory.join(NEXT));
    }
    paths.extend(orphans(directory, form).map_err(Error::io("read", directory))?);
    paths.sort_unstable();
    Ok(paths)
}

/// Returns the name of what is kept beside a generation of a segment space.
pub(crate) fn beside(generation: u64) -> String {
    format!("{generation}.toml")
}

/// Returns what was to be kept beside generations that are not there, and the group of nothing.
fn orphans(directory: &Path, form: Form) -> io::Result<Vec<PathBuf>> {
    let mut orphans = Vec::new();
    if form == Form::System {
        return Ok(orphans);
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let Some(generation) = stem.and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        let is_beside = path.ends_with(beside(generation));
        if is_beside && !directory.join(form.file_name(generation)).exists() {
            orphans.push(path);
        }
    }
    let is_defined = directory.join(shelf::SKELETON).exists();
    if group::is_orphan(directory, form, is_defined)? {
        orphans.push(directory.join(group::FILE));
    }
    Ok(orphans)
}

/// What a publication that was killed has left: the link that tells of it, and its generation, if
/// that has a name and was never current.
struct Unpublished {
    generation: Option<PathBuf>,
}

fn unpublished(directory: &Path, form: Form) -> Option<Unpublished> {
    let target = fs::read_link(directory.join(NEXT)).ok()?;
    let is_current = fs::read_link(directory.join(CURRENT)).is_ok_and(|name| name == target);
    let is_left = form.generation_of(&target).is_some() && !is_current;
    Some(Unpublished {
        generation: is_left.then(|| directory.join(&target)),
    })
}

fn remove_unpublished(directory: &Path, form: Form) -> io::Result<usize> {
    let Some(unpublished) = unpublished(directory, form) else {
        return Ok(0);
    };
    if let Some(generation) = unpublished.generation {
        match form {
            Form::Segment => remove_if_there(&generation)?,
            Form::System => remove_tree_if_there(&generation)?,
        }
    }
    remove_if_there(&directory.join(NEXT))?;
    Ok(1)
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn remove_tree_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(directory: &Path) -> PathBuf {
        let draft = Draft::create(directory).unwrap();
        let publisher = Publisher::lock(directory, Form::Segment).unwrap();
        let generation = publisher.next_generation().unwrap();
        publisher.publish(&draft, generation, &[], None).unwrap()
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
        assert_eq!(
            Form::Segment.generations(directory.path()).unwrap(),
            [1, 2, 3]
        );
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
        assert_eq!(Form::Segment.generations(directory.path()).unwrap(), [1]);
        assert!(!directory.path().join(NEXT).is_symlink());
        // The current generation stays, whatever the link says.
        symlink("1.seg", directory.path().join(NEXT)).unwrap();
        drop(Publisher::lock(directory.path(), Form::Segment).unwrap());
        assert_eq!(Form::Segment.generations(directory.path()).unwrap(), [1]);
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
        let draft = Draft::create(path).unwrap();
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
            let draft = Scratch::create(directory.path()).unwrap();
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
        assert_eq!(Form::System.generations(directory.path()).unwrap(), [1, 2]);
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
