// SPDX-License-Identifier: GPL-2.0

//! Numbers as people write them, in the files below `/proc/sys/vm` and in messages.

use crate::reuse::Reuse;
use kernel::prelude::*;

/// Parses `PAGES SECONDS`; without the second number the timer stops, as on s390.
pub(crate) fn reuse(text: &str) -> Result<Reuse> {
    let mut words = text.split_ascii_whitespace();
    let (Some(pages), seconds, None) = (words.next(), words.next(), words.next()) else {
        return Err(EINVAL);
    };

    Ok(Reuse {
        pages: number(pages)?,
        seconds: seconds.map_or(Ok(0), number)?,
    })
}

/// Parses a number, decimal, hexadecimal with `0x` or octal with `0`.
pub(crate) fn number(text: &str) -> Result<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };

    // The parser accepts a sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return Err(EINVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| EINVAL)
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_numbers)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_usual_prefixes() {
        for (text, value) in [("0", 0), ("42", 42), ("0x2a", 42), ("052", 42), ("00", 0)] {
            assert_eq!(number(text), Ok(value));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "-1",
            "+1",
            "0x",
            "0x-1",
            "08",
            "1 2",
            "18446744073709551616",
            "a",
        ] {
            assert_eq!(number(text), Err(EINVAL));
        }
    }

    #[test]
    fn a_timeout_is_two_numbers() {
        assert_eq!(
            reuse(" 100 \t 0x10 "),
            Ok(Reuse {
                pages: 100,
                seconds: 16
            })
        );
        assert_eq!(
            reuse("100"),
            Ok(Reuse {
                pages: 100,
                seconds: 0
            })
        );
        for text in ["", "1 2 3", "1,2", "one two"] {
            assert_eq!(reuse(text), Err(EINVAL));
        }
    }
}
