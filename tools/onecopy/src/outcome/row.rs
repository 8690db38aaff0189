// SPDX-License-Identifier: GPL-2.0

//! The table of saved systems.

use onecopy_format::segment_space::Name;

use super::table::utc;
use crate::size;

/// What stands where there is nothing to say.
const NOTHING: &str = "-";

/// A skeleton or a generation in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Name,
    pub(super) generation: Option<u64>,
    pub(super) class: char,
    pub(super) users: usize,
    pub(super) memory_bytes: u64,
    pub(super) saved_unix_seconds: Option<u64>,
    pub(super) pages: String,
    pub(super) allow: String,
    pub(super) group: Option<String>,
    pub(super) check: Option<&'static str>,
}

impl Row {
    /// Returns the table, with columns for lists of guests, for trust groups and for checks where there are any.
    pub(super) fn table(rows: &[Self]) -> Vec<Vec<String>> {
        let restricted = rows.iter().any(|row| !row.allow.is_empty());
        let checked = rows.iter().any(|row| row.check.is_some());
        let title = [
            "NAME", "GEN", "CLASS", "USERS", "MEMORY", "SAVED", "RANGES", "ALLOW", "GROUP", "CHECK",
        ];
        let grouped = rows.iter().any(|row| row.group.is_some());
        let line = |[fixed @ .., allow, group, check]: [String; 10]| {
            let fixed: [String; 7] = fixed;
            let mut line = Vec::from(fixed);
            line.extend(restricted.then_some(allow));
            line.extend(grouped.then_some(group));
            line.extend(checked.then_some(check));
            line
        };
        let title = line(title.map(str::to_owned));
        let lines = rows.iter().map(|row| line(row.cells()));
        [title].into_iter().chain(lines).collect()
    }

    fn cells(&self) -> [String; 10] {
        let shown = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let allow = (!self.allow.is_empty()).then(|| self.allow.clone());
        [
            self.name.to_string(),
            shown(self.generation.map(|generation| generation.to_string())),
            self.class.to_string(),
            self.users.to_string(),
            size::show(self.memory_bytes),
            shown(self.saved_unix_seconds.map(utc)),
            self.pages.clone(),
            shown(allow),
            shown(self.group.clone()),
            shown(self.check.map(str::to_owned)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_which_nothing_is_known_are_left_out() {
        let row = |allow: &str, check| Row {
            name: "LX".parse().unwrap(),
            generation: None,
            class: 'S',
            users: 0,
            memory_bytes: 512 << 20,
            saved_unix_seconds: None,
            pages: "0-1FFFF EW".to_owned(),
            allow: allow.to_owned(),
            group: None,
            check,
        };
        let shown = |rows: &[Row]| -> Vec<String> {
            let table = Row::table(rows);
            table.iter().map(|line| line.join("|")).collect()
        };
        let title = "NAME|GEN|CLASS|USERS|MEMORY|SAVED|RANGES";
        let cells = "LX|-|S|0|512 MiB|-|0-1FFFF EW";
        assert_eq!(shown(&[row("", None)]), [title, cells]);
        assert_eq!(
            shown(&[row("web,db", None), row("", Some("intact"))]),
            [
                format!("{title}|ALLOW|CHECK"),
                format!("{cells}|web,db|-"),
                format!("{cells}|-|intact"),
            ]
        );
    }
}
