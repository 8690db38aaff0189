// SPDX-License-Identifier: GPL-2.0

//! Why ranges in z/VM's notation are refused.

use onecopy_format::segment_space::SegmentType;

use super::Pages;
use super::MAX_RANGES;

/// Why text is not the division of a memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotationError {
    /// A word is not where pages are expected.
    #[error("{word:?} is not a range of pages with its type, such as 1000-17FF SR")]
    Pages {
        /// The word.
        word: String,
    },
    /// Pages have no type.
    #[error("Pages {pages} have no type: EW, SR or EN")]
    Untyped {
        /// The pages.
        pages: String,
    },
    /// The type is one that only segments have.
    #[error("Pages {pages} cannot be {kind}: {}; EW, SR or EN is expected", reason(*.kind))]
    Kind {
        /// The pages.
        pages: String,
        /// The type.
        kind: SegmentType,
    },
    /// The last page is before the first.
    #[error("Pages {pages} end before they begin")]
    Backwards {
        /// The pages.
        pages: String,
    },
    /// The range is not in whole segments.
    #[error("Pages {pages} are not in whole segments of 2 MiB: 200 pages, in hexadecimal")]
    Unaligned {
        /// The pages.
        pages: String,
    },
    /// The range is not behind the one before.
    #[error("Pages {pages} are not behind the range before them")]
    Overlap {
        /// The pages.
        pages: String,
    },
    /// Pages are in no range.
    #[error("Pages {missing} are in no range")]
    Gap {
        /// The pages.
        missing: Pages,
    },
    /// The memory ends elsewhere.
    #[error("The ranges are {} MiB, and the memory has {} MiB", .ranges_bytes >> 20, .memory_bytes >> 20)]
    Memory {
        /// Where the ranges end.
        ranges_bytes: u64,
        /// Where the memory ends.
        memory_bytes: u64,
    },
    /// There are too many ranges.
    #[error("There are {found} ranges, and a saved system has 1 to {MAX_RANGES}")]
    Count {
        /// How many there are.
        found: usize,
    },
}

/// Says why a saved system has no ranges of a type.
fn reason(kind: SegmentType) -> &'static str {
    match kind {
        SegmentType::Sw | SegmentType::Sn => "guests would write to each other's memory",
        SegmentType::Sc => "there is nobody but the guests who could write to them",
        SegmentType::Er => "what a guest cannot write to need not be its own",
        SegmentType::Ew | SegmentType::Sr | SegmentType::En => "it can be a range",
    }
}
