// SPDX-License-Identifier: GPL-2.0

//! Remembers the result of the trial boot for as long as the host runs.

use std::fs;
use std::path::PathBuf;

use onecopy_directory::replace;
use onecopy_directory::Manner;
use serde::Deserialize;
use serde::Serialize;

use super::Verdict;
use crate::qemu::Qemu;

/// One remembered answer.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    boot_id: String,
    qemu: String,
    works: bool,
    reason: String,
}

/// The place of the answer for this boot of the host and this QEMU.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
    boot_id: String,
    qemu: String,
}

impl Cache {
    /// Returns `None` where no answer can be kept, which only costs time.
    pub(super) fn of_this_boot(qemu: &Qemu) -> Option<Self> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            path: runtime_directory()?.join("onecopy").join("kvm.json"),
            boot_id: boot_id.trim().to_owned(),
            qemu: format!(
                "{} {} {}",
                qemu.path().display(),
                qemu.version(),
                qemu.confinement()
            ),
        })
    }

    /// Returns the answer if it belongs to this boot and this QEMU.
    pub(super) fn load(&self) -> Option<Verdict> {
        let entry: Entry = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        (entry.boot_id == self.boot_id && entry.qemu == self.qemu).then_some(if entry.works {
            Verdict::Works
        } else {
            Verdict::Fails(entry.reason)
        })
    }

    /// Keeps the answer; a failure to do so only costs the time of another trial.
    pub(super) fn store(&self, verdict: &Verdict) {
        let entry = Entry {
            boot_id: self.boot_id.clone(),
            qemu: self.qemu.clone(),
            works: *verdict == Verdict::Works,
            reason: verdict.reason().to_owned(),
        };
        let _ = self.write(&entry);
    }

    fn write(&self, entry: &Entry) -> std::io::Result<()> {
        let Some(directory) = self.path.parent() else {
            return Ok(());
        };
        fs::create_dir_all(directory)?;
        // Another process may read at any time, so the file appears complete or not at all.
        replace(&self.path, &serde_json::to_vec(entry)?, Manner::PRIVATE)
    }
}

/// Returns the user's runtime directory, or that of the system for root.
///
/// Directories that everybody can write to are not used: the answer would be anybody's.
fn runtime_directory() -> Option<PathBuf> {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() => Some(PathBuf::from(directory)),
        _ if rustix::process::geteuid().is_root() => Some(PathBuf::from("/run")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(directory: &tempfile::TempDir) -> Cache {
        Cache {
            path: directory.path().join("onecopy/kvm.json"),
            boot_id: "b".to_owned(),
            qemu: "q 10.0.2".to_owned(),
        }
    }

    #[test]
    fn an_answer_is_remembered_with_its_reason() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory);
        assert_eq!(cache.load(), None);
        for verdict in [Verdict::Fails("hangs".to_owned()), Verdict::Works] {
            cache.store(&verdict);
            assert_eq!(cache.load(), Some(verdict));
        }
    }

    #[test]
    fn the_answer_of_another_boot_or_qemu_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        cache(&directory).store(&Verdict::Works);
        let after_boot = Cache {
            boot_id: "c".to_owned(),
            ..cache(&directory)
        };
        assert_eq!(after_boot.load(), None);
        let other_qemu = Cache {
            qemu: "q 10.1.0".to_owned(),
            ..cache(&directory)
        };
        assert_eq!(other_qemu.load(), None);
    }

    #[test]
    fn rubbish_in_the_cache_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(&directory);
        cache.store(&Verdict::Works);
        fs::write(&cache.path, "{").unwrap();
        assert_eq!(cache.load(), None);
    }
}
