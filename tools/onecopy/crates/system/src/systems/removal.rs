// SPDX-License-Identifier: GPL-2.0

//! Removing generations that nobody uses, and skeletons.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use onecopy_format::segment_space::Name;
use onecopy_store::Form;
use onecopy_store::Lock;
use onecopy_store::Publisher;
use onecopy_store::CURRENT;
use rustix::fs::flock;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::skeleton;
use super::Class;
use super::Generation;
use super::Systems;
use crate::error::Error;
use crate::Result;

/// Hidden names of generations that are being removed: what a killed process leaves of one is
/// removed as a draft is.
const HIDDEN: &str = ".draft-removed-";

/// What a purge has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Generations that are gone.
    pub removed: Vec<u64>,
    /// Generations that stay until their last guest has ended.
    pub pending: Vec<u64>,
    /// Whether a skeleton is gone.
    pub skeleton: bool,
}

impl Systems {
    /// Purges a saved system: no new guest gets it, its skeleton is removed, and so are its
    /// generations as soon as nobody uses them.
    ///
    /// # Errors
    ///
    /// When there is no such saved system, or a file cannot be removed.
    pub fn purge(&self, name: Name) -> Result<Purged> {
        if !self.is_defined(name) && self.generations(name)?.is_empty() {
            return Err(self.not_found(name)?);
        }
        let directory = self.directory(name);
        let _right = Publisher::lock(&directory, Form::System)?;
        let current = directory.join(CURRENT);
        match fs::remove_file(&current) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &current)(error));
            }
            _ => {}
        }
        let skeleton = skeleton::remove(&directory);
        Ok(Purged {
            skeleton: skeleton.map_err(Error::io("remove the skeleton in", &directory))?,
            ..self.remove_unused_locked(name)?
        })
    }

    /// Removes the generations of a name that new guests do not get and nobody uses, and what
    /// killed processes have left.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn remove_unused(&self, name: Name) -> Result<Purged> {
        let directory = self.directory(name);
        if !directory.exists() {
            return Ok(Purged::default());
        }
        let _right = Publisher::lock(&directory, Form::System)?;
        self.remove_unused_locked(name)
    }

    /// Returns the generations that [`Self::remove_unused`] would remove. Nothing is changed.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read or locked.
    pub fn unused(&self, name: Name) -> Result<Vec<u64>> {
        let directory = self.directory(name);
        if !directory.exists() {
            return Ok(Vec::new());
        }
        // Nobody publishes meanwhile: a generation has its name before it is current.
        let _lock = Lock::exclusive(&directory)?;
        let current = self.current(name)?;
        let mut unused = Vec::new();
        for generation in self.generations(name)? {
            let path = self.generation_directory(name, generation);
            if current != Some(generation)
                && lock(&path).map_err(Error::io("lock", &path))?.is_some()
            {
                unused.push(generation);
            }
        }
        Ok(unused)
    }

    /// Returns the class of a generation.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn class(&self, generation: &Generation) -> Result<Class> {
        let manifest = generation.manifest();
        let is_current = self.current(manifest.name)? == Some(manifest.generation);
        Ok(match (is_current, manifest.restricted) {
            (true, false) => Class::Available,
            (true, true) => Class::Restricted,
            (false, _) => Class::PendingPurge,
        })
    }

    /// The caller has the lock of the name.
    fn remove_unused_locked(&self, name: Name) -> Result<Purged> {
        let mut purged = Purged::default();
        let current = self.current(name)?;
        for generation in self.generations(name)? {
            if current == Some(generation) {
                continue;
            }
            let path = self.generation_directory(name, generation);
            let hidden = self.directory(name).join(format!("{HIDDEN}{generation}"));
            let removed = remove(&path, &hidden).map_err(Error::io("remove", &path))?;
            if removed {
                purged.removed.push(generation);
            } else {
                purged.pending.push(generation);
            }
        }
        Ok(purged)
    }
}

/// Removes a generation unless somebody uses it, and says whether it is gone.
fn remove(path: &Path, hidden: &Path) -> io::Result<bool> {
    let Some(_lock) = lock(path)? else {
        return Ok(false);
    };
    // It disappears as a whole.
    fs::rename(path, hidden)?;
    fs::remove_dir_all(hidden)?;
    Ok(true)
}

/// Locks a generation; [`None`] if somebody uses it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let directory = File::open(path)?;
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::manifest;
    use crate::manifest::tests::manifest;

    /// Makes a store with generations of LX73 that have only their manifests.
    fn store(generations: &[u64], current: u64) -> (tempfile::TempDir, Systems, Name) {
        let directory = tempfile::tempdir().unwrap();
        let systems = Systems::open(directory.path());
        let name = manifest().name;
        for generation in generations {
            let path = systems.generation_directory(name, *generation);
            fs::create_dir_all(&path).unwrap();
            let text = manifest().to_text().unwrap();
            fs::write(path.join(manifest::FILE), text).unwrap();
        }
        let link = systems.directory(name).join(CURRENT);
        symlink(current.to_string(), link).unwrap();
        (directory, systems, name)
    }

    #[test]
    fn a_generation_stays_for_as_long_as_it_is_used() {
        let (_directory, systems, name) = store(&[1, 2], 2);
        let used = systems.acquire(name).unwrap();
        assert_eq!(systems.unused(name).unwrap(), [1]);
        let purged = systems.purge(name).unwrap();
        assert_eq!((purged.removed, purged.pending), (vec![1], vec![2]));
        assert_eq!(systems.class(&used).unwrap(), Class::PendingPurge);
        assert_eq!(systems.names().unwrap(), [name]);
        let error = systems.acquire(name).unwrap_err().to_string();
        assert!(error.ends_with("nothing has been saved there"), "{error}");

        drop(used);
        assert_eq!(systems.remove_unused(name).unwrap().removed, [2]);
        assert_eq!(systems.names().unwrap(), []);
        assert!(matches!(
            systems.purge(name).unwrap_err(),
            Error::NotFound { .. }
        ));
    }

    #[test]
    fn the_current_generation_is_not_removed_and_old_ones_are() {
        let (_directory, systems, name) = store(&[1, 2, 3], 2);
        assert_eq!(systems.unused(name).unwrap(), [1, 3]);
        assert_eq!(systems.remove_unused(name).unwrap().removed, [1, 3]);
        assert_eq!(systems.generations(name).unwrap(), [2]);
    }

    #[test]
    fn what_a_killed_removal_leaves_is_removed() {
        let (_directory, systems, name) = store(&[2], 2);
        let half = systems.directory(name).join(format!("{HIDDEN}1"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join("state"), "half").unwrap();
        systems.remove_unused(name).unwrap();
        assert!(!half.exists());
    }

    #[test]
    fn a_damaged_manifest_names_its_file() {
        let (_directory, systems, name) = store(&[2], 2);
        let file = systems.generation_directory(name, 2).join(manifest::FILE);
        fs::write(&file, "format = 1\n").unwrap();
        let error = systems.acquire(name).unwrap_err();
        let expected = format!("The manifest {} cannot be used", file.display());
        assert_eq!(error.to_string(), expected);
    }
}
