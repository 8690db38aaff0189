// SPDX-License-Identifier: GPL-2.0

//! Sizes as people write them.

/// Reads a number of bytes such as `512`, `64K`, `768M` or `1G`, with powers of 1024.
///
/// Returns nothing when it is no such number or does not fit in 64 bits.
pub fn parse_bytes(word: &str) -> Option<u64> {
    let (digits, shift) = match word.as_bytes().last()? {
        b'K' => (&word[..word.len() - 1], 10),
        b'M' => (&word[..word.len() - 1], 20),
        b'G' => (&word[..word.len() - 1], 30),
        _ => (word, 0),
    };
    // The standard parser takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_1024() {
        for (word, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4K", 4096),
            ("768M", 805_306_368),
            ("16G", 1 << 34),
        ] {
            assert_eq!(parse_bytes(word), Some(bytes), "{word}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for word in [
            "",
            "K",
            "+4K",
            "-1",
            "4k",
            "4 K",
            "4KB",
            "99999999999G",
            "é",
        ] {
            assert_eq!(parse_bytes(word), None, "{word}");
        }
    }
}
