// SPDX-License-Identifier: GPL-2.0

//! The file of an inventory, which people write.

use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use serde::Deserialize;

use super::Inventory;
use crate::form;
use crate::form::FormError;
use crate::rules;

/// The file of an inventory: what it does not say is as the host has it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the version is checked before")]
struct File {
    format: u32,
    memory_mib: Option<u64>,
    cpus: Option<u32>,
    segments: Option<Vec<Segment>>,
    disks: Option<Vec<Image>>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Segment(Name);

#[derive(Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
struct Image(PathBuf);

impl TryFrom<String> for Segment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.parse();
        name.map(Self)
            .map_err(|error| format!("{text:?} is not a segment: {error}"))
    }
}

impl TryFrom<PathBuf> for Image {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        rules::file(&path)?;
        Ok(Self(path))
    }
}

impl Inventory {
    /// Reads the text of a file; what it leaves open is as in `host`.
    pub(crate) fn parse(text: &str, host: Self) -> Result<Self, FormError> {
        let file: File = form::parse(text)?;
        let names = |all: Vec<Segment>| all.into_iter().map(|Segment(name)| name).collect();
        let paths = |all: Vec<Image>| all.into_iter().map(|Image(path)| path).collect();
        Ok(Self {
            memory_mib: file.memory_mib.unwrap_or(host.memory_mib),
            cpus: file.cpus.unwrap_or(host.cpus),
            segments: file.segments.map(names).or(host.segments),
            disks: file.disks.map(paths).or(host.disks),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::tests::inventory;

    #[test]
    fn damage_is_found_where_it_is() {
        for (text, expected) in [
            (
                "format = 1\nmemory = 1\n",
                "line 2, column 1: unknown field `memory`",
            ),
            ("format = 1\ncpus = -1\n", "line 2, column 8: "),
            (
                "format = 1\nsegments = [\"A\", \"a/b\"]\n",
                "line 2, column 12: \"a/b\" is not",
            ),
            (
                "format = 1\ndisks = [\"d\"]\n",
                "line 2, column 9: \"d\" is not the absolute",
            ),
        ] {
            let error = Inventory::parse(text, inventory(1, 1)).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{text}: {error}");
        }
    }
}
