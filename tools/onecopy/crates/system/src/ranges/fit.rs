// SPDX-License-Identifier: GPL-2.0

//! Whether ranges that somebody has chosen are such that a kernel can be saved in them.

use onecopy_format::saved_kernel::Layout;
use onecopy_format::segment_space::SegmentType;

use super::notation::Pages;
use super::segments;
use super::Range;
use super::RangeError;
use super::KERNEL_ROOM_BYTES;
use super::LOW_BYTES;

/// Why a kernel cannot be saved in ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// The memory is too small.
    #[error(transparent)]
    Memory(#[from] RangeError),
    /// The kernel needs another type somewhere.
    #[error("Pages {pages} must be {needed} and not {found}: {why}")]
    Kind {
        /// The pages.
        pages: Pages,
        /// The type that they must have.
        needed: SegmentType,
        /// The type that they have.
        found: SegmentType,
        /// What the kernel has there.
        why: &'static str,
    },
    /// Only text and read-only data are the same in all guests.
    #[error("Pages {pages} cannot be SR: only text and read-only data can, pages {shared}")]
    NotShared {
        /// The pages.
        pages: Pages,
        /// What can be shared.
        shared: Pages,
    },
    /// Saved memory would be where guests find something else.
    #[error("Pages {pages} cannot be {found}: only EN can be beyond 2 GiB, page 7FFFF")]
    High {
        /// The pages.
        pages: Pages,
        /// The type that they have.
        found: SegmentType,
    },
}

/// A part of the memory that must have a certain type.
struct Part {
    pages: Pages,
    kind: SegmentType,
    why: &'static str,
}

/// Makes sure that a kernel can be saved in these ranges, which cover the memory.
///
/// # Errors
///
/// When a part of the kernel is in a range of another type, or a range has a type that only parts
/// of the kernel can have.
pub fn fit(ranges: &[Range], layout: &Layout) -> Result<(), FitError> {
    let found_bytes = ranges.last().map_or(0, |range| range.end);
    let parts = parts(layout);
    let needed_bytes = parts.last().map_or(0, |part| part.pages.end);
    if found_bytes < needed_bytes {
        return Err(RangeError::KernelMemory {
            needed_bytes,
            found_bytes,
        }
        .into());
    }
    for range in ranges {
        for part in &parts {
            check_part(range, part)?;
        }
        check_rest(range, layout)?;
    }
    Ok(())
}

/// Returns what must be saved, from address 0 on. The gate is among the kernel's data: the note is
/// not accepted otherwise.
fn parts(layout: &Layout) -> [Part; 4] {
    let image_end = segments(layout.image_end);
    let room_end = segments(layout.image_end.saturating_add(KERNEL_ROOM_BYTES));
    let part = |start, end, kind, why| Part {
        pages: Pages { start, end },
        kind,
        why,
    };
    [
        part(
            0,
            layout.shared_start,
            SegmentType::Ew,
            "the kernel allocates memory below its text",
        ),
        part(
            layout.shared_start,
            layout.shared_end,
            SegmentType::Sr,
            "the kernel has its text and read-only data there",
        ),
        part(
            layout.shared_end,
            image_end,
            SegmentType::Ew,
            "the kernel has its data there, and the gate by which it is saved",
        ),
        part(
            image_end,
            room_end,
            SegmentType::Ew,
            "the kernel allocates 32 MiB behind its image",
        ),
    ]
}

fn check_part(range: &Range, part: &Part) -> Result<(), FitError> {
    let common = common(range, part.pages);
    if common.start >= common.end || range.kind == part.kind {
        return Ok(());
    }
    Err(FitError::Kind {
        pages: common,
        needed: part.kind,
        found: range.kind,
        why: part.why,
    })
}

