// SPDX-License-Identifier: GPL-2.0

//! Memory that the host cannot take back, as the parameter `keep` lists it.

use core::ops::Range;
use kernel::prelude::*;

/// The size of a page frame.
const PAGE_BYTES: u64 = 4096;

/// Ranges of page frame numbers that must not be given to the host.
pub(crate) struct Ranges(KVec<Range<u64>>);

impl Ranges {
    /// Parses `START-END[,START-END...]`: guest-physical addresses, hexadecimal with or without
    /// `0x`, the last one included. Empty text means no range.
    ///
    /// Ranges are widened to whole pages. Returns `EINVAL` for anything else, `ENOMEM`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let mut ranges = KVec::new();

        for range in text.split(|byte| *byte == b',') {
            if range.is_empty() && text.is_empty() {
                break;
            }
            ranges.push(parse_range(range)?, GFP_KERNEL)?;
        }
        Ok(Self(ranges))
    }

    /// Returns whether any of `pages` pages from `pfn` on is in a range.
    pub(crate) fn overlap(&self, pfn: u64, pages: u64) -> bool {
        let end = pfn.saturating_add(pages);

        self.0
            .iter()
            .any(|range| range.start < end && pfn < range.end)
    }
}

fn parse_range(text: &[u8]) -> Result<Range<u64>> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (Some(first), Some(last), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(EINVAL);
    };
    let (first, last) = (parse_address(first)?, parse_address(last)?);

    if first > last {
        return Err(EINVAL);
    }
    Ok(first / PAGE_BYTES..last / PAGE_BYTES + 1)
}

fn parse_address(text: &[u8]) -> Result<u64> {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let digits = text.strip_prefix("0x").unwrap_or(text);

    // The parser of numbers accepts a sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u64::from_str_radix(digits, 16).map_err(|_| EINVAL)
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_ranges)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_no_range() -> Result {
        let ranges = Ranges::parse(b"")?;

        assert!(!ranges.overlap(0, u64::MAX));
        Ok(())
    }

    #[test]
    fn ranges_cover_whole_pages() -> Result {
        let ranges = Ranges::parse(b"1000-2fff,0x10800-10801")?;

        for (pfn, pages, overlaps) in [
            (0, 1, false),
            (0, 2, true),
            (2, 1, true),
            (3, 13, false),
            (3, 14, true),
            (16, 1, true),
            (17, u64::MAX, false),
        ] {
            assert_eq!(ranges.overlap(pfn, pages), overlaps);
        }
        Ok(())
    }

    #[test]
    fn the_last_address_is_a_range_too() -> Result {
        let ranges = Ranges::parse(b"ffffffffffffffff-ffffffffffffffff")?;

        assert!(ranges.overlap(u64::MAX / PAGE_BYTES, 1));
        Ok(())
    }

    #[test]
    fn bad_ranges_are_refused() {
        for text in [
            &b","[..],
            b"1000",
            b"1000-",
            b"-1000",
            b"2000-1000",
            b"1000-2000-3000",
            b"1000-2000,",
            b"+1000-2000",
            b"0x-10",
            b"g-h",
            b"10000000000000000-10000000000000001",
        ] {
            assert_eq!(Ranges::parse(text).err(), Some(EINVAL));
        }
    }
}
