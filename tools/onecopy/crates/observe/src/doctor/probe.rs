// SPDX-License-Identifier: GPL-2.0

//! Looks at the host.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use onecopy_machine::accel::kvm_verdict;
use onecopy_machine::accel::Verdict;
use onecopy_machine::accounting::Residency;
use onecopy_machine::options;
use onecopy_machine::Confinement;
use onecopy_machine::Needed;
use onecopy_machine::Qemu;
use onecopy_store::Mkfs;
use rustix::fs::access;
use rustix::fs::fallocate;
use rustix::fs::open;
use rustix::fs::statfs;
use rustix::fs::Access;
use rustix::fs::FallocateFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use rustix::process::getrlimit;
use rustix::process::Resource;

use super::Directory;
use super::Distrust;
use super::Facts;
use super::Filesystem;
use super::Kvm;
use super::QemuUser;
use super::Sandbox;
use crate::guest::chain;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Places {
    /// The store.
    pub store: PathBuf,
    /// The run directory.
    pub run: PathBuf,
    /// The emulator; [`None`] searches it on `PATH`.
    pub qemu: Option<PathBuf>,
    /// What it may do on the host.
    pub confinement: Confinement,
}

impl Facts {
    /// Looks at the host. This starts QEMU, once for its version and, where KVM may work and has not
    /// been tried since the host's boot, once for a trial guest of 5 seconds at most.
    pub fn probe(places: &Places) -> Self {
        let qemu = match &places.qemu {
            Some(path) => Qemu::at(path),
            None => Qemu::find(),
        };
        let qemu = qemu.map(|qemu| qemu.confined(&places.confinement));
        let mm = Path::new("/sys/kernel/mm");
        Self {
            kvm: kvm(qemu.as_ref().ok()),
            sandbox: match (&qemu, places.confinement.sandbox) {
                (Err(_), _) => Sandbox::Untried,
                (_, options::Sandbox::Off) => Sandbox::Off,
                (Ok(qemu), _) => qemu
                    .check_sandbox()
                    .map_or_else(Sandbox::Fails, |()| Sandbox::Works),
            },
            qemu: qemu
                .map(|qemu| format!("{} {}", qemu.path().display(), qemu.version()))
                .map_err(|error| chain(&error)),
            transparent_hugepage: chosen(&mm.join("transparent_hugepage/enabled")),
            hugetlb_bytes: hugetlb_bytes(&mm.join("hugepages")),
            ksm_run: number(&mm.join("ksm/run")),
            overcommit_memory: number(Path::new("/proc/sys/vm/overcommit_memory")),
            has_pressure: Path::new("/proc/pressure/memory").exists(),
            fincore: Residency::of_file(Path::new("/proc/self/exe"))
                .map(|_| ())
                .map_err(|error| chain(&error)),
            mkfs: Mkfs::find().map(|_| ()).map_err(|error| chain(&error)),
            max_open_files: getrlimit(Resource::Nofile).maximum,
            user: user(&places.confinement, &places.store),
            store: Directory::probe(&places.store),
            run: Directory::probe(&places.run).with_guests(),
        }
    }
}

fn kvm(qemu: Option<&Qemu>) -> Kvm {
    let device = Path::new("/dev/kvm");
    if !device.exists() {
        return Kvm::Missing;
    }
    if access(device, Access::READ_OK | Access::WRITE_OK).is_err() {
        return Kvm::Denied;
    }
    match qemu.map(kvm_verdict) {
        None => Kvm::Untried,
        Some(Verdict::Works) => Kvm::Works,
        Some(Verdict::Fails(reason)) => Kvm::Fails(reason),
    }
}

