// SPDX-License-Identifier: GPL-2.0

//! What a crash leaves of guests: directories whose keeper has ended, and QEMUs without a keeper.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_directory::Directory;
use onecopy_store::Lock;

use super::Guests;
use super::Record;
use super::QMP;
use crate::error::Error;
use crate::process::Process;
use crate::Result;

/// How long a QEMU may take to end that is killed.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// Something that belongs to no guest any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The name of the directory, which was that of the guest.
    pub guest: String,
    /// The directory, if it is still there.
    pub directory: Option<PathBuf>,
    /// The QEMUs that still run.
    pub emulators: Vec<Process>,
}

impl Guests {
    /// Returns what belongs to no guest any more. Nothing is changed.
    ///
    /// A guest is one whose keeper lives, or whose record is not understood: it may be that of
    /// another version of this program.
    ///
    /// # Errors
    ///
    /// When the run directory cannot be read or locked.
    pub fn stale(&self) -> Result<Vec<Stale>> {
        if !self.directory.exists() {
            return Ok(Vec::new());
        }
        self.look()?;
        // While this is held no directory is without its record, and no guest comes.
        let _lock = Lock::exclusive(&self.directory)?;
        self.stale_locked()
    }

    /// Kills the QEMUs and removes the directory, if that still belongs to no guest, and says whether
    /// it did.
    ///
    /// # Errors
    ///
    /// When a process is somebody else's, or the directory cannot be removed.
    pub fn remove_stale(&self, stale: &Stale) -> Result<bool> {
        let _lock = Lock::exclusive(&self.directory)?;
        if !self.stale_locked()?.contains(stale) {
            return Ok(false);
        }
        let what = self.directory.join(&stale.guest);
        for emulator in &stale.emulators {
            let ended = emulator.kill(KILL_TIMEOUT);
            if !ended.map_err(Error::io("kill the QEMU of", &what))? {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                return Err(Error::io("end the QEMU of", &what)(late));
            }
        }
        if let Some(directory) = &stale.directory {
            super::remove_if_there(directory).map_err(Error::io("remove", directory))?;
        }
        Ok(true)
    }

    fn stale_locked(&self) -> Result<Vec<Stale>> {
        let read = Error::io("read", &self.directory);
        let entries = fs::read_dir(&self.directory).map_err(read)?;
        let mut all: Vec<Stale> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| is_stale(path))
            .filter_map(|path| {
                Some(Stale {
                    guest: path.file_name()?.to_str()?.to_owned(),
                    directory: Some(path),
                    emulators: Vec::new(),
                })
            })
            .collect();
        for (guest, process) in emulators(&self.directory) {
            if let Some(stale) = all.iter_mut().find(|stale| stale.guest == guest) {
                stale.emulators.push(process);
            } else if !self.directory.join(&guest).exists() {
                all.push(Stale {
                    guest,
                    directory: None,
                    emulators: vec![process],
                });
            }
        }
        all.sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        Ok(all)
    }
}

/// Whether the directory of a guest belongs to none any more.
fn is_stale(path: &Path) -> bool {
    // A link is no directory, and nothing of ours.
    if !path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return false;
    }
    let Ok(Some(directory)) = Directory::open(path) else {
        return false;
    };
    match Record::read(&directory) {
        Ok(Some(record)) => !record.keeper.is_alive(),
        // Its maker was killed before it could write the record; nobody may listen there.
        Ok(None) => UnixStream::connect(path.join(QMP)).is_err(),
        Err(_) => false,
    }
}

/// Returns the QEMUs whose monitor is in the directory of a guest, with the names of these.
fn emulators(directory: &Path) -> Vec<(String, Process)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let find = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let process = Process::of(pid).ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let guest = guest_of(&line, directory)?;
        // The number may have been used again between the two looks.
        process.is_alive().then_some((guest, process))
    };
    entries.filter_map(find).collect()
}

/// Returns the guest that a command line is of: the one in whose directory it puts a monitor. Others
/// have such paths in theirs too, who read a log for example.
fn guest_of(line: &[u8], directory: &Path) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let directory = directory.display();
    // A QEMU of another user has the socket open and is told its path.
    let forms = [
        ("socket,", format!("path={directory}/")),
        ("fd=", format!("opaque={directory}/")),
    ];
    line.split('\0').find_map(|argument| {
        let find = |(start, path): &(&str, String)| {
            let rest = argument.strip_prefix(start)?;
            Some(rest.split_once(path.as_str())?.1)
        };
        let rest = forms.iter().find_map(find)?;
        let (guest, rest) = rest.split_once('/')?;
        (rest.split(',').next()? == QMP).then(|| guest.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::FILE;
    use super::*;
    use crate::guests::tests::claim;

    fn dead(process: Process) -> Process {
        Process {
            start_ticks: process.start_ticks + 1,
            ..process
        }
    }

    #[test]
    fn only_directories_without_a_keeper_are_stale() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        assert_eq!(guests.stale().unwrap(), []);
        let _alive = claim(&guests, Some("alive")).unwrap();
        let killed = claim(&guests, Some("killed")).unwrap();
        let directory = Directory::open(&killed.file("")).unwrap().unwrap();
        let mut record = Record::read(&directory).unwrap().unwrap();
        record.keeper = dead(record.keeper);
        killed.write(&record).unwrap();
        std::mem::forget(killed);
        for name in ["half", "newer"] {
            fs::create_dir(guests.directory.join(name)).unwrap();
        }
        fs::write(guests.directory.join("newer").join(FILE), "format = 9").unwrap();

        let stale = guests.stale().unwrap();
        let names: Vec<_> = stale.iter().map(|stale| stale.guest.as_str()).collect();
        assert_eq!(names, ["half", "killed"]);
        for stale in &stale {
            assert!(guests.remove_stale(stale).unwrap());
            assert!(!guests.remove_stale(stale).unwrap(), "it is gone");
        }
        assert_eq!(guests.stale().unwrap(), []);
        assert!(guests.directory.join("newer").exists());
        assert!(guests.directory.join("alive").exists());
    }

    #[test]
    fn what_was_used_again_meanwhile_stays() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::open(root.path());
        fs::create_dir_all(guests.directory.join("web")).unwrap();
        let [stale] = guests.stale().unwrap().try_into().unwrap();
        let claim = claim(&guests, Some("web")).unwrap();
        assert!(!guests.remove_stale(&stale).unwrap());
        assert!(claim.file(FILE).exists());
    }

    #[test]
    fn only_who_has_a_monitor_there_is_a_qemu_of_the_guest() {
        let guest = |line: &str| guest_of(line.as_bytes(), Path::new("/run/onecopy/guests"));
        let qemu = "qemu\0-chardev\0socket,id=control,path=/run/onecopy/guests/web/qmp,server=on\0";
        assert_eq!(guest(qemu).as_deref(), Some("web"));
        for line in [
            "tail\0-f\0/run/onecopy/guests/web/console.log\0",
            "socat\0-\0/run/onecopy/guests/web/qmp\0",
            "qemu\0-chardev\0socket,id=c,path=/run/other/guests/web/qmp\0",
            "qemu\0-chardev\0socket,id=c,path=/run/onecopy/guests/web/qmp2\0",
        ] {
            assert_eq!(guest(line), None, "{line}");
        }
    }
}
