// SPDX-License-Identifier: GPL-2.0

//! Ranges as z/VM writes them: `0-FFF EW 1000-17FF SR`.
//!
//! Page numbers are hexadecimal, pages have 4 KiB. The type may follow its pages without a blank,
//! as in `0-FFFEW`: each type has a letter that is no digit.

mod error;

use std::fmt;

use onecopy_format::saved_kernel::SEGMENT_BYTES;
use onecopy_format::segment_space::SegmentType;

pub use self::error::NotationError;
use super::Range;
use super::PAGE_BYTES;

/// How many ranges a system may have. Those that are saved are named in a parameter of the
/// balloon's driver, which has 400 bytes.
const MAX_RANGES: usize = 16;

/// Pages from one address to another, shown as `1000-17FF`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// First address, in bytes.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = (self.end / PAGE_BYTES).saturating_sub(1);
        write!(f, "{:X}-{last:X}", self.start / PAGE_BYTES)
    }
}

/// Reads ranges that cover a memory from its beginning, in whole segments.
///
/// # Errors
///
/// When the text has another form, or there are gaps or overlaps.
pub fn parse(text: &str) -> Result<Vec<Range>, NotationError> {
    let mut words = text.split_whitespace();
    let mut ranges = Vec::new();
    while let Some(word) = words.next() {
        let (pages, kind) = match split_type(word) {
            Some((pages, kind)) => (pages, kind),
            None => (word, following_type(word, words.next())?),
        };
        let Pages { start, end } = read_pages(pages)?;
        ranges.push(check(start, end, kind, pages, &ranges)?);
    }
    if !(1..=MAX_RANGES).contains(&ranges.len()) {
        let found = ranges.len();
        return Err(NotationError::Count { found });
    }
    Ok(ranges)
}

/// Writes ranges in a line.
pub fn show(ranges: &[Range]) -> String {
    let ranges: Vec<String> = ranges.iter().map(Range::to_string).collect();
    ranges.join(" ")
}

/// Takes a type off the end of a word.
fn split_type(word: &str) -> Option<(&str, SegmentType)> {
    let (pages, kind) = word.split_at_checked(word.len().checked_sub(2)?)?;
    let kind = SegmentType::from_keyword(kind)?;
    (!pages.is_empty()).then_some((pages, kind))
}

/// Reads the word behind pages.
fn following_type(pages: &str, word: Option<&str>) -> Result<SegmentType, NotationError> {
    read_pages(pages)?;
    let kind = word.and_then(SegmentType::from_keyword);
    kind.ok_or_else(|| NotationError::Untyped {
        pages: pages.to_owned(),
    })
}