fn user(confinement: &Confinement, store: &Path) -> QemuUser {
    let Some(user) = &confinement.user else {
        return if geteuid().is_root() {
            QemuUser::Root
        } else {
            QemuUser::Ours
        };
    };
    // A store that is not there yet is made where all can reach it.
    let store = [
        store.join("systems"),
        store.join("segments"),
        store.to_owned(),
    ];
    let needed = store
        .into_iter()
        .find(|path| path.is_dir())
        .map(|path| Needed { path, write: false });
    let refused = user.cannot_open(needed.as_slice());
    let name = user.name.clone();
    if refused.is_ok_and(|refused| refused.is_empty()) {
        QemuUser::Other(name)
    } else {
        QemuUser::Outside(name)
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns the word in brackets.
fn chosen(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// Adds up what is set aside in all sizes; the directories are `hugepages-2048kB` and so on.
fn hugetlb_bytes(directory: &Path) -> u64 {
    let sizes = fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = sizes.filter_map(|size| {
        let name = size.file_name();
        let kib = name
            .to_str()?
            .strip_prefix("hugepages-")?
            .strip_suffix("kB")?;
        let pages = number(&size.path().join("nr_hugepages"))?;
        pages
            .checked_mul(kib.parse::<u64>().ok()?)?
            .checked_mul(1024)
    });
    bytes.sum()
}

impl Directory {
    /// Looks at the directory of the guests too, which is in the run directory.
    fn with_guests(self) -> Self {
        let guests = Self::probe(&self.path.join("guests"));
        Self {
            guard: self.guard.and(guests.guard),
            ..self
        }
    }

    fn probe(path: &Path) -> Self {
        let exists = path.is_dir();
        let mut above = path.ancestors();
        let nearest = above.find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        let is_writable = access(nearest, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        let stat = statfs(nearest).ok();
        let opened = onecopy_directory::Directory::open(path);
        let guard = match opened {
            Ok(Some(directory)) => directory.check_ours(true),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let features = is_writable.then(|| features(nearest));
        Self {
            path: path.to_owned(),
            exists,
            is_writable,
            guard: guard.map_err(|error| distrust(&error)),
            filesystem: stat
                .map(|stat| Filesystem::of_magic(u64::from_ne_bytes(stat.f_type.to_ne_bytes()))),
            free_bytes: stat.and_then(|stat| {
                let block: u64 = stat.f_bsize.try_into().ok()?;
                stat.f_bavail.checked_mul(block)
            }),
            has_nameless_files: features.map(|features| features.0),
            has_holes: features.and_then(|features| features.1),
        }
    }
}

fn distrust(error: &onecopy_directory::Error) -> Distrust {
    use onecopy_directory::Error;

    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Distrust::Closed(chain(error))
        }
        _ => Distrust::Others(chain(error)),
    }
}

/// Tries for files without a name, and for holes in one. Nothing stays.
fn features(directory: &Path) -> (bool, Option<bool>) {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => (true, can_punch(&file.into()).ok()),
        Err(_) => {
            let file = tempfile::tempfile_in(directory);
            (false, file.and_then(|file| can_punch(&file)).ok())
        }
    }
}

fn can_punch(mut file: &File) -> io::Result<bool> {
    file.write_all(&[1; 8192])?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, 0, 4096).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_does_not_exist_yet_is_that_above_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let found = Directory::probe(&path);
        assert_eq!((&found.path, found.exists), (&path, false));
        assert!(found.is_writable && found.free_bytes > Some(0));
        assert!(!path.exists());
        assert!(fs::read_dir(root.path()).unwrap().next().is_none());
    }

    #[test]
    fn the_chosen_word_is_in_brackets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("enabled");
        fs::write(&path, "always [madvise] never\n").unwrap();
        assert_eq!(chosen(&path).as_deref(), Some("madvise"));
        fs::write(&path, "nothing").unwrap();
        assert_eq!(chosen(&path), None);
    }

    #[test]
    fn huge_pages_of_all_sizes_are_added_up() {
        let directory = tempfile::tempdir().unwrap();
        for (size, pages) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "1\n")] {
            let path = directory.path().join(size);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("nr_hugepages"), pages).unwrap();
        }
        assert_eq!(hugetlb_bytes(directory.path()), (6 << 20) + (1 << 30));
    }
}
