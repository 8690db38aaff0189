// SPDX-License-Identifier: GPL-2.0

//! How the memory of a saved system is divided.
//!
//! ```text
//! 0 ... shared_start        EW  what the kernel has allocated below itself
//!   ... shared_end          SR  text and read-only data
//!   ... the kernel's part   EW  data, and what the kernel has allocated above itself
//!   ... memory              EN  what the guest uses, and the host can take back
//!   the last segment        EW  what the firmware has left there, if that is below 2 GiB
//! ```
//!
//! EW and SR are saved. Addresses are those of RAM: beyond 2 GiB the guest sees it elsewhere, and
//! nothing is saved there.
//!
//! This is what [`divide`] does. [`notation`] reads ranges that somebody has chosen instead, and
//! [`fit()`] makes sure that the kernel can be saved in them.

mod fit;
pub mod notation;
mod parameters;

use std::fmt;

use onecopy_format::saved_kernel::Layout;
use onecopy_format::saved_kernel::SEGMENT_BYTES;
use onecopy_format::segment_space::SegmentType;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

pub use self::fit::fit;
pub use self::fit::FitError;
pub use self::notation::NotationError;
pub use self::notation::Pages;
pub use self::parameters::keep;
pub(crate) use self::parameters::kernel_bytes;
pub(crate) use self::parameters::parameters;
use crate::text;

/// The memory of a saved system unless something else is said, in bytes.
pub const MEMORY_BYTES: u64 = 512 << 20;

/// The size of the kernel's part unless something else is said, in bytes; an eighth of the memory
/// if that is more, up to 2 GiB.
const KERNEL_BYTES: u64 = 96 << 20;

/// The room that a kernel needs behind its image, in bytes.
const KERNEL_ROOM_BYTES: u64 = 32 << 20;

/// Up to this size the end of RAM is where the firmware puts its tables, in bytes: a page or two. As
/// EN they would cost each guest a large page of its own.
const LOW_BYTES: u64 = 2 << 30;

/// The unit of z/VM's notation.
const PAGE_BYTES: u64 = 4096;

/// Why memory cannot be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The memory is not in whole segments.
    #[error(
        "The memory of a saved system is a multiple of 2 MiB, and {memory_bytes} bytes are not"
    )]
    Unaligned {
        /// What was asked for.
        memory_bytes: u64,
    },
    /// The kernel does not fit into its part.
    #[error("This kernel needs {} MiB of memory for itself, and {} MiB are given", .needed_bytes >> 20, .found_bytes >> 20)]
    KernelMemory {
        /// What the kernel needs.
        needed_bytes: u64,
        /// What it gets.
        found_bytes: u64,
    },
    /// Saved memory would be where guests find something else.
    #[error("The kernel can have at most 2 GiB of the memory, and {} MiB are given", .kernel_bytes >> 20)]
    High {
        /// The kernel's part.
        kernel_bytes: u64,
    },
    /// There is no memory beside the kernel's.
    #[error("A guest of {} MiB is too small: the kernel has {} MiB of it", .memory_bytes >> 20, .kernel_bytes >> 20)]
    Memory {
        /// What was asked for.
        memory_bytes: u64,
        /// The kernel's part.
        kernel_bytes: u64,
    },
}

/// A range of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// First address, in bytes, a multiple of 2 MiB.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// EW, SR or EN.
    #[serde(rename = "type", with = "text::keyword")]
    #[schemars(with = "String")]
    pub kind: SegmentType,
    /// Number among the ranges of this type, from 0.
    pub index: u32,
}

impl Range {
    /// Returns the size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the name of the range in the machine, for example `ew0`.
    pub fn id(&self) -> String {
        format!("{}{}", self.kind, self.index).to_ascii_lowercase()
    }

    /// Returns the name of the file that holds the range, for example `ew-0.img`; nothing if it is
    /// not saved.
    pub fn file_name(&self) -> Option<String> {
        let name = || format!("{}-{}.img", self.kind, self.index).to_ascii_lowercase();
        self.kind.saved().then(name)
    }
}

impl fmt::Display for Range {
    /// Writes pages in hexadecimal and the type, as z/VM does: `1000-17FF SR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = Pages {
            start: self.start,
            end: self.end,
        };
        write!(f, "{pages} {}", self.kind)
    }
}

/// Divides memory for a kernel; `kernel_bytes` is the size of the kernel's part, counted from
/// address 0 and rounded up to 2 MiB.
///
/// # Errors
///
/// When the kernel or the memory is too large for that.
pub fn divide(
    layout: &Layout,
    memory_bytes: u64,
    kernel_bytes: Option<u64>,
) -> Result<Vec<Range>, RangeError> {
    if memory_bytes % SEGMENT_BYTES != 0 {
        return Err(RangeError::Unaligned { memory_bytes });
    }
    let needed_bytes = segments(layout.image_end.saturating_add(KERNEL_ROOM_BYTES));
    let usual_bytes = (memory_bytes / 8).min(LOW_BYTES);
    let usual_bytes = usual_bytes.max(KERNEL_BYTES).max(needed_bytes);
    let kernel_bytes = segments(kernel_bytes.unwrap_or(usual_bytes));
    if kernel_bytes < needed_bytes {
        return Err(RangeError::KernelMemory {
            needed_bytes,
            found_bytes: kernel_bytes,
        });
    }
    if kernel_bytes > LOW_BYTES {
        return Err(RangeError::High { kernel_bytes });
    }
    let firmware_bytes = if memory_bytes <= LOW_BYTES {
        SEGMENT_BYTES
    } else {
        0
    };
    let end = memory_bytes.saturating_sub(firmware_bytes);
    if end <= kernel_bytes {
        return Err(RangeError::Memory {
            memory_bytes,
            kernel_bytes,
        });
    }
    let range = |start, end, kind, index| Range {
        start,
        end,
        kind,
        index,
    };
    let mut ranges = vec![
        range(0, layout.shared_start, SegmentType::Ew, 0),
        range(layout.shared_start, layout.shared_end, SegmentType::Sr, 0),
        range(layout.shared_end, kernel_bytes, SegmentType::Ew, 1),
        range(kernel_bytes, end, SegmentType::En, 0),
    ];
    if firmware_bytes > 0 {
        ranges.push(range(end, memory_bytes, SegmentType::Ew, 2));
    }
    Ok(ranges)
}

