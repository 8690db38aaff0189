// SPDX-License-Identifier: GPL-2.0

//! What somebody has decided about a saved system before it is saved: its skeleton.
//!
//! It is a file of TOML, which may be edited:
//!
//! ```text
//! format = 1
//! name = "LX73"
//! defined_unix_seconds = 1800000000
//! kernel = "/boot/vmlinux-7.3"
//! ranges = "0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW"
//! group = "tenant-7"
//! restricted = true
//! allow = ["web", "db"]
//! ```

mod file;
mod guest;
mod plan;

use std::path::absolute;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_format::saved_kernel::Layout;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use serde::Deserialize;
use serde::Serialize;

pub(crate) use self::file::parse;
pub use self::file::DefinitionError;
pub use self::plan::Plan;
use crate::error::Error;
use crate::guests::GuestName;
use crate::kernel::Kernel;
use crate::ranges;
use crate::ranges::notation;
use crate::ranges::NotationError;
use crate::ranges::Range;
use crate::restriction;
use crate::text;

/// The version of the format that is read and written.
pub(crate) const FORMAT: u32 = 1;

/// A saved system that was defined and not saved yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    format: u32,
    /// Name of the saved system.
    #[serde(with = "text")]
    pub name: Name,
    /// When it was defined, in seconds since 1970.
    pub defined_unix_seconds: u64,
    /// The kernel, if it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<PathBuf>,
    /// The ranges of memory, in ascending order and without gaps.
    #[serde(with = "notation::string")]
    pub ranges: Vec<Range>,
    /// Its trust group, if it is decided.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<Group>,
    /// Whether only some guests may start from it. A file that is cut here is not one without.
    pub restricted: bool,
    /// Which these are.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<GuestName>,
}

/// What to define, or to save: what is missing is decided by the definition, or as usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The kernel: a vmlinux or a bzImage with `CONFIG_SHARED_KERNEL`.
    pub kernel: Option<PathBuf>,
    /// Memory of every guest in bytes, a multiple of 2 MiB.
    pub memory_bytes: Option<u64>,
    /// The kernel's part of it; see [`ranges::divide`].
    pub kernel_bytes: Option<u64>,
    /// Its trust group.
    pub group: Option<Group>,
}

impl Definition {
    /// Defines a system, by ranges or by what the kernel needs; if there is a list of guests, only
    /// these may start from it.
    ///
    /// # Errors
    ///
    /// When the ranges are not the memory or the kernel cannot be saved in them, or there is neither
    /// a kernel nor a range.
    pub fn new(
        name: Name,
        wishes: &Wishes,
        ranges: Option<Vec<Range>>,
        allow: Option<Vec<GuestName>>,
    ) -> Result<Self, Error> {
        let layout = match &wishes.kernel {
            Some(path) => Some(Kernel::read(path)?.layout),
            None => None,
        };
        let definition = Self {
            format: FORMAT,
            name,
            defined_unix_seconds: now(),
            kernel: wishes.kernel.as_deref().map(whole_path).transpose()?,
            ranges: match ranges {
                Some(ranges) => chosen(ranges, wishes, layout.as_ref())?,
                None => divided(name, wishes, layout.as_ref())?,
            },
            group: wishes.group.clone(),
            restricted: allow.is_some(),
            allow: allow.unwrap_or_default(),
        };
        definition.check().map_err(|reason| Error::Undefinable {
            name,
            reason: reason.to_string(),
        })?;
        Ok(definition)
    }

    /// Returns the memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// Returns the ranges if a kernel can be saved in them.
    pub(crate) fn ranges_for(&self, layout: &Layout) -> Result<Vec<Range>, Error> {
        ranges::fit(&self.ranges, layout).map_err(|source| Error::Unfit {
            name: self.name,
            source,
        })?;
        Ok(self.ranges.clone())
    }

    fn check(&self) -> Result<(), DefinitionError> {
        restriction::check(self.restricted, &self.allow).map_err(DefinitionError::Content)
    }
}

/// Checks ranges that somebody has chosen, against the kernel if that is known.
fn chosen(
    ranges: Vec<Range>,
    wishes: &Wishes,
    layout: Option<&Layout>,
) -> Result<Vec<Range>, Error> {
    let ranges_bytes = ranges.last().map_or(0, |range| range.end);
    if let Some(memory_bytes) = wishes.memory_bytes.filter(|bytes| *bytes != ranges_bytes) {
        return Err(Error::Notation(NotationError::Memory {
            ranges_bytes,
            memory_bytes,
        }));
    }
    if let Some(layout) = layout {
        ranges::fit(&ranges, layout)?;
    }
    Ok(ranges)
}

/// Divides the memory as the kernel wants it.
fn divided(name: Name, wishes: &Wishes, layout: Option<&Layout>) -> Result<Vec<Range>, Error> {
    let layout = layout.ok_or_else(|| Error::Undefinable {
        name,
        reason: "neither a kernel nor ranges are given".to_owned(),
    })?;
    let memory_bytes = wishes.memory_bytes.unwrap_or(ranges::MEMORY_BYTES);
    Ok(ranges::divide(layout, memory_bytes, wishes.kernel_bytes)?)
}

/// Makes a path independent of the directory that we are in.
fn whole_path(path: &Path) -> Result<PathBuf, Error> {
    absolute(path).map_err(Error::io("find", path))
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const USUAL: &str = "0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW";

    pub(crate) fn definition() -> Definition {
        Definition {
            format: FORMAT,
            name: "LX73".parse().unwrap(),
            defined_unix_seconds: 1_800_000_000,
            kernel: Some(PathBuf::from("/boot/vmlinux")),
            ranges: notation::parse(USUAL).unwrap(),
            group: None,
            restricted: true,
            allow: vec!["web".parse().unwrap(), "db".parse().unwrap()],
        }
    }

    #[test]
    fn the_memory_is_that_of_the_ranges() {
        let define = |wishes: &Wishes, ranges: Option<&str>| {
            let ranges = ranges.map(|text| notation::parse(text).unwrap());
            let definition = Definition::new("LX73".parse().unwrap(), wishes, ranges, None);
            definition
                .map(|definition| definition.memory_bytes())
                .map_err(|error| error.to_string())
        };
        let mut wishes = Wishes::default();
        assert_eq!(define(&wishes, Some(USUAL)), Ok(512 << 20));
        let error = define(&wishes, None).unwrap_err();
        assert_eq!(
            error,
            "LX73 cannot be defined: neither a kernel nor ranges are given"
        );
        wishes.memory_bytes = Some(256 << 20);
        let error = define(&wishes, Some(USUAL)).unwrap_err();
        assert_eq!(error, "The ranges are 512 MiB, and the memory has 256 MiB");
    }
}
