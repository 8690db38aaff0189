// SPDX-License-Identifier: GPL-2.0

//! Sizes as people write and read them.

/// The units, in ascending order; each is 1024 times the one before.
const UNITS: [char; 4] = ['K', 'M', 'G', 'T'];

/// Reads a size with a unit, for example `512M`, in bytes.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let expected = || format!("{text:?} is not a size with a unit, such as 512M");
    let unit = text
        .chars()
        .last()
        .ok_or_else(expected)?
        .to_ascii_uppercase();
    let power = UNITS
        .iter()
        .position(|&known| known == unit)
        .ok_or_else(expected)?;
    let number = text
        .get(..text.len() - unit.len_utf8())
        .ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let shift = 10 * (power + 1);
    let bytes = number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("{text} is too large"))?;
    if bytes == 0 {
        return Err("the size is zero".to_owned());
    }
    Ok(bytes)
}

/// Writes a number of bytes exactly, in the largest unit that divides it.
pub(crate) fn show(bytes: u64) -> String {
    let mut number = bytes;
    let mut name = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if number == 0 || number % 1024 != 0 {
            break;
        }
        number /= 1024;
        name = larger;
    }
    format!("{number} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(parse("512M"), Ok(512 << 20));
        assert_eq!(parse("1g"), Ok(1 << 30));
        for text in [
            "",
            "512",
            "M",
            "0M",
            "-1M",
            "1.5G",
            "1Q",
            "99999999999T",
            "5µ",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_exactly() {
        for (bytes, expected) in [
            (0, "0 B"),
            (4095, "4095 B"),
            (4096, "4 KiB"),
            (2 << 20, "2 MiB"),
            ((2 << 20) + 4096, "2052 KiB"),
            (3 << 30, "3 GiB"),
            (5 << 50, "5120 TiB"),
        ] {
            assert_eq!(show(bytes), expected);
        }
    }
}