fn read_pages(word: &str) -> Result<Pages, NotationError> {
    let page = |digits: &str| {
        // The parser of numbers accepts a sign.
        let is_number = digits.starts_with(|first: char| first.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok()?;
        is_number.then_some(number)
    };
    let address = |page: u64| page.checked_mul(PAGE_BYTES);
    let read = || {
        let (first, last) = word.split_once('-')?;
        Some(Pages {
            start: address(page(first)?)?,
            end: address(page(last)?.checked_add(1)?)?,
        })
    };
    read().ok_or_else(|| NotationError::Pages {
        word: word.to_owned(),
    })
}

/// Makes the range behind those that there are.
fn check(
    start: u64,
    end: u64,
    kind: SegmentType,
    pages: &str,
    before: &[Range],
) -> Result<Range, NotationError> {
    let pages = || pages.to_ascii_uppercase();
    if !matches!(kind, SegmentType::Ew | SegmentType::Sr | SegmentType::En) {
        let pages = pages();
        return Err(NotationError::Kind { pages, kind });
    }
    if end <= start {
        return Err(NotationError::Backwards { pages: pages() });
    }
    let at = before.last().map_or(0, |range| range.end);
    if start < at {
        return Err(NotationError::Overlap { pages: pages() });
    }
    if start % SEGMENT_BYTES != 0 || end % SEGMENT_BYTES != 0 {
        return Err(NotationError::Unaligned { pages: pages() });
    }
    if start > at {
        let missing = Pages {
            start: at,
            end: start,
        };
        return Err(NotationError::Gap { missing });
    }
    let like = before.iter().filter(|range| range.kind == kind);
    Ok(Range {
        start,
        end,
        kind,
        index: like.map(|range| range.index + 1).max().unwrap_or(0),
    })
}

/// Ranges as a string in a file.
pub(crate) mod string {
    use serde::de::Error;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;

    use super::Range;

    /// Writes ranges.
    pub(crate) fn serialize<S: Serializer>(ranges: &[Range], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::show(ranges))
    }

    /// Reads ranges.
    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<Range>, D::Error> {
        super::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: &str = "0-FFF EW 1000-17FF SR 1800-5FFF EW 6000-1FDFF EN 1FE00-1FFFF EW";

    fn refusal(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_type_may_follow_its_pages_without_a_blank() {
        let ranges = parse(USUAL).unwrap();
        assert_eq!(show(&ranges), USUAL);
        let indices: Vec<u32> = ranges.iter().map(|range| range.index).collect();
        assert_eq!(indices, [0, 0, 1, 0, 2]);
        for text in [
            "0-FFFEW 1000-17FFSR 1800-5FFFEW 6000-1FDFFEN 1FE00-1FFFFEW",
            "0-fff ew 1000-17ffsr\n1800-5FFF EW\t6000-1FDFF EN 01FE00-1FFFFEW",
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&ranges), "{text}");
        }
    }

    #[test]
    fn what_is_no_division_is_refused_with_the_reason() {
        let no_pages = |word: &str| {
            format!("{word:?} is not a range of pages with its type, such as 1000-17FF SR")
        };
        for (text, word) in [
            ("EW", "EW"),
            ("MINSIZE=512M", "MINSIZE=512M"),
            ("0-FFG EW", "0-FFG"),
            ("0-+FFF EW", "0-+FFF"),
            ("FFF EW", "FFF"),
            ("0-FFFFFFFFFFFFFFFF EW", "0-FFFFFFFFFFFFFFFF"),
            ("0-FFF EW SR", "SR"),
        ] {
            assert_eq!(refusal(text), no_pages(word));
        }
        for text in ["0-FFF", "0-FFF XX", "0-FFF 1000-17FF SR"] {
            assert_eq!(refusal(text), "Pages 0-FFF have no type: EW, SR or EN");
        }
        for (text, kind, reason) in [
            (
                "0-FFF SW",
                "SW",
                "guests would write to each other's memory",
            ),
            ("0-FFFSN", "SN", "guests would write to each other's memory"),
            (
                "0-FFFSC",
                "SC",
                "there is nobody but the guests who could write to them",
            ),
            (
                "0-FFF er",
                "ER",
                "what a guest cannot write to need not be its own",
            ),
        ] {
            let expected =
                format!("Pages 0-FFF cannot be {kind}: {reason}; EW, SR or EN is expected");
            assert_eq!(refusal(text), expected);
        }
    }

    #[test]
    fn ranges_are_in_whole_segments_without_gaps_or_overlap() {
        for (text, expected) in [
            ("", "There are 0 ranges, and a saved system has 1 to 16"),
            ("FFF-0 EW", "Pages FFF-0 end before they begin"),
            (
                "0-FFE EW",
                "Pages 0-FFE are not in whole segments of 2 MiB: 200 pages, in hexadecimal",
            ),
            (
                "0-FFF EW 1000-10FF SR 1100-1FFF EW",
                "Pages 1000-10FF are not in whole segments of 2 MiB: 200 pages, in hexadecimal",
            ),
            (
                "0-FFF EW 0-FFF EN",
                "Pages 0-FFF are not behind the range before them",
            ),
            (
                "0-FFF EW e00-11ff EN",
                "Pages E00-11FF are not behind the range before them",
            ),
            ("1000-17FF SR", "Pages 0-FFF are in no range"),
            ("0-FFF EW 1200-17FF SR", "Pages 1000-11FF are in no range"),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
        let many: Vec<String> = (0..17_u32)
            .map(|n| format!("{:X}-{:X} EW", n * 0x200, n * 0x200 + 0x1ff))
            .collect();
        let error = refusal(&many.join(" "));
        assert!(error.starts_with("There are 17 ranges"), "{error}");
        assert!(parse(&many[..16].join(" ")).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(
            parts in proptest::collection::vec((1..4096_u64, 0..3_usize), 1..=MAX_RANGES),
            blank in any::<bool>(),
        ) {
            let mut text = String::new();
            let mut at = 0;
            for &(segments, kind) in &parts {
                let end = at + segments * SEGMENT_BYTES;
                let kind = ["EW", "SR", "EN"][kind];
                let blank = if blank { " " } else { "" };
                text += &format!("{}{blank}{kind} ", Pages { start: at, end });
                at = end;
            }
            let ranges = parse(&text).unwrap();
            prop_assert_eq!(ranges.len(), parts.len());
            prop_assert_eq!(ranges.last().map(|range| range.end), Some(at));
            prop_assert_eq!(parse(&show(&ranges)), Ok(ranges.clone()));
            // Each range has a name of its own.
            let mut ids: Vec<String> = ranges.iter().map(Range::id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), ranges.len());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-FSWRNEswrnfe =-]{0,40}|\\PC{0,20}") {
            if let Ok(ranges) = parse(&text) {
                prop_assert_eq!(parse(&show(&ranges)), Ok(ranges));
            }
        }
    }
}