/// Checks what is not a part of the kernel.
fn check_rest(range: &Range, layout: &Layout) -> Result<(), FitError> {
    let shared = Pages {
        start: layout.shared_start,
        end: layout.shared_end,
    };
    let inside = shared.start <= range.start && range.end <= shared.end;
    let pages = Pages {
        start: range.start,
        end: range.end,
    };
    if range.kind == SegmentType::Sr && !inside {
        return Err(FitError::NotShared { pages, shared });
    }
    // The balloon's driver is told where saved memory is, as the guest sees it.
    if range.kind.saved() && range.end > LOW_BYTES {
        let found = range.kind;
        return Err(FitError::High { pages, found });
    }
    Ok(())
}

/// Returns what a range has in common with pages; what ends before it begins is nothing.
fn common(range: &Range, pages: Pages) -> Pages {
    Pages {
        start: range.start.max(pages.start),
        end: range.end.min(pages.end),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ranges::divide;
    use crate::ranges::notation::parse;
    use crate::ranges::tests::LAYOUT;
    use crate::ranges::tests::MIB;

    fn checked(text: &str) -> Result<(), String> {
        let ranges = parse(text).unwrap();
        fit(&ranges, &LAYOUT).map_err(|error| error.to_string())
    }

    #[test]
    fn more_of_the_memory_may_be_saved_and_text_be_in_several_ranges() {
        for text in [
            "0-FFF EW 1000-17FF SR 1800-3DFF EW 3E00-1FFFF EN",
            "0-FFF EW 1000-17FF SR 1800-3DFF EW",
            "0-7FF EW 800-FFF EW 1000-11FF SR 1200-17FF SR 1800-5FFF EW 6000-7FFF EN 8000-8FFF EW",
            "0-FFF EW 1000-17FF SR 1800-7FFFF EW 80000-BFFFF EN",
        ] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_the_kernel_needs_is_required() {
        for (text, expected) in [
            ("0-FFF EN 1000-17FF SR 1800-5FFF EW",
             "Pages 0-FFF must be EW and not EN: the kernel allocates memory below its text"),
            ("0-17FF EW 1800-5FFF EW",
             "Pages 1000-17FF must be SR and not EW: the kernel has its text and read-only data \
              there"),
            ("0-FFF EW 1000-15FF SR 1600-5FFF EW",
             "Pages 1600-17FF must be SR and not EW: the kernel has its text and read-only data \
              there"),
            ("0-DFF EW E00-17FF SR 1800-5FFF EW",
             "Pages E00-FFF must be EW and not SR: the kernel allocates memory below its text"),
            ("0-FFF EW 1000-19FF SR 1A00-5FFF EW",
             "Pages 1800-19FF must be EW and not SR: the kernel has its data there, and the gate \
              by which it is saved"),
            ("0-FFF EW 1000-17FF SR 1800-19FF EW 1A00-5FFF EN",
             "Pages 1A00-1DFF must be EW and not EN: the kernel has its data there, and the gate \
              by which it is saved"),
            ("0-FFF EW 1000-17FF SR 1800-1FFF EW 2000-5FFF EN",
             "Pages 2000-3DFF must be EW and not EN: the kernel allocates 32 MiB behind its image"),
            ("0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-7FFF SR",
             "Pages 6000-7FFF cannot be SR: only text and read-only data can, pages 1000-17FF"),
            ("0-FFF EW 1000-17FF SR 1800-801FF EW 80200-BFFFF EN",
             "Pages 1800-801FF cannot be EW: only EN can be beyond 2 GiB, page 7FFFF"),
            ("0-FFF EW 1000-17FF SR 1800-3BFF EW",
             "This kernel needs 62 MiB of memory for itself, and 60 MiB are given"),
        ] {
            assert_eq!(checked(text), Err(expected.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_usual_division_fits(memory in 0..100_000_u64, kernel in proptest::option::of(0..4096_u64)) {
            if let Ok(ranges) = divide(&LAYOUT, memory * 2 * MIB, kernel.map(|kernel| kernel * MIB)) {
                prop_assert_eq!(fit(&ranges, &LAYOUT), Ok(()));
            }
        }
    }
}
