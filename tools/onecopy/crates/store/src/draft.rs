// SPDX-License-Identifier: GPL-2.0

//! Files and directories that nobody sees until they are complete, if ever.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::try_lock;
use onecopy_directory::Directory;
use onecopy_directory::Sharing;
use onecopy_directory::DRAFT;

use crate::error::Error;
use crate::lock::Lock;
use crate::Result;

/// A file being written.
///
/// It vanishes when it is dropped, and when the process ends in any way: at once where it has no
/// name, at the next [`remove_stale`] where it has a hidden one.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    hidden: Option<Hidden>,
}

/// A name that goes when this is dropped, with what has it.
#[derive(Debug)]
struct Hidden {
    parent: Directory,
    name: String,
}

impl Draft {
    /// Creates an empty draft in `directory`.
    pub(crate) fn create(directory: &Directory) -> Result<Self> {
        match directory.create_nameless() {
            Ok(Some(file)) => Ok(Self { file, hidden: None }),
            Ok(None) => Self::create_hidden(directory),
            Err(error) => Err(failed_in(directory)(error)),
        }
    }

    /// Creates a draft with a hidden name, locked for as long as we live.
    fn create_hidden(directory: &Directory) -> Result<Self> {
        // Nobody may take the draft for a leftover before it is locked.
        let _guard = Lock::shared_in(directory)?;
        let parent = directory.again()?;
        let (name, file) = parent.create_draft().map_err(failed_in(directory))?;
        let hidden = Hidden { parent, name };
        lock(&file).map_err(failed_in(directory))?;
        Ok(Self {
            file,
            hidden: Some(hidden),
        })
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns a path by which another process can open the file while we live, whatever the path of
    /// the directory leads to then.
    pub(crate) fn path(&self) -> PathBuf {
        path_of(&self.file)
    }

    /// Gives the file its name; fails with `AlreadyExists` when that is taken.
    pub(crate) fn link(&self, directory: &Directory, name: &str) -> io::Result<()> {
        match &self.hidden {
            Some(hidden) => directory.link_from(&hidden.parent, &hidden.name, name),
            None => directory.name_file(&self.file, name),
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // What stays is removed as that of a killed process is.
        let _ = self.parent.remove_tree(&self.name);
    }
}

/// A hidden directory, for the temporary files of other programs or for what becomes a generation.
///
/// It vanishes when it is dropped, and at the latest when the next generation is published, unless it
/// was given another name.
#[derive(Debug)]
pub struct Scratch {
    // Goes first.
    hidden: Hidden,
    directory: Directory,
}

impl Scratch {
    /// Creates an empty directory in `directory`.
    ///
    /// # Errors
    ///
    /// When `directory` cannot be written to.
    pub fn create(directory: &Directory) -> Result<Self> {
        let failed = || Error::io("create a directory in", directory.location());
        let _guard = Lock::shared_in(directory)?;
        let parent = directory.again()?;
        // Others may use what becomes a generation.
        let name = parent.create_draft_child(0o755).map_err(failed())?;
        let hidden = Hidden { parent, name };
        let missing = || failed()(io::ErrorKind::NotFound.into());
        let directory = hidden.parent.child(&hidden.name)?.ok_or_else(missing)?;
        lock(directory.handle()).map_err(failed())?;
        Ok(Self { hidden, directory })
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the path of the directory, for programs that write there themselves and may do so as
    /// another user, to whom our open files are nothing.
    pub fn path(&self) -> &Path {
        self.directory.location()
    }

    /// Returns a path by which a program of ours can write there while we live, whatever the path of
    /// the directory leads to then.
    pub(crate) fn open_path(&self) -> PathBuf {
        path_of(self.directory.handle())
    }

    pub(crate) fn name(&self) -> &str {
        &self.hidden.name
    }
}

fn failed_in(directory: &Directory) -> impl FnOnce(io::Error) -> Error {
    Error::io("create a file in", directory.location())
}

fn path_of(file: &File) -> PathBuf {
    let (process, number) = (std::process::id(), file.as_raw_fd());
    PathBuf::from(format!("/proc/{process}/fd/{number}"))
}

/// Locks what nobody else knows yet.
fn lock(file: &File) -> io::Result<()> {
    if try_lock(file, Sharing::Exclusive)? {
        return Ok(());
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// Removes the drafts that a killed process has left in `directory`, and returns their number.
///
/// The caller holds the exclusive lock of the directory.
pub(crate) fn remove_stale(directory: &Directory) -> Result<usize> {
    let stale = stale(directory)?;
    for name in &stale {
        let removed = directory.remove_tree(name);
        removed.map_err(Error::io("remove", &directory.path(name)))?;
    }
    Ok(stale.len())
}

/// Returns the names of the drafts that a killed process has left in `directory`.
///
/// A draft whose process lives is locked, and none of them. The caller holds the exclusive lock of the
/// directory.
pub(crate) fn stale(directory: &Directory) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for name in directory.names()? {
        // Ours are ASCII.
        let Some(name) = name.to_str().filter(|name| is_hidden_draft(name)) else {
            continue;
        };
        if is_abandoned(directory, name)? {
            stale.push(name.to_owned());
        }
    }
    Ok(stale)
}

/// Whether it is one of ours, or a file that is written while the directory is locked.
fn is_hidden_draft(name: &str) -> bool {
    let rest = name.strip_prefix(DRAFT);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn is_abandoned(directory: &Directory, name: &str) -> Result<bool> {
    match directory.file(name) {
        Ok(Some(file)) => {
            try_lock(&file, Sharing::Exclusive).map_err(Error::io("lock", &directory.path(name)))
        }
        // Its owner has removed it just now.
        Ok(None) => Ok(false),
        // Nobody has locked a link.
        Err(onecopy_directory::Error::Link(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn open() -> (tempfile::TempDir, Directory) {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path()).unwrap().unwrap();
        (root, directory)
    }

    fn visible_names(directory: &Directory) -> Vec<String> {
        let names = directory.names().unwrap().into_iter();
        names
            .map(|name| name.into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }

    #[test]
    fn a_draft_is_invisible_until_it_is_linked() {
        let (_root, directory) = open();
        let draft = Draft::create(&directory).unwrap();
        draft.file().write_all_at(b"complete", 0).unwrap();
        assert_eq!(visible_names(&directory), [""; 0]);
        draft.link(&directory, "1.seg").unwrap();
        drop(draft);
        assert_eq!(visible_names(&directory), ["1.seg"]);
        assert_eq!(fs::read(directory.path("1.seg")).unwrap(), b"complete");
    }

    #[test]
    fn a_hidden_draft_behaves_like_a_nameless_one() {
        let (_root, directory) = open();
        let draft = Draft::create_hidden(&directory).unwrap();
        draft.file().write_all_at(b"complete", 0).unwrap();
        assert_eq!(fs::read(draft.path()).unwrap(), b"complete");
        draft.link(&directory, "1.seg").unwrap();
        drop(draft);
        assert_eq!(visible_names(&directory), ["1.seg"]);
    }

    #[test]
    fn linking_never_replaces_a_file() {
        let (_root, directory) = open();
        let path = directory.path("1.seg");
        fs::write(&path, "old").unwrap();
        for draft in [Draft::create(&directory), Draft::create_hidden(&directory)] {
            let error = draft.unwrap().link(&directory, "1.seg").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn only_abandoned_drafts_are_stale() {
        let (_root, directory) = open();
        let alive = Draft::create_hidden(&directory).unwrap();
        let scratch = Scratch::create(&directory).unwrap();
        fs::write(directory.path(".draft-dead"), "half").unwrap();
        fs::create_dir_all(directory.path(".draft-gone/sub")).unwrap();
        fs::write(directory.path(DRAFT), "half").unwrap();
        fs::write(directory.path(".drafts"), "not ours").unwrap();
        fs::write(directory.path("1.seg"), "whole").unwrap();
        assert_eq!(stale(&directory).unwrap().len(), 3);
        assert_eq!(remove_stale(&directory).unwrap(), 3);
        assert!(alive.path().exists() && scratch.path().exists());
        assert!(directory.has(".drafts"));
        assert!(directory.path("1.seg").exists());
        assert!(!directory.path(".draft-dead").exists());
    }

    #[test]
    fn a_link_with_the_name_of_a_draft_goes_and_not_what_it_leads_to() {
        let (_root, directory) = open();
        fs::create_dir(directory.path("outside")).unwrap();
        fs::write(directory.path("outside/f"), "secret").unwrap();
        for (target, name) in [("outside", "-a"), ("outside/f", "-b"), ("nowhere", "")] {
            symlink(target, directory.path(&format!("{DRAFT}{name}"))).unwrap();
        }
        assert_eq!(remove_stale(&directory).unwrap(), 3);
        assert_eq!(visible_names(&directory), ["outside"]);
        assert!(directory.path("outside/f").exists());
    }

    #[test]
    fn drafts_go_from_the_directory_that_they_were_made_in() {
        let (root, _) = open();
        let (path, moved, outside) = (
            root.path().join("a"),
            root.path().join("moved"),
            root.path().join("outside"),
        );
        let directory = Directory::create(&path).unwrap();
        let draft = Draft::create_hidden(&directory).unwrap();
        let scratch = Scratch::create(&directory).unwrap();
        for name in [draft.hidden.as_ref().unwrap().name.as_str(), scratch.name()] {
            fs::create_dir_all(outside.join(name)).unwrap();
        }
        fs::rename(&path, &moved).unwrap();
        symlink(&outside, &path).unwrap();
        fs::write(scratch.open_path().join("f"), "of another program").unwrap();
        assert!(moved.join(scratch.name()).join("f").exists());
        draft.link(&directory, "1.seg").unwrap();
        drop((draft, scratch));
        assert_eq!(visible_names(&directory), ["1.seg"]);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&moved).unwrap().count(), 2, "and the lock");
    }

    #[test]
    fn another_process_can_open_a_draft() {
        let (_root, directory) = open();
        let draft = Draft::create(&directory).unwrap();
        draft.file().write_all_at(b"seen", 0).unwrap();
        let output = std::process::Command::new("cat")
            .arg(draft.path())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"seen");
    }
}
