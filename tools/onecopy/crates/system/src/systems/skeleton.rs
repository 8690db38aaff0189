// SPDX-License-Identifier: GPL-2.0

//! Skeletons: systems that were defined and not saved yet, class S.

use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;

use super::Systems;
use crate::definition::Definition;
use crate::definition::DefinitionError;
use crate::error::Error;
use crate::Result;

impl Systems {
    /// Makes a definition the skeleton of its name, in place of one that there is, and returns its
    /// path.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the skeleton is then as it was.
    pub fn define(&self, definition: &Definition) -> Result<PathBuf> {
        let shelf = self.shelf(definition.name);
        let text = definition
            .to_text()
            .map_err(|source| damaged(&shelf.skeleton(), source))?;
        Ok(shelf.define(&text)?)
    }

    /// Reads the skeleton of a name, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not understood.
    pub fn definition(&self, name: Name) -> Result<Option<Definition>> {
        let Some(text) = self.shelf(name).definition()? else {
            return Ok(None);
        };
        let definition = Definition::parse(&text, name);
        definition
            .map(Some)
            .map_err(|source| damaged(&self.skeleton(name), source))
    }

    /// Reads the skeleton of a name to save it. It stays until that is done; a save that is running
    /// uses it up before.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not understood.
    pub fn take_definition(&self, name: Name) -> Result<Option<Definition>> {
        let shelf = self.shelf(name);
        if shelf.look()?.is_none() {
            return Ok(None);
        }
        let _right = shelf.lock()?;
        self.definition(name)
    }

    /// Returns whether there is a skeleton of a name, perhaps a damaged one.
    pub fn is_defined(&self, name: Name) -> bool {
        self.shelf(name).is_defined()
    }

    /// Returns the path of the skeleton of a name.
    pub fn skeleton(&self, name: Name) -> PathBuf {
        self.shelf(name).skeleton()
    }

    /// Removes the skeleton that was saved, unless there is another one by now. The caller has the lock
    /// of the name.
    pub(crate) fn use_up(&self, saved: &Definition) -> Result<()> {
        let is_saved = |text: &str| {
            let found = Definition::parse(text, saved.name);
            found.is_ok_and(|found| found == *saved)
        };
        Ok(self.shelf(saved.name).use_up(is_saved)?)
    }
}

fn damaged(path: &Path, source: DefinitionError) -> Error {
    Error::Definition {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::definition::tests::definition;

    fn store() -> (tempfile::TempDir, Systems) {
        let directory = tempfile::tempdir().unwrap();
        let systems = Systems::open(directory.path().join("store"));
        (directory, systems)
    }

    #[test]
    fn a_skeleton_is_replaced_listed_and_purged() {
        let (_directory, systems) = store();
        let mut skeleton = definition();
        let name = skeleton.name;
        assert_eq!(systems.take_definition(name).unwrap(), None);
        for seconds in [1, 2] {
            skeleton.defined_unix_seconds = seconds;
            let path = systems.define(&skeleton).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
            assert_eq!(
                systems.take_definition(name).unwrap().as_ref(),
                Some(&skeleton)
            );
        }
        assert_eq!(systems.names().unwrap(), [name]);
        let error = systems.acquire(name).unwrap_err().to_string();
        assert_eq!(error, "LX73 was defined but not saved: run savesys");

        assert!(systems.purge(name).unwrap().skeleton);
        assert_eq!(systems.names().unwrap(), []);
        let error = systems.purge(name).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }

    #[test]
    fn only_the_skeleton_that_was_saved_is_used_up() {
        let (_directory, systems) = store();
        let saved = definition();
        systems.define(&saved).unwrap();
        systems.use_up(&saved).unwrap();
        assert!(!systems.is_defined(saved.name));
        // Another save has used it up.
        systems.use_up(&saved).unwrap();

        let mut other = definition();
        other.allow.pop();
        systems.define(&other).unwrap();
        systems.use_up(&saved).unwrap();
        assert_eq!(systems.definition(saved.name).unwrap(), Some(other));
        fs::write(systems.skeleton(saved.name), "format = ").unwrap();
        systems.use_up(&saved).unwrap();
        assert!(systems.is_defined(saved.name));
    }

    #[test]
    fn damage_is_an_error_with_file_and_place_and_can_be_purged() {
        let (_directory, systems) = store();
        let name = definition().name;
        let path = systems.define(&definition()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("true", "yes")).unwrap();
        let error = systems.take_definition(name).unwrap_err();
        let expected = format!("The definition {} cannot be used", path.display());
        assert_eq!(error.to_string(), expected);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.starts_with("line 6, column 14: "), "{source}");
        assert_eq!(systems.names().unwrap(), [name]);
        assert!(systems.purge(name).unwrap().skeleton);
    }

    #[test]
    fn what_a_killed_definition_leaves_is_removed_by_the_next() {
        let (_directory, systems) = store();
        let name = definition().name;
        systems.define(&definition()).unwrap();
        let half = systems.directory(name).join(".draft-killed");
        fs::write(&half, "format").unwrap();
        systems.define(&definition()).unwrap();
        assert!(!half.exists());
    }
}
