// SPDX-License-Identifier: GPL-2.0

//! Colours. They are always written; the stream takes them out where nobody wants them.

use anstyle::AnsiColor;
use anstyle::Style;

/// Titles of columns.
pub(super) const TITLE: Style = Style::new().bold();

/// As it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// Worth a look.
pub(super) const WATCH: Style = AnsiColor::Yellow.on_default();

/// Not as it should be.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Of no consequence any more, or not yet.
pub(super) const PAST: Style = Style::new().dimmed();

/// What needs no colour.
const PLAIN: Style = Style::new();

/// Returns how an entry is shown, by the title of its column.
pub(super) fn of_cell(title: &str, cell: &str) -> Style {
    match (title, cell) {
        ("CLASS", "S" | "P") => PAST,
        ("CLASS", "R") => WATCH,
        ("STATE", "running") | ("CHECK", "intact") => GOOD,
        ("STATE", "starting" | "paused") | ("CHECK", "changed") => WATCH,
        ("STATE", "stopped") => PAST,
        ("STATE", "silent") | ("CHECK", "CORRUPT") => BAD,
        ("UNSHARED", "" | "0" | "0 B" | "-") => PLAIN,
        ("UNSHARED", _) => WATCH,
        _ => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_stands_out() {
        for (title, cell, style) in [
            ("STATE", "silent", BAD),
            ("STATE", "running", GOOD),
            ("NAME", "silent", PLAIN),
            ("CLASS", "A", PLAIN),
            ("CLASS", "P", PAST),
            ("UNSHARED", "0", PLAIN),
            ("UNSHARED", "3", WATCH),
            ("UNSHARED", "4.0 KiB", WATCH),
            ("CHECK", "CORRUPT", BAD),
        ] {
            assert_eq!(of_cell(title, cell), style, "{title} {cell}");
        }
    }
}
