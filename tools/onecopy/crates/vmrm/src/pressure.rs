// SPDX-License-Identifier: GPL-2.0

//! What the kernel says of the host's memory, and of that of a group of processes.

mod group;
mod text;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use self::group::Group;
use self::text::Meminfo;
use self::text::Psi;
use crate::sample::Host;

/// What cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum PressureError {
    /// A file cannot be read.
    #[error("Cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not as the kernel writes it.
    #[error("{} is not understood: it has no valid {what}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The group does not exist, or has no limits.
    #[error("There is no cgroup {} with a memory controller", .group.display())]
    Cgroup {
        /// The group.
        group: PathBuf,
    },
}

type Result<T> = std::result::Result<T, PressureError>;

/// Where the kernel says it.
#[derive(Debug, Clone)]
pub struct Pressure {
    proc: PathBuf,
    group: Option<Group>,
}

impl Pressure {
    /// Looks for `proc` and `sys` in a directory, and for a group below `sys/fs/cgroup` if one
    /// counts.
    ///
    /// # Errors
    ///
    /// When there is no such group.
    pub fn open(root: &Path, cgroup: Option<&Path>) -> Result<Self> {
        let group = cgroup.map(|group| Group::find(root, group)).transpose()?;
        Ok(Self {
            proc: root.join("proc"),
            group,
        })
    }

    /// Reads everything anew.
    ///
    /// # Errors
    ///
    /// When something cannot be read. A kernel without PSI is no error.
    pub fn read(&self) -> Result<Host> {
        let path = self.proc.join("meminfo");
        let meminfo = parsed(&path, Meminfo::parse)?;
        let mut host = Host {
            total_bytes: meminfo.total_bytes,
            available_bytes: meminfo.available_bytes,
            swap_total_bytes: meminfo.swap_total_bytes,
            swap_free_bytes: meminfo.swap_free_bytes,
            some_hundredths: None,
            full_hundredths: None,
        };
        let mut psi = self.proc.join("pressure/memory");
        if let Some(group) = &self.group {
            limit(&mut host, group)?;
            psi = group.pressure();
        }
        if let Some(psi) = psi_of(&psi)? {
            host.some_hundredths = Some(psi.some_hundredths);
            host.full_hundredths = psi.full_hundredths;
        }
        Ok(host)
    }
}

/// Makes of the host's memory that of a group, which can be less.
fn limit(host: &mut Host, group: &Group) -> Result<()> {
    if let Some(limit) = group.limit_bytes()? {
        let used = group.used_bytes()?;
        host.total_bytes = host.total_bytes.min(limit);
        host.available_bytes = host.available_bytes.min(limit.saturating_sub(used));
    }
    Ok(())
}

