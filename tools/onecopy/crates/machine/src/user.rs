// SPDX-License-Identifier: GPL-2.0

//! The user that QEMU runs as, and the files that he gets for that.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::fs::fchown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::open;
use rustix::fs::Mode;
use rustix::fs::OFlags;

use onecopy_child::output_within;
use onecopy_child::DEADLINE;

/// Where most users are. Others are asked for by name service.
const PASSWD: &str = "/etc/passwd";

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
}

/// A file that QEMU opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The file.
    pub path: PathBuf,
    /// Whether it is written to.
    pub write: bool,
}

impl User {
    /// Finds a user of the host itself.
    ///
    /// # Errors
    ///
    /// When users cannot be listed.
    pub fn local(name: &str) -> io::Result<Option<Self>> {
        let text = fs::read_to_string(PASSWD)?;
        Ok(text.lines().find_map(|line| Self::parse(line, name)))
    }

    /// Finds a user, also one that only name service knows.
    ///
    /// # Errors
    ///
    /// When users cannot be listed.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        if let Some(user) = Self::local(name)? {
            return Ok(Some(user));
        }
        let mut command = Command::new("getent");
        command.args(["passwd", "--", name]);
        // Name service may wait for a server that is gone.
        let output = output_within(command, DEADLINE);
        let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().find_map(|line| Self::parse(line, name)))
    }

    /// Reads a line of passwd(5) if it is of this name.
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let mut numbers = fields.skip(1);
        Some(Self {
            name: name.to_owned(),
            uid: numbers.next()?.parse().ok()?,
            gid: numbers.next()?.parse().ok()?,
        })
    }

    /// Makes a command run as this user, in no other groups than his own.
    ///
    /// The user is changed before the program is executed: QEMU's own way is not allowed by its sandbox,
    /// and the signal at the end of the parent is asked for after this, so it is kept.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Gives the user a file that is ours, and to nobody else.
    ///
    /// # Errors
    ///
    /// When it cannot be given.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
    }

    /// Lets the user open a file of ours, which stays ours, by his group, and enter its directory.
    ///
    /// # Errors
    ///
    /// When the permissions cannot be changed, or there is a link.
    pub fn lend(&self, path: &Path, write: bool) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            let mode = directory.metadata()?.mode() & 0o7777;
            if mode & 0o001 == 0 {
                fs::set_permissions(directory, Permissions::from_mode(mode | 0o011))?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o7777;
        let needed = if write { 0o060 } else { 0o040 };
        let by_others = mode & (needed >> 3) == needed >> 3;
        let by_group = metadata.gid() == self.gid && mode & needed == needed;
        if by_others || by_group {
            return Ok(());
        }
        fchown(&file, None, Some(self.gid))?;
        file.set_permissions(Permissions::from_mode(mode | needed))
    }

    /// Creates a file of ours that the user can write to.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or is there.
    pub fn create_lent(&self, path: &Path) -> io::Result<()> {
        File::create_new(path)?.set_permissions(Permissions::from_mode(0o600))?;
        self.lend(path, true)
    }

    /// Returns the files that the user cannot open, as the kernel says it to him.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub fn cannot_open(&self, files: &[Needed]) -> io::Result<Vec<Needed>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        // Prints a character for each file.
        let script = "for f; do p=${f%%:*}; f=${f#*:}; \
                      if test -r \"$f\" && { test $p = r || test -w \"$f\"; }; \
                      then printf y; else printf n; fi; done";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]);
        for file in files {
            let mut word = std::ffi::OsString::from(if file.write { "w:" } else { "r:" });
            word.push(std::path::absolute(&file.path)?);
            command.arg(word);
        }
        self.apply(&mut command);
        command.current_dir("/");
        let output = output_within(command, DEADLINE)?;
        if !output.status.success() || output.stdout.len() != files.len() {
            return Err(io::Error::other("/bin/sh does not run as that user"));
        }
        let answers = files.iter().zip(output.stdout);
        let refused = answers.filter(|(_, answer)| *answer != b'y');
        Ok(refused.map(|(file, _)| file.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::geteuid;

    use super::*;

    #[test]
    fn a_user_is_found_by_his_whole_name() {
        let line = "onecopy:x:998:997::/nonexistent:/usr/sbin/nologin";
        let user = User::parse(line, "onecopy").unwrap();
        assert_eq!((user.uid, user.gid), (998, 997));
        assert_eq!(User::parse(line, "one"), None);
        assert_eq!(User::parse("onecopy:x:a:b", "onecopy"), None);
        assert_eq!(User::local("root").unwrap().unwrap().uid, 0);
        assert_eq!(User::find("no-such-user").unwrap(), None);
    }

    #[test]
    fn a_file_is_lent_to_one_user_and_stays_ours() {
        if !geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        let user = User::find("nobody").unwrap().unwrap();
        let needed = |write| {
            [Needed {
                path: path.clone(),
                write,
            }]
        };
        assert_eq!(user.cannot_open(&needed(false)).unwrap(), needed(false));
        user.lend(&path, false).unwrap();
        assert_eq!(user.cannot_open(&needed(false)).unwrap(), []);
        assert_eq!(user.cannot_open(&needed(true)).unwrap(), needed(true));
        user.lend(&path, true).unwrap();
        assert_eq!(user.cannot_open(&needed(true)).unwrap(), []);
        let metadata = path.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, user.gid));
        assert_eq!(metadata.mode() & 0o7777, 0o460);
    }
}
