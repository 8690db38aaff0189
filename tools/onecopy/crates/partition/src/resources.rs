// SPDX-License-Identifier: GPL-2.0

//! The resources of a partition: one file, which people may edit.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use crate::form;
use crate::form::FormError;
use crate::rules;
use crate::rules::Rule;

/// What a partition has. A guest that runs in it gets all of that at its IPL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Version of this format.
    pub format: u32,
    /// Memory in MiB.
    pub memory_mib: NonZeroU64,
    /// Processors.
    pub cpus: NonZeroU32,
    /// Segments to attach, each as the verb `boot` takes it.
    #[serde(
        default,
        deserialize_with = "segments",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub segments: Vec<String>,
    /// What network cards are connected to, as QEMU's `-netdev` takes it.
    #[serde(
        default,
        deserialize_with = "nics",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nics: Vec<String>,
    /// The host name; the guest's name if it is missing.
    #[serde(
        default,
        deserialize_with = "hostname",
        skip_serializing_if = "Option::is_none"
    )]
    pub hostname: Option<String>,
    /// The machine-id; a new one at each IPL if it is missing.
    #[serde(
        default,
        deserialize_with = "machine_id",
        skip_serializing_if = "Option::is_none"
    )]
    pub machine_id: Option<String>,
    /// The trust group of the kernel that serves the partition; any if it is missing.
    #[serde(
        default,
        deserialize_with = "group",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<String>,
    /// What is added to the command line that user space sees; behind `=`, what replaces it.
    #[serde(
        default,
        deserialize_with = "parm",
        skip_serializing_if = "Option::is_none"
    )]
    pub parm: Option<String>,
    /// Whether the host keeps from backing the memory with huge pages.
    #[serde(default, skip_serializing_if = "is_false")]
    pub small_pages: bool,
    /// Whether a balloon is plugged, by which the guest gives memory back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub balloon: bool,
    /// Whether a channel is plugged, by which the guest's kernel gets messages.
    #[serde(default, skip_serializing_if = "is_false")]
    pub smsg: bool,
    /// Whether the partition may have what the host does not give.
    #[serde(default, skip_serializing_if = "is_false")]
    pub overcommit: bool,
    /// Disks.
    #[serde(default, rename = "disk", skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// What the guest is told otherwise, by its keys.
    #[serde(
        default,
        deserialize_with = "other",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub other: BTreeMap<String, String>,
}

/// A disk of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The image: qcow2 if its name ends so, else raw.
    #[serde(deserialize_with = "file")]
    pub file: PathBuf,
    /// Whether the guest cannot write to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub readonly: bool,
}

impl Resources {
    /// A partition that has memory and processors only.
    pub fn new(memory_mib: NonZeroU64, cpus: NonZeroU32) -> Self {
        Self {
            format: form::FORMAT,
            memory_mib,
            cpus,
            segments: Vec::new(),
            nics: Vec::new(),
            hostname: None,
            machine_id: None,
            group: None,
            parm: None,
            small_pages: false,
            balloon: false,
            smsg: false,
            overcommit: false,
            disks: Vec::new(),
            other: BTreeMap::new(),
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// When it is not of the form, or a value breaks a rule; the error says where.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        form::parse(text)
    }

    /// Returns the text of a file.
    pub(crate) fn to_text(&self) -> Result<String, FormError> {
        form::show(self)
    }

    /// Makes sure that the values keep the rules that those in a file must keep.
    ///
    /// # Errors
    ///
    /// What is wrong, with the name of the field.
    pub fn check(&self) -> Result<(), String> {
        let all = |field: &str, values: &[String], rule: fn(&str) -> Rule| {
            let checked = values.iter().try_for_each(|value| rule(value));
            checked.map_err(|error| format!("{field}: {error}"))
        };
        all("segments", &self.segments, rules::segment)?;
        all("nics", &self.nics, rules::nic)?;
        all("hostname", self.hostname.as_slice(), rules::hostname)?;
        all("machine_id", self.machine_id.as_slice(), rules::machine_id)?;
        all("group", self.group.as_slice(), rules::group)?;
        all("parm", self.parm.as_slice(), rules::value)?;
        for disk in &self.disks {
            rules::file(&disk.file).map_err(|error| format!("disk: {error}"))?;
        }
        check_other(&self.other).map_err(|error| format!("other: {error}"))
    }

    /// Returns the memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_mib.get().saturating_mul(1 << 20)
    }
}

fn check_other(pairs: &BTreeMap<String, String>) -> Rule {
    pairs
        .iter()
        .try_for_each(|(key, value)| rules::key(key).and_then(|()| rules::value(value)))
}

fn checked<'a, T, D>(from: D, rule: impl FnOnce(&T) -> Rule) -> Result<T, D::Error>
where
    T: Deserialize<'a>,
    D: Deserializer<'a>,
{
    let value = T::deserialize(from)?;
    rule(&value).map_err(D::Error::custom)?;
    Ok(value)
}