/// Reads a file of PSI; nothing if the kernel has none, or it is switched off.
fn psi_of(path: &Path) -> Result<Option<Psi>> {
    const EOPNOTSUPP: i32 = 95;

    match parsed(path, Psi::parse) {
        Ok(psi) => Ok(Some(psi)),
        Err(PressureError::Read { source, .. })
            if source.kind() == io::ErrorKind::NotFound
                || source.raw_os_error() == Some(EOPNOTSUPP) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parsed<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> std::result::Result<T, &'static str>,
) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| PressureError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|what| PressureError::Form {
        path: path.to_owned(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal: 4096 kB\nMemAvailable: 2048 kB\nSwapTotal: 8 kB\nSwapFree: 4 kB\n";
    const PSI: &str = "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\n\
                       full avg10=0.25 avg60=0.00 avg300=0.00 total=3\n";

    fn host(files: &[(&str, &str)], cgroup: Option<&str>) -> std::result::Result<Host, String> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let pressure = Pressure::open(root.path(), cgroup.map(Path::new));
        let read = pressure.and_then(|pressure| pressure.read());
        read.map_err(|error| {
            error
                .to_string()
                .replace(root.path().to_str().unwrap(), "ROOT")
        })
    }

    #[test]
    fn a_kernel_without_psi_says_less() {
        let with = host(
            &[("proc/meminfo", MEMINFO), ("proc/pressure/memory", PSI)],
            None,
        )
        .unwrap();
        assert_eq!((with.total_bytes, with.available_bytes), (4 << 20, 2 << 20));
        assert_eq!((with.swap_total_bytes, with.swap_free_bytes), (8192, 4096));
        assert_eq!(
            (with.some_hundredths, with.full_hundredths),
            (Some(150), Some(25))
        );
        let without = host(&[("proc/meminfo", MEMINFO)], None).unwrap();
        assert_eq!(without.some_hundredths, None);
    }

    #[test]
    fn the_limit_of_a_group_counts() {
        let group = |max: &'static str, high: &'static str| {
            host(
                &[
                    ("proc/meminfo", MEMINFO),
                    ("proc/pressure/memory", "nonsense"),
                    ("sys/fs/cgroup/a/b/memory.max", max),
                    ("sys/fs/cgroup/a/b/memory.high", high),
                    ("sys/fs/cgroup/a/b/memory.current", "1048576\n"),
                    (
                        "sys/fs/cgroup/a/b/memory.stat",
                        "anon 5\ninactive_file 65536\nactive_file 65536\n",
                    ),
                    ("sys/fs/cgroup/a/b/memory.pressure", PSI),
                ],
                Some("a/b"),
            )
            .unwrap()
        };
        let limited = group("2097152\n", "max\n");
        assert_eq!(
            (limited.total_bytes, limited.available_bytes),
            (2 << 20, (1 << 20) + 131_072)
        );
        assert_eq!(limited.some_hundredths, Some(150));
        assert_eq!(group("2097152\n", "524288\n").available_bytes, 0);
        assert_eq!(group("max\n", "max\n").available_bytes, 2 << 20);
        // The host itself can have less.
        assert_eq!(group("1073741824\n", "max\n").available_bytes, 2 << 20);
    }

    #[test]
    fn a_group_of_version_1_counts_with_all_groups_in_it() {
        let group = |limit: &'static str| {
            host(
                &[
                    ("proc/meminfo", MEMINFO),
                    ("proc/pressure/memory", PSI),
                    ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", limit),
                    ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1048576\n"),
                    (
                        "sys/fs/cgroup/memory/a/memory.stat",
                        "inactive_file 1\nactive_file 1\ntotal_inactive_file 65536\n\
                         total_active_file 65536\n",
                    ),
                ],
                Some("a"),
            )
            .unwrap()
        };
        let limited = group("2097152\n");
        assert_eq!(
            (limited.total_bytes, limited.available_bytes),
            (2 << 20, (1 << 20) + 131_072)
        );
        // What all processes of the host wait for says nothing of the group.
        assert_eq!(limited.some_hundredths, None);
        // It has no word for a group without a limit.
        assert_eq!(group("9223372036854771712\n").available_bytes, 2 << 20);
    }

    #[test]
    fn what_is_missing_or_damaged_is_said() {
        assert_eq!(
            host(&[], None).unwrap_err(),
            "Cannot read ROOT/proc/meminfo"
        );
        assert_eq!(
            host(&[("proc/meminfo", "MemTotal: 5 kB\n")], None).unwrap_err(),
            "ROOT/proc/meminfo is not understood: it has no valid MemAvailable"
        );
        assert_eq!(
            host(
                &[
                    ("proc/meminfo", MEMINFO),
                    ("proc/pressure/memory", "some\n")
                ],
                None
            )
            .unwrap_err(),
            "ROOT/proc/pressure/memory is not understood: it has no valid avg10"
        );
        assert_eq!(
            host(&[("proc/meminfo", MEMINFO)], Some("a")).unwrap_err(),
            "There is no cgroup a with a memory controller"
        );
    }
}
