// SPDX-License-Identifier: GPL-2.0

//! A group of processes (cgroup) with a memory controller: Linux's Documentation/admin-guide/cgroup-v2.rst,
//! and cgroup-v1/memory.rst. The controller is in one of the two versions; hosts with the older one exist.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::parsed;
use super::text;
use super::text::CgroupStat;
use super::PressureError;
use super::Result;

/// Where groups are, and what those with a memory controller have there.
const PLACES: [(&str, Version); 3] = [
    ("sys/fs/cgroup", Version::Two),
    // A kernel with the older groups has those of version 2 too.
    ("sys/fs/cgroup/unified", Version::Two),
    ("sys/fs/cgroup/memory", Version::One),
];

#[derive(Debug, Clone, Copy)]
enum Version {
    One,
    Two,
}

/// A group of processes.
#[derive(Debug, Clone)]
pub(super) struct Group {
    path: PathBuf,
    version: Version,
}

impl Version {
    /// Returns the file with the limit that the kernel enforces.
    fn limit(self) -> &'static str {
        match self {
            Self::One => "memory.limit_in_bytes",
            Self::Two => "memory.max",
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::One => "memory.usage_in_bytes",
            Self::Two => "memory.current",
        }
    }

    /// Returns what the names of statistics begin with that count the groups in it as well.
    fn total(self) -> &'static str {
        match self {
            Self::One => "total_",
            Self::Two => "",
        }
    }
}

impl Group {
    /// Looks for a group in all places.
    pub(super) fn find(root: &Path, group: &Path) -> Result<Self> {
        let candidate = |(place, version)| Self {
            path: root.join(place).join(group),
            version,
        };
        let mut candidates = PLACES.into_iter().map(candidate);
        candidates
            .find(|group| group.path.join(group.version.limit()).exists())
            .ok_or_else(|| PressureError::Cgroup {
                group: group.to_owned(),
            })
    }

    /// Returns how much the group may have; `None` if that is not limited.
    pub(super) fn limit_bytes(&self) -> Result<Option<u64>> {
        let max = self.limit(self.version.limit())?;
        // Above it, processes are slowed down until they have less. Version 1 has none.
        let high = match self.limit("memory.high") {
            Err(PressureError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                None
            }
            read => read?,
        };
        Ok([max, high].into_iter().flatten().min())
    }

    /// Returns how much it has that cannot just be taken away.
    pub(super) fn used_bytes(&self) -> Result<u64> {
        let usage = parsed(&self.path.join(self.version.usage()), text::number)?;
        let parse = |text: &str| CgroupStat::parse(text, self.version.total());
        let stat = parsed(&self.path.join("memory.stat"), parse)?;
        Ok(usage.saturating_sub(stat.reclaimable_bytes))
    }

    /// Returns where the pressure is said; version 1 has no such file.
    pub(super) fn pressure(&self) -> PathBuf {
        self.path.join("memory.pressure")
    }

    fn limit(&self, name: &str) -> Result<Option<u64>> {
        parsed(&self.path.join(name), text::limit)
    }
}
