// SPDX-License-Identifier: GPL-2.0

//! The columns by which guests can be sorted.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::View;
use crate::size::rounded;
use crate::GuestSample;

/// A column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Column {
    /// Name of the guest.
    Name,
    /// Time on processors.
    Cpu,
    /// Memory, as the guest sees it.
    Memory,
    /// What exists only because of this guest.
    #[default]
    Unique,
    /// Pages of files.
    Shared,
    /// What is not shared any more.
    Unshared,
    /// Proportional size of QEMU.
    Pss,
    /// What the balloon leaves.
    Balloon,
}

/// A word that is not a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("one of {} is expected", Column::ALL.map(|column| column.to_string()).join(", "))]
pub struct UnknownColumn;

impl Column {
    /// All of them, from left to right.
    pub const ALL: [Self; 8] = [
        Self::Name,
        Self::Cpu,
        Self::Memory,
        Self::Unique,
        Self::Shared,
        Self::Unshared,
        Self::Pss,
        Self::Balloon,
    ];

    /// Returns the next column, or the one before.
    pub(super) fn step(self, forward: bool) -> Self {
        let count = Self::ALL.len();
        let at = Self::ALL.iter().position(|&column| column == self);
        let at = at.unwrap_or_default() + if forward { 1 } else { count - 1 };
        Self::ALL.get(at % count).copied().unwrap_or_default()
    }

    /// Compares guests: names go up, numbers go down, and what is not known comes last.
    pub(super) fn compare(self, view: &View, one: &GuestSample, other: &GuestSample) -> Ordering {
        if self == Self::Name {
            return one.name.cmp(&other.name);
        }
        if self == Self::Cpu {
            let used = |guest| view.cpu_percent(guest).unwrap_or(-1.0);
            return used(other).total_cmp(&used(one));
        }
        self.bytes(other).cmp(&self.bytes(one))
    }

    /// Returns what stands in the column, if it is a number of bytes that is known.
    fn bytes(self, guest: &GuestSample) -> Option<u64> {
        let is_known = !guest.ranges.is_empty();
        match self {
            Self::Name | Self::Cpu => None,
            Self::Memory => Some(guest.memory_bytes),
            Self::Unique => guest.unique_bytes,
            Self::Shared => is_known.then(|| guest.shared_bytes().0),
            Self::Unshared => is_known.then(|| guest.shared_bytes().1),
            Self::Pss => guest.process.map(|process| process.pss_bytes),
            Self::Balloon => guest.balloon_bytes,
        }
    }

    /// Returns what is shown in the column.
    pub(super) fn cell(self, view: &View, guest: &GuestSample) -> String {
        let shown = match self {
            Self::Name => Some(guest.name.clone()),
            Self::Cpu => view
                .cpu_percent(guest)
                .map(|percent| format!("{percent:.1}")),
            _ => self.bytes(guest).map(rounded),
        };
        shown.unwrap_or_else(|| "-".to_owned())
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Unique => "unique",
            Self::Shared => "shared",
            Self::Unshared => "unshared",
            Self::Pss => "pss",
            Self::Balloon => "balloon",
        })
    }
}

impl FromStr for Column {
    type Err = UnknownColumn;

    fn from_str(word: &str) -> Result<Self, UnknownColumn> {
        let all = Self::ALL.into_iter();
        let mut found = all.filter(|column| column.to_string() == word);
        found.next().ok_or(UnknownColumn)
    }
}
