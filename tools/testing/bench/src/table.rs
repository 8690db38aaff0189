// SPDX-License-Identifier: GPL-2.0

//! Plain text tables.

use std::fmt;

/// A table with a head of several lines; columns are as wide as their widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// Makes a table whose first `left` columns are aligned to the left and all others to the
    /// right.
    pub(crate) fn new(left: usize) -> Self {
        Self {
            rows: Vec::new(),
            left,
        }
    }

    /// Adds a row.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                let gap = if column == 0 { "" } else { "  " };
                if column < self.left {
                    line.push_str(&format!("{gap}{cell:<width$}"));
                } else {
                    line.push_str(&format!("{gap}{cell:>width$}"));
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        let mut table = Table::new(1);
        table.row(["name", "MiB", ""]);
        table.row(["a", "1.5", "ok"]);
        table.row(["long name", "1000.0", ""]);
        assert_eq!(
            table.to_string(),
            "name          MiB\na             1.5  ok\nlong name  1000.0\n"
        );
    }
}
