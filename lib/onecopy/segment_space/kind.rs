// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Types of segments.

use core::fmt;

/// The type of a segment: who may share it, who may write to it, and whether its contents are
/// saved.
///
/// The first letter is S for shared, E for exclusive; the second R for read-only, W for read-write,
/// N for read-write with no data saved, C for shared and written by the hypervisor only. The values
/// are those of the s390 segment interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentType {
    /// Shared read-write.
    Sw = 0,
    /// Exclusive read-write.
    Ew = 1,
    /// Shared read-only.
    Sr = 2,
    /// Exclusive read-only.
    Er = 3,
    /// Shared read-write, no data saved.
    Sn = 4,
    /// Exclusive read-write, no data saved.
    En = 5,
    /// Shared, read-only for guests.
    Sc = 6,
}

impl SegmentType {
    const ALL: [Self; 7] = [
        Self::Sw,
        Self::Ew,
        Self::Sr,
        Self::Er,
        Self::Sn,
        Self::En,
        Self::Sc,
    ];

    /// Returns the type with the given code, 0..=6.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Returns the type with the given keyword, such as `SR`, in either case.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.keyword().eq_ignore_ascii_case(keyword))
    }

    /// Returns the code that directory entries have.
    pub const fn code(self) -> u8 {
        // CAST: the type is `repr(u8)`.
        self as u8
    }

    /// Returns the two letters that stand for the type.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Sw => "SW",
            Self::Ew => "EW",
            Self::Sr => "SR",
            Self::Er => "ER",
            Self::Sn => "SN",
            Self::En => "EN",
            Self::Sc => "SC",
        }
    }

    /// Returns whether guests can only read the segment.
    pub const fn read_only(self) -> bool {
        matches!(self, Self::Sr | Self::Er | Self::Sc)
    }

    /// Returns whether guests share one copy of the segment.
    pub const fn shared(self) -> bool {
        matches!(self, Self::Sw | Self::Sr | Self::Sn | Self::Sc)
    }

    /// Returns whether the contents are saved; if not, the segment has no digest.
    pub const fn saved(self) -> bool {
        !matches!(self, Self::Sn | Self::En)
    }
}

impl fmt::Display for SegmentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.keyword())
    }
}
