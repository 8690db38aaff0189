// SPDX-License-Identifier: GPL-2.0

//! Numbers of bytes, rounded for people who compare them.

/// The units, each 1024 times the one before.
const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// Writes a number of bytes with at most one digit behind the point, for example `3.4 MiB`.
pub fn rounded(bytes: u64) -> String {
    let mut tenths = u128::from(bytes) * 10;
    let mut name = "B";
    for larger in UNITS {
        // What would be shown as 1024.0 is 1.0 of the next unit.
        if tenths < 10_235 {
            break;
        }
        tenths = (tenths + 512) / 1024;
        name = larger;
    }
    if name == "B" || tenths >= 1000 {
        format!("{} {name}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_digit_behind_the_point_where_it_says_something() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (4096, "4.0 KiB"),
            ((3 << 20) + (400 << 10), "3.4 MiB"),
            (150 << 20, "150 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (23 << 30, "23.0 GiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(rounded(bytes), expected, "{bytes}");
        }
    }
}