fn segments<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<String>, D::Error> {
    checked(from, |all: &Vec<String>| {
        all.iter().try_for_each(|one| rules::segment(one))
    })
}

fn nics<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<String>, D::Error> {
    checked(from, |all: &Vec<String>| {
        all.iter().try_for_each(|one| rules::nic(one))
    })
}

fn hostname<'a, D: Deserializer<'a>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, |text: &String| rules::hostname(text)).map(Some)
}

fn machine_id<'a, D: Deserializer<'a>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, |text: &String| rules::machine_id(text)).map(Some)
}

fn group<'a, D: Deserializer<'a>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, |text: &String| rules::group(text)).map(Some)
}

fn parm<'a, D: Deserializer<'a>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, |text: &String| rules::value(text)).map(Some)
}

fn file<'a, D: Deserializer<'a>>(from: D) -> Result<PathBuf, D::Error> {
    checked(from, |path: &PathBuf| rules::file(path))
}

fn other<'a, D: Deserializer<'a>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    checked(from, check_other)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const TEXT: &str = "\
format = 1
memory_mib = 1024
cpus = 2
segments = [\"USR\", \"PY:GCC\"]
nics = [\"user,mac=02:00:00:00:00:01\"]
hostname = \"web\"
machine_id = \"0123456789abcdef0123456789abcdef\"
parm = \"quiet\"
small_pages = true
balloon = true
smsg = true
overcommit = true

[[disk]]
file = \"/srv/web.img\"

[[disk]]
file = \"/srv/tools.qcow2\"
readonly = true

[other]
role = \"db\"
";

    pub(crate) fn resources(memory_mib: u64, cpus: u32) -> Resources {
        let (memory_mib, cpus) = (NonZeroU64::new(memory_mib), NonZeroU32::new(cpus));
        Resources::new(memory_mib.unwrap(), cpus.unwrap())
    }

    #[test]
    fn what_is_read_is_written() {
        let read = Resources::parse(TEXT).unwrap();
        assert_eq!(read.check(), Ok(()));
        assert_eq!(read.memory_bytes(), 1 << 30);
        assert_eq!(read.disks[1].file.to_str(), Some("/srv/tools.qcow2"));
        assert_eq!(read.to_text().unwrap(), TEXT);
        let small = resources(512, 1);
        let text = small.to_text().unwrap();
        assert_eq!(text, "format = 1\nmemory_mib = 512\ncpus = 1\n");
        assert_eq!(Resources::parse(&text).unwrap(), small);
    }

    #[test]
    fn damage_is_found_where_it_is() {
        for (old, new, expected) in [
            ("= 1024", "= 0", "line 2, column 14: "),
            ("= 1024", "= \"1G\"", "line 2, column 14: "),
            ("cpus = 2\n", "", "line 1, column 1: missing field `cpus`"),
            ("\"USR\", ", "\"USR\" ", "line 4, column 19: "),
            (
                "PY:GCC",
                "PY:",
                "line 4, column 12: \"PY:\" is not a segment",
            ),
            ("user,mac", "user,id=x,mac", "line 5, column 8: "),
            (
                "= \"web\"",
                "= \"w b\"",
                "line 6, column 12: \"w b\" is not a host name",
            ),
            ("abcdef\"", "abcdeX\"", "line 7, column 14: "),
            (
                "small_pages",
                "smallpages",
                "line 9, column 1: unknown field `smallpages`",
            ),
            ("= true", "= yes", "line 9, column 15: "),
            (
                "/srv/web.img",
                "web.img",
                "line 15, column 8: \"web.img\" is not the absolute path",
            ),
            (
                "readonly",
                "read_only",
                "line 19, column 1: unknown field `read_only`",
            ),
            (
                "role",
                "seed",
                "line 21, column 1: \"seed\" is a key that every guest is told",
            ),
        ] {
            let damaged = TEXT.replacen(old, new, 1);
            let error = Resources::parse(&damaged).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{new}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_a_file_could_not_say_is_refused_with_its_field() {
        type Change = fn(&mut Resources);
        let changes: [(Change, &str); 5] = [
            (|r| r.segments.push("A:".to_owned()), "segments: "),
            (|r| r.nics.push("id=x".to_owned()), "nics: "),
            (|r| r.hostname = Some(String::new()), "hostname: "),
            (|r| r.parm = Some("a\nb".to_owned()), "parm: "),
            (
                |r| drop(r.other.insert("mac0".to_owned(), String::new())),
                "other: ",
            ),
        ];
        for (change, expected) in changes {
            let mut resources = resources(512, 1);
            change(&mut resources);
            let error = resources.check().unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(Resources::parse(&resources.to_text().unwrap()).is_err());
        }
    }
}
