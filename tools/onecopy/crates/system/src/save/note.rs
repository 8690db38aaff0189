// SPDX-License-Identifier: GPL-2.0

//! What a guest is being saved as, noted beside the guest before that is published.
//!
//! Who publishes a guest ends it then. If that fails, or the process was killed in between, whoever
//! comes next reads the note, and knows whether the guest was saved or has to go on.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::replace;
use onecopy_directory::Manner;
use onecopy_format::segment_space::Name;
use serde::Deserialize;
use serde::Serialize;

use crate::error::Error;
use crate::guests::SAVED_AS;
use crate::manifest::Manifest;
use crate::systems::Generation;
use crate::systems::Systems;
use crate::systems::STATE;
use crate::text;
use crate::Result;

/// What a guest is being saved as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    store: PathBuf,
    #[serde(with = "text")]
    name: Name,
    generation: u64,
    /// The digest of its state. Another save may get the number if this one has not come so far.
    state: Option<String>,
}

impl Note {
    /// Notes that a guest will be this generation of a store.
    pub(super) fn new(systems: &Systems, manifest: &Manifest) -> Self {
        Self {
            store: systems.root().to_owned(),
            name: manifest.name,
            generation: manifest.generation,
            state: state_of(manifest),
        }
    }

    /// Writes the note to the directory of the guest.
    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        let write = || {
            let text = toml::to_string(self).map_err(io::Error::other)?;
            // We may be killed, so the file appears complete or not at all.
            replace(&directory.join(SAVED_AS), text.as_bytes(), Manner::PRIVATE)
        };
        write().map_err(Error::io("write to", directory))
    }

    /// Reads the note in the directory of a guest, if there is one.
    fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(SAVED_AS);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text)
                .map_err(io::Error::other)
                .map_err(Error::io("understand", &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Returns the generation if it was published, and is still there.
    fn published(&self) -> Result<Option<Generation>> {
        let systems = Systems::open(&self.store);
        let shelf = systems.shelf(self.name);
        if shelf.look()?.is_none() {
            return Ok(None);
        }
        // Removes a generation that has its name but has not become current.
        let _right = shelf.lock()?;
        if !systems.generations(self.name)?.contains(&self.generation) {
            return Ok(None);
        }
        let generation = systems.generation(self.name, self.generation)?;
        let is_ours = state_of(generation.manifest()) == self.state;
        Ok(is_ours.then_some(generation))
    }
}

fn state_of(manifest: &Manifest) -> Option<String> {
    manifest.file(STATE).map(|file| file.sha256.clone())
}

/// Returns what the guest with this directory was saved as, if it was and that is still there.
pub(super) fn saved_as(directory: &Path) -> Result<Option<Generation>> {
    Note::read(directory)?.map_or(Ok(None), |note| note.published())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::manifest;
    use crate::manifest::tests::manifest;

    /// Puts a generation into the store, as far as it is looked at here.
    fn put(systems: &Systems, manifest: &Manifest) -> PathBuf {
        let directory = systems.directory(manifest.name);
        let path = directory.join(manifest.generation.to_string());
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(manifest::FILE), manifest.to_text().unwrap()).unwrap();
        directory
    }

    #[test]
    fn a_guest_was_saved_when_that_very_generation_is_published() {
        let [guest, store] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let systems = Systems::open(store.path());
        let is_saved = || saved_as(guest.path()).unwrap().is_some();
        assert!(!is_saved());
        let ours = manifest();
        Note::new(&systems, &ours).write(guest.path()).unwrap();
        assert!(!is_saved(), "there is no store");

        // One that was killed before the generation became current.
        let number = ours.generation.to_string();
        let directory = put(&systems, &ours);
        symlink(&number, directory.join(".current")).unwrap();
        assert!(!is_saved());
        assert!(!directory.join(&number).exists());

        // Another save got the number.
        let mut other = ours.clone();
        let state = other.files.iter_mut().find(|file| file.name == STATE);
        state.unwrap().sha256 = "0".repeat(64);
        put(&systems, &other);
        assert!(!is_saved());

        put(&systems, &ours);
        assert!(is_saved());
        assert_eq!(fs::read_dir(guest.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_note_that_is_not_understood_is_no_missing_one() {
        let guest = tempfile::tempdir().unwrap();
        fs::write(guest.path().join(SAVED_AS), "?").unwrap();
        let error = saved_as(guest.path()).unwrap_err().to_string();
        assert!(error.starts_with("Cannot understand "), "{error}");
    }
}
