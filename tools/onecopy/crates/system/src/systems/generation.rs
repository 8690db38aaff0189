// SPDX-License-Identifier: GPL-2.0

//! One generation of a saved system.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_machine::Interrupt;
use onecopy_store::hold;

use super::STATE;
use crate::content::digest;
use crate::error::Error;
use crate::manifest;
use crate::manifest::Manifest;
use crate::manifest::SavedFile;
use crate::stamp::Stamp;
use crate::Result;

/// A generation whose manifest is valid.
#[derive(Debug)]
pub struct Generation {
    path: PathBuf,
    // Locked while the generation is in use.
    directory: Directory,
    manifest: Manifest,
}

/// What the check of a file has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// Name of the file.
    pub name: String,
    /// What is wrong with it; nothing if it is what was saved.
    pub problem: Option<&'static str>,
}

impl Generation {
    /// Reads the manifest in a directory.
    pub(super) fn open(directory: Directory) -> Result<Self> {
        let file = directory.path(manifest::FILE);
        let missing = || Error::io("read", &file)(io::ErrorKind::NotFound.into());
        let text = directory.read(manifest::FILE)?.ok_or_else(missing)?;
        let manifest = Manifest::parse(&text).map_err(|source| Error::Manifest {
            path: file.clone(),
            source,
        })?;
        Ok(Self {
            path: directory.location().components().collect(),
            directory,
            manifest,
        })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the open directory.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns what it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the path of the state of the devices.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Computes the digests of all files again.
    ///
    /// # Errors
    ///
    /// When a file cannot be read; one that is missing or wrong is a result, not an error.
    pub fn check(&self) -> Result<Vec<FileCheck>> {
        let files = self.manifest.files.iter();
        let check = |file: &SavedFile| {
            Ok(FileCheck {
                name: file.name.clone(),
                problem: self.problem(file)?,
            })
        };
        files.map(check).collect()
    }

    /// Makes sure that all files are what was saved, by their digests, unless these very files
    /// have been found so before.
    ///
    /// # Errors
    ///
    /// When a file is not, or cannot be read, or the interrupt comes.
    pub(crate) fn verify(&self, interrupt: &Interrupt) -> Result<()> {
        let stamp = || Stamp::of(&self.directory, &self.manifest);
        let before = stamp().map_err(Error::io("examine the files in", &self.path))?;
        if before.is_known(&self.directory) {
            return Ok(());
        }
        for file in &self.manifest.files {
            interrupt.check()?;
            if let Some(reason) = self.problem(file)? {
                return Err(Error::Corrupt {
                    path: self.path.join(&file.name),
                    reason,
                });
            }
        }
        // Nothing may have changed meanwhile. If the stamp cannot be written, because the store is
        // read-only for us, the next one has to do this again.
        if stamp().is_ok_and(|after| after == before) {
            let _ = before.remember(&self.directory);
        }
        Ok(())
    }

    /// Returns whether these very files have been found to be what was saved.
    pub(crate) fn is_verified(&self) -> bool {
        let stamp = Stamp::of(&self.directory, &self.manifest);
        stamp.is_ok_and(|stamp| stamp.is_known(&self.directory))
    }

    /// Notes that the files are what was saved. If that fails, they are verified once more.
    pub(crate) fn remember(&self) {
        let stamp = Stamp::of(&self.directory, &self.manifest);
        let _ = stamp.and_then(|stamp| stamp.remember(&self.directory));
    }

    /// Says what is wrong with a file.
    fn problem(&self, file: &SavedFile) -> Result<Option<&'static str>> {
        let path = self.path.join(&file.name);
        let Some(opened) = self.directory.file(&file.name)? else {
            return Ok(Some("it is missing"));
        };
        let size = opened
            .metadata()
            .map_err(Error::io("examine", &path))?
            .len();
        if size != file.size_bytes {
            return Ok(Some("its size is another one"));
        }
        let found = digest(&opened).map_err(Error::io("read", &path))?;
        Ok((found != file.sha256).then_some("its SHA-256 is another one"))
    }

    /// Takes the generation into use; `false` if it is being removed.
    pub(super) fn hold(&self) -> Result<bool> {
        Ok(hold(self.directory.handle(), &self.path)?)
    }
}