/// Rounds up to whole segments.
pub(crate) fn segments(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(SEGMENT_BYTES)
        .unwrap_or(u64::MAX - (SEGMENT_BYTES - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) const MIB: u64 = 1 << 20;

    pub(super) const LAYOUT: Layout = Layout {
        shared_start: 16 * MIB,
        shared_end: 24 * MIB,
        image_end: 29 * MIB + 77,
        gate: 24 * MIB,
        can_protect: false,
    };

    fn shown(memory: u64, kernel: Option<u64>) -> Result<String, String> {
        let ranges = divide(&LAYOUT, memory, kernel).map_err(|error| error.to_string())?;
        let shown: Vec<String> = ranges.iter().map(Range::to_string).collect();
        Ok(shown.join(" "))
    }

    #[test]
    fn ranges_are_shown_in_pages_as_on_zvm() {
        assert_eq!(
            shown(512 * MIB, None).unwrap(),
            "0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW"
        );
        assert_eq!(
            shown(2048 * MIB, None).unwrap(),
            "0-FFF EW 1000-17FF SR 1800-FFFF EW 10000-7FDFF EN 7FE00-7FFFF EW"
        );
        assert_eq!(
            shown(256 * MIB, Some(63 * MIB)).unwrap(),
            "0-FFF EW 1000-17FF SR 1800-3FFF EW 4000-FDFF EN FE00-FFFF EW"
        );
        assert_eq!(
            shown(4096 * MIB, None).unwrap(),
            "0-FFF EW 1000-17FF SR 1800-1FFFF EW 20000-FFFFF EN"
        );
        assert_eq!(
            shown(32768 * MIB, None).unwrap(),
            "0-FFF EW 1000-17FF SR 1800-7FFFF EW 80000-7FFFFF EN"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (memory, kernel, expected) in [
            (
                512 * MIB + 4096,
                None,
                "The memory of a saved system is a multiple of 2 MiB, and 536875008 bytes are not",
            ),
            (
                512 * MIB,
                Some(40 * MIB),
                "This kernel needs 62 MiB of memory for itself, and 40 MiB are given",
            ),
            (
                96 * MIB,
                None,
                "A guest of 96 MiB is too small: the kernel has 96 MiB of it",
            ),
            (
                4096 * MIB,
                Some(2049 * MIB),
                "The kernel can have at most 2 GiB of the memory, and 2050 MiB are given",
            ),
        ] {
            assert_eq!(shown(memory, kernel), Err(expected.to_owned()));
        }
    }

    #[test]
    fn ranges_have_names_for_the_machine_and_for_files() {
        let ranges = divide(&LAYOUT, 512 * MIB, None).unwrap();
        let names: Vec<_> = ranges.iter().map(|r| (r.id(), r.file_name())).collect();
        let file = |id: &str, name: &str| (id.to_owned(), Some(name.to_owned()));
        assert_eq!(
            names,
            [
                file("ew0", "ew-0.img"),
                file("sr0", "sr-0.img"),
                file("ew1", "ew-1.img"),
                ("en0".to_owned(), None),
                file("ew2", "ew-2.img"),
            ]
        );
    }

    proptest! {
        #[test]
        fn ranges_cover_the_memory_in_whole_segments(
            start in 1..64_u64,
            shared in 1..64_u64,
            data in 1..(64_u64 << 20),
            memory in 0..100_000_u64,
            kernel in proptest::option::of(0..u64::MAX),
        ) {
            let shared_end = (start + shared) * SEGMENT_BYTES;
            let layout = Layout {
                shared_start: start * SEGMENT_BYTES,
                shared_end,
                image_end: shared_end + data,
                gate: shared_end,
                can_protect: false,
            };
            let memory_bytes = memory * SEGMENT_BYTES;
            let Ok(ranges) = divide(&layout, memory_bytes, kernel) else {
                return Ok(());
            };
            let mut at = 0;
            for range in &ranges {
                prop_assert_eq!(range.start, at);
                prop_assert!(range.end > at && range.end % SEGMENT_BYTES == 0);
                at = range.end;
            }
            prop_assert_eq!(at, memory_bytes);
            prop_assert!(ranges[2].end >= layout.image_end + KERNEL_ROOM_BYTES);
            prop_assert!(kernel.is_none_or(|kernel| ranges[2].end >= kernel));
        }
    }
}
