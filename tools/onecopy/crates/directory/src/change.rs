// SPDX-License-Identifier: GPL-2.0

//! What is changed in an open directory. No link is followed: a link is replaced or removed itself, or
//! refused.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use cap_std_ext::cap_std::fs::Dir;
use rustix::fs::linkat;
use rustix::fs::mkdirat;
use rustix::fs::openat;
use rustix::fs::renameat;
use rustix::fs::renameat_with;
use rustix::fs::symlinkat;
use rustix::fs::unlinkat;
use rustix::fs::AtFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::fs::CWD;
use rustix::io::Errno;

use super::component;
use super::replace::fresh_name;
use super::Directory;
use crate::error::Error;
use crate::Result;

impl Directory {
    /// Creates a file to read and to write it. Nothing may have its name, also no link.
    ///
    /// # Errors
    ///
    /// When something has, or it cannot be created.
    pub fn create_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        Ok(openat(&self.file, component(&name)?, flags, mode)?.into())
    }

    /// Creates a file of a hidden name that nothing has, for us alone, and returns that name.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create_draft(&self) -> io::Result<(String, File)> {
        let name = fresh_name()?;
        let file = self.create_file(&name, 0o600)?;
        Ok((name, file))
    }

    /// Creates a directory of a hidden name that nothing has, and returns that name.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create_draft_child(&self, mode: u32) -> io::Result<String> {
        let name = fresh_name()?;
        mkdirat(&self.file, &name, Mode::from_raw_mode(mode))?;
        Ok(name)
    }

    /// Creates a file without a name; [`None`] where the file system knows no such files.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create_nameless(&self) -> io::Result<Option<File>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match openat(&self.file, ".", flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file.into())),
            // A file system without O_TMPFILE, or a kernel that takes it for a directory.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file to read and to write it, which must be there.
    ///
    /// # Errors
    ///
    /// When it is a link or no file, or cannot be opened.
    pub fn open_to_write(&self, name: &str) -> Result<File> {
        // Whatever it is, opening it must not wait.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let failed = |reason: io::Error| Error::io("open", &self.path(name))(reason);
        let opened = self.open_below(name, flags)?;
        let file = File::from(opened.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?);
        if file.metadata().map_err(failed)?.is_file() {
            return Ok(file);
        }
        let reason = io::Error::new(io::ErrorKind::InvalidData, "it is not a file");
        Err(failed(reason))
    }

    /// Opens a file to lock it, and creates it if need be.
    ///
    /// # Errors
    ///
    /// When it is a link, or cannot be opened or created.
    pub fn lock_file(&self, name: &str, mode: u32) -> Result<File> {
        let failed = Error::io("open", &self.path(name));
        if let Err(error) = component(name) {
            return Err(failed(error));
        }
        // A link could lead to a file that has nothing to do with us, and opening a pipe must not wait.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(&self.file, name, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(file.into()),
            Err(Errno::LOOP) => Err(Error::Link(self.path(name))),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Gives a file that has no name one here. Nothing may have it.
    ///
    /// # Errors
    ///
    /// When something has, or the file cannot be linked.
    pub fn name_file(&self, file: &File, name: &str) -> io::Result<()> {
        // The kernel makes this link, and it leads to the open file.
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = AtFlags::SYMLINK_FOLLOW;
        Ok(linkat(CWD, from, &self.file, component(name)?, flags)?)
    }

    /// Gives a file of another directory, or of this one, one more name here. Nothing may have it.
    ///
    /// # Errors
    ///
    /// When something has, or the file cannot be linked.
    pub fn link_from(&self, from: &Self, old: &str, new: &str) -> io::Result<()> {
        let (old, new) = (component(old)?, component(new)?);
        Ok(linkat(&from.file, old, &self.file, new, AtFlags::empty())?)
    }

    /// Makes a symbolic link. Nothing may have its name.
    ///
    /// # Errors
    ///
    /// When something has, or it cannot be made.
    pub fn make_link(&self, target: impl AsRef<Path>, name: &str) -> io::Result<()> {
        Ok(symlinkat(target.as_ref(), &self.file, component(name)?)?)
    }

    /// Renames something; what has the other name is replaced.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn rename(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        let (from, to) = (component(&from)?, component(&to)?);
        Ok(renameat(&self.file, from, &self.file, to)?)
    }

    /// Renames something; nothing may have the other name.
    ///
    /// # Errors
    ///
    /// When something has, or it cannot be renamed.
    pub fn rename_to_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (component(from)?, component(to)?);
        let flags = RenameFlags::NOREPLACE;
        Ok(renameat_with(&self.file, from, &self.file, to, flags)?)
    }

    /// Removes a file if it is there, and makes sure that it does not come back. The caller has the exclusive
    /// lock.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remove_file(name)
            .and_then(|_| self.sync())
            .map_err(Error::io("remove", &self.path(name)))
    }

    /// Removes a file or a link, and says whether it was there.
    ///
    /// # Errors
    ///
    /// When it is a directory, or cannot be removed.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match unlinkat(&self.file, component(&name)?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, a link or a directory with all that is in it, and says whether it was there.
    ///
    /// # Errors
    ///
    /// When something of it cannot be removed.
    pub fn remove_tree(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.file, component(name)?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR) => {
                // Opens each directory in the one above it, without following links.
                let directory = Dir::from_std_file(self.file.try_clone()?);
                directory.remove_dir_all(name).map(|()| true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the directory itself to disk: the names in it.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// Makes a directory, and something outside of it that nobody may touch.
    fn open() -> (tempfile::TempDir, Directory, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs::create_dir_all(outside.join("d")).unwrap();
        fs::write(outside.join("f"), "secret").unwrap();
        let directory = Directory::create(&root.path().join("a")).unwrap();
        (root, directory, outside)
    }

    #[track_caller]
    fn is_untouched(outside: &Path) {
        assert_eq!(fs::read_dir(outside).unwrap().count(), 2);
        assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "secret");
        assert_eq!(fs::read_dir(outside.join("d")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (_root, directory, outside) = open();
        symlink(outside.join("f"), directory.path("f")).unwrap();
        symlink(outside.join("new"), directory.path("new")).unwrap();
        for name in ["f", "new"] {
            let exists = directory.create_file(name, 0o600).unwrap_err();
            assert_eq!(exists.kind(), io::ErrorKind::AlreadyExists);
            directory.lock_file(name, 0o600).unwrap_err();
            let error = directory.open_to_write(name).unwrap_err();
            assert!(matches!(error, Error::Link(_)), "{error}");
            let file = directory.create_draft().unwrap().1;
            directory.name_file(&file, name).unwrap_err();
            directory.make_link("f", name).unwrap_err();
        }
        is_untouched(&outside);
    }

    #[test]
    fn a_link_is_removed_and_renamed_itself() {
        let (_root, directory, outside) = open();
        for name in ["f", "d"] {
            symlink(outside.join(name), directory.path(name)).unwrap();
            directory.rename(name, "moved").unwrap();
            assert!(directory.read_link("moved").unwrap().is_some());
            assert!(directory.remove_tree("moved").unwrap());
            assert!(!directory.remove_tree("moved").unwrap());
        }
        symlink(&outside, directory.path("all")).unwrap();
        assert!(directory.remove_file("all").unwrap());
        is_untouched(&outside);
    }

    #[test]
    fn a_tree_is_removed_and_not_what_links_in_it_lead_to() {
        let (_root, directory, outside) = open();
        let tree = directory.create_child("tree").unwrap();
        tree.create_child("deep")
            .unwrap()
            .replace("f", "x")
            .unwrap();
        symlink(&outside, tree.path("out")).unwrap();
        symlink("/nonexistent", tree.path("nowhere")).unwrap();
        assert!(directory.remove_tree("tree").unwrap());
        assert_eq!(directory.names().unwrap(), [""; 0]);
        is_untouched(&outside);
    }

    #[test]
    fn what_is_written_stays_in_the_directory_when_its_path_leads_elsewhere() {
        let (root, directory, outside) = open();
        let (name, mut file) = directory.create_draft().unwrap();
        fs::rename(root.path().join("a"), root.path().join("moved")).unwrap();
        symlink(&outside, root.path().join("a")).unwrap();
        file.write_all(b"ours").unwrap();
        directory.rename_to_new(&name, "f").unwrap();
        directory.make_link("f", "current").unwrap();
        directory.create_child("sub").unwrap();
        directory.replace("g", "ours").unwrap();
        directory.remove_tree("sub").unwrap();
        let nameless = directory.create_nameless().unwrap();
        if let Some(file) = nameless {
            directory.name_file(&file, "h").unwrap();
        }
        is_untouched(&outside);
        let moved = root.path().join("moved");
        assert_eq!(fs::read_to_string(moved.join("current")).unwrap(), "ours");
    }

    #[test]
    fn nothing_is_replaced_that_must_not_be() {
        let (_root, directory, _) = open();
        directory.replace("old", "old").unwrap();
        let (name, file) = directory.create_draft().unwrap();
        for error in [
            directory.rename_to_new(&name, "old"),
            directory.link_from(&directory, &name, "old"),
            directory.name_file(&file, "old"),
        ] {
            let kind = error.unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::AlreadyExists);
        }
        assert_eq!(directory.read("old").unwrap().as_deref(), Some("old"));
    }

    #[test]
    fn names_do_not_lead_out_of_the_directory() {
        let (_root, directory, outside) = open();
        for name in ["", ".", "..", "/", "../outside/f", "f/", "./f", "a/b"] {
            for result in [
                directory.create_file(name, 0o600).map(drop),
                directory.remove_file(name).map(drop),
                directory.remove_tree(name).map(drop),
                directory.rename(name, "x"),
                directory.rename("x", name),
                directory.metadata(name).map(drop),
            ] {
                let kind = result.unwrap_err().kind();
                assert_eq!(kind, io::ErrorKind::InvalidInput, "{name}");
            }
            directory.create_child(name).unwrap_err();
        }
        is_untouched(&outside);
    }
}
