// SPDX-License-Identifier: GPL-2.0

//! What a QEMU gets that runs as another user than we do: files that he can read, and open ones.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cap_std_ext::cmdext::CapStdExtCommandExt;

use crate::config::Backing;
use crate::config::Config;
use crate::config::Inherited;
use crate::error::Error;
use crate::options::Accel;
use crate::options::Access;
use crate::user::Needed;
use crate::user::User;
use crate::Result;

/// Where KVM is.
pub(crate) const KVM: &str = "/dev/kvm";

/// A file that everybody can open.
const NOTHING: &str = "/dev/null";

/// The first number that an open file gets in QEMU: far above those that we have open ourselves.
const FIRST_FD: i32 = 900;

/// What is handed over.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// What QEMU is told of it.
    pub(super) inherited: Inherited,
    open: Vec<(Arc<OwnedFd>, i32)>,
    copies: Vec<PathBuf>,
}

impl Handover {
    /// Prepares everything that the configuration names. Copies go to our own directory, and the
    /// configuration names those then.
    pub(super) fn prepare(config: &mut Config, directory: &Path) -> Result<Self> {
        let mut handover = Self::default();
        let Some(user) = config.qemu.confinement().user.clone() else {
            return Ok(handover);
        };
        let passable = Permissions::from_mode(0o711);
        fs::set_permissions(directory, passable).map_err(Error::io("prepare a directory"))?;
        lend(config, &user)?;
        check(&files_of(config), &user)?;
        handover.copy(config, &user, directory)?;
        if let Some(path) = &config.control_socket {
            let doing = format!("listen on {}", path.display());
            let listener = listen_privately(path).map_err(Error::io(doing))?;
            let carrier = File::open(NOTHING).map_err(Error::io("open a file without content"))?;
            handover.inherited.control = Some([handover.pass(listener), handover.pass(carrier)]);
        }
        if config.accel == Accel::Kvm {
            handover.inherited.kvm = handover.pass_kvm()?;
        }
        Ok(handover)
    }

    /// Makes a command inherit what is open.
    pub(super) fn apply(&self, command: &mut Command) {
        for (fd, number) in &self.open {
            command.take_fd_n(Arc::clone(fd), *number);
        }
    }

    /// Removes the copies, which QEMU has read.
    pub(super) fn remove_copies(&self) -> Result<()> {
        self.copies.iter().try_for_each(|copy| {
            fs::remove_file(copy).map_err(Error::io(format!("remove {}", copy.display())))
        })
    }

    fn pass(&mut self, fd: impl Into<OwnedFd>) -> i32 {
        let passed = i32::try_from(self.open.len()).unwrap_or_default();
        let number = FIRST_FD.saturating_add(passed);
        self.open.push((Arc::new(fd.into()), number));
        number
    }

    fn pass_kvm(&mut self) -> Result<Option<i32>> {
        let opened = open_kvm().map_err(Error::io(format!("open {KVM}")))?;
        Ok(Some(self.pass(opened)))
    }

    /// Copies what only we can read: a kernel in /boot, the identity of a guest.
    fn copy(&mut self, config: &mut Config, user: &User, directory: &Path) -> Result<()> {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        if let Some(kernel) = &mut config.kernel {
            paths.push(&mut kernel.kernel);
            paths.extend(kernel.initrd.as_mut());
        }
        paths.extend(config.fw_cfg.iter_mut().map(|file| &mut file.file));
        let needed: Vec<_> = paths.iter().map(|path| reads(path)).collect();
        let refused = user
            .cannot_open(&needed)
            .map_err(Error::io(format!("become user {}", user.name)))?;
        for path in paths {
            if !refused.contains(&reads(path)) {
                continue;
            }
            let copy = directory.join(format!("copy{}", self.copies.len()));
            self.copies.push(copy.clone());
            copy_for(user, path, &copy).map_err(Error::io(format!("copy {}", path.display())))?;
            *path = copy;
        }
        Ok(())
    }
}

/// Opens KVM, which QEMU's user need not be able to do.
pub(crate) fn open_kvm() -> io::Result<File> {
    File::options().read(true).write(true).open(KVM)
}

/// Makes sure that a user can open files, for which his group may be needed.
///
/// # Errors
///
/// When he cannot open one of them.
pub(crate) fn check(files: &[Needed], user: &User) -> Result<()> {
    let refused = user.cannot_open(files);
    let refused = refused.map_err(Error::io(format!("become user {}", user.name)))?;
    match refused.into_iter().next() {
        None => Ok(()),
        Some(Needed { path, write }) => Err(Error::Access {
            path,
            doing: if write { "write to" } else { "read" },
            user: user.name.clone(),
        }),
    }
}

/// Lends files of saved systems and segment spaces, which are ours.
fn lend(config: &Config, user: &User) -> Result<()> {
    let ranges = config
        .ranges
        .iter()
        .filter_map(|range| match &range.backing {
            Backing::File { path, access } => Some((path, *access)),
            Backing::Anonymous => None,
        });
    let segments = config.segments.iter().map(|it| (&it.path, it.access));
    for (path, access) in ranges.chain(segments) {
        user.lend(path, access == Access::Shared)
            .map_err(Error::io(format!(
                "let {} open {}",
                user.name,
                path.display()
            )))?;
    }
    Ok(())
}

/// Returns the files that must be there for QEMU's user as they are.
fn files_of(config: &Config) -> Vec<Needed> {
    let ranges = config
        .ranges
        .iter()
        .filter_map(|range| match &range.backing {
            Backing::File { path, access } => Some((path, *access == Access::Shared)),
            Backing::Anonymous => None,
        });
    let segments = config.segments.iter();
    let segments = segments.map(|it| (&it.path, it.access == Access::Shared));
    let disks = config
        .disks
        .iter()
        .map(|disk| (&disk.path, !disk.read_only));
    let all = ranges.chain(segments).chain(disks);
    all.map(|(path, write)| Needed {
        path: path.clone(),
        write,
    })
    .collect()
}

fn reads(path: &Path) -> Needed {
    Needed {
        path: path.to_owned(),
        write: false,
    }
}

fn copy_for(user: &User, from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = File::create_new(to)?;
    copy.set_permissions(Permissions::from_mode(0o400))?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    user.give(to)
}

fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
