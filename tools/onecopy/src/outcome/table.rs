// SPDX-License-Identifier: GPL-2.0

//! Tables, and the values in them.

use std::fmt::Display;
use std::io;
use std::io::Write;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use anstyle::Style;
use serde::Serializer;

use super::style;

/// How far columns are apart.
const GAP: usize = 2;

/// Writes a table whose columns are as wide as their widest entry, with titles in the first row.
pub(super) fn write_table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let Some((titles, lines)) = rows.split_first() else {
        return Ok(());
    };
    let widths = widths(rows);
    write_row(out, titles, &widths, |_, _| style::TITLE)?;
    for line in lines {
        let of_cell = |column: usize, cell: &str| {
            let title = titles.get(column).map_or("", String::as_str);
            style::of_cell(title, cell)
        };
        write_row(out, line, &widths, of_cell)?;
    }
    Ok(())
}

/// Writes rows in columns without titles, of which the first one says what the row is about.
pub(super) fn write_facts(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let widths = widths(rows);
    let of_cell = |column: usize, _: &str| {
        if column == 0 {
            style::TITLE
        } else {
            Style::new()
        }
    };
    rows.iter()
        .try_for_each(|row| write_row(out, row, &widths, of_cell))
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(String::len).max().unwrap_or_default()
    };
    (0..columns).map(width).collect()
}

/// Writes a row. Blanks have no style, and there are none behind its last word.
fn write_row(
    out: &mut dyn Write,
    row: &[String],
    widths: &[usize],
    style: impl Fn(usize, &str) -> Style,
) -> io::Result<()> {
    let last = row.iter().rposition(|cell| !cell.is_empty());
    let cells = row.iter().zip(widths).enumerate();
    for (column, (cell, width)) in cells.take(last.map_or(0, |last| last + 1)) {
        let style = style(column, cell);
        write!(out, "{style}{cell}{style:#}")?;
        if last != Some(column) {
            let blanks = width.saturating_sub(cell.len()) + GAP;
            write!(out, "{:blanks$}", "")?;
        }
    }
    writeln!(out)
}

/// Writes a time as `2026-01-31T12:00:00Z`.
pub(super) fn utc(unix_seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(unix_seconds)) {
        // The formatter knows years up to 9999 and panics beyond.
        Some(time) if unix_seconds < 253_402_300_800 => {
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => unix_seconds.to_string(),
    }
}

/// Writes what can be shown as a string of JSON.
pub(super) fn display<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let rows = [
            vec!["A".to_owned(), "B".to_owned()],
            vec!["long".to_owned(), "x".to_owned()],
        ];
        let mut out = Vec::new();
        write_table(&mut out, &rows).unwrap();
        let out = String::from_utf8(out).unwrap();
        let plain = anstream::adapter::strip_str(&out).to_string();
        assert_eq!(plain, "A     B\nlong  x\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [
            row(["NAME", "STATE", "MAC"]),
            row(["a", "silent", ""]),
            row(["b", "running", "x"]),
        ];
        let mut out = Vec::new();
        write_table(&mut out, &rows).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\u{1b}[31m"), "{out:?}");
        let plain = anstream::adapter::strip_str(&out).to_string();
        assert_eq!(
            plain,
            "NAME  STATE    MAC\na     silent\nb     running  x\n"
        );
    }

    #[test]
    fn times_are_shown_in_utc_and_absurd_ones_as_numbers() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(utc(u64::MAX), u64::MAX.to_string());
    }
}
