// SPDX-License-Identifier: GPL-2.0

//! The table: which kernel serves which partition, and where the partition's resources are.
//!
//! It changes in these ways only:
//!
//! 1. A partition is defined: it has a kernel and a file of resources.
//! 2. It is upgraded: its kernel becomes the previous one, and nothing else changes.
//! 3. It is rolled back: the previous kernel serves it again, and there is no previous one.
//! 4. It is removed.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use onecopy_format::segment_space::Name;
use serde::de::Error as _;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

use crate::error::Error;
use crate::form;
use crate::form::FormError;
use crate::name::PartitionName;
use crate::Result;

/// What the names of files with resources end in.
const SUFFIX: &str = ".toml";

/// The table of all partitions of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    format: u32,
    #[serde(default, rename = "partition")]
    entries: BTreeMap<PartitionName, Entry>,
}

/// The line of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The identifier of the kernel that serves it: the name of a saved system.
    #[serde(serialize_with = "show", deserialize_with = "name")]
    pub kernel: Name,
    /// The kernel that served it before the last upgrade, to which it can be rolled back.
    #[serde(
        default,
        serialize_with = "show_some",
        deserialize_with = "some_name",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<Name>,
    /// The pointer to its resources: the name of a file in the directory of these.
    #[serde(deserialize_with = "file_name")]
    pub resources: String,
    /// When this line was changed, in seconds since 1970.
    pub changed_unix_seconds: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            format: form::FORMAT,
            entries: BTreeMap::new(),
        }
    }
}

impl Table {
    /// Reads the text of a table.
    ///
    /// # Errors
    ///
    /// When it is not of the form; the error says where.
    pub fn parse(text: &str) -> std::result::Result<Self, FormError> {
        form::parse(text)
    }

    pub(crate) fn to_text(&self) -> std::result::Result<String, FormError> {
        form::show(self)
    }

    /// Returns all partitions with their lines, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&PartitionName, &Entry)> {
        self.entries.iter()
    }

    /// Returns the line of a partition.
    ///
    /// # Errors
    ///
    /// When there is no such partition; the error lists those that there are.
    pub fn entry(&self, partition: &PartitionName) -> Result<&Entry> {
        let entry = self.entries.get(partition);
        entry.ok_or_else(|| self.unknown(partition))
    }

    /// Adds a partition.
    ///
    /// # Errors
    ///
    /// When there is one of this name.
    pub fn define(&mut self, partition: &PartitionName, kernel: Name, now: u64) -> Result<()> {
        if self.entries.contains_key(partition) {
            return Err(Error::Exists(partition.clone()));
        }
        let entry = Entry {
            kernel,
            previous: None,
            resources: format!("{partition}{SUFFIX}"),
            changed_unix_seconds: now,
        };
        self.entries.insert(partition.clone(), entry);
        Ok(())
    }

    /// Changes the kernel of a partition, and returns whether it was another one.
    ///
    /// # Errors
    ///
    /// When there is no such partition.
    pub fn upgrade(&mut self, partition: &PartitionName, kernel: Name, now: u64) -> Result<bool> {
        let entry = self.entry_mut(partition)?;
        if entry.kernel == kernel {
            return Ok(false);
        }
        entry.previous = Some(std::mem::replace(&mut entry.kernel, kernel));
        entry.changed_unix_seconds = now;
        Ok(true)
    }

    /// Gives a partition back the kernel that it had before its last upgrade.
    ///
    /// # Errors
    ///
    /// When there is no such partition, or it was not upgraded since it was defined or rolled back.
    pub fn rollback(&mut self, partition: &PartitionName, now: u64) -> Result<()> {
        let entry = self.entry_mut(partition)?;
        let Some(previous) = entry.previous.take() else {
            return Err(Error::NothingToRollBack {
                partition: partition.clone(),
                kernel: entry.kernel,
            });
        };
        entry.kernel = previous;
        entry.changed_unix_seconds = now;
        Ok(())
    }

    /// Gives a partition back a line that it had, unless it has another one by now than expected.
    /// Returns whether it was so.
    pub(crate) fn restore(
        &mut self,
        partition: &PartitionName,
        expected: &Entry,
        entry: Entry,
    ) -> bool {
        match self.entries.get_mut(partition) {
            Some(found) if found == expected => {
                *found = entry;
                true
            }
            _ => false,
        }
    }

    /// Removes a partition, and returns its line.
    ///
    /// # Errors
    ///
    /// When there is no such partition.
    pub fn remove(&mut self, partition: &PartitionName) -> Result<Entry> {
        let removed = self.entries.remove(partition);
        removed.ok_or_else(|| self.unknown(partition))
    }

    fn entry_mut(&mut self, partition: &PartitionName) -> Result<&mut Entry> {
        if !self.entries.contains_key(partition) {
            return Err(self.unknown(partition));
        }
        let entry = self.entries.get_mut(partition);
        entry.ok_or_else(|| Error::Unknown {
            partition: partition.clone(),
            existing: Vec::new(),
        })
    }

    fn unknown(&self, partition: &PartitionName) -> Error {
        Error::Unknown {
            partition: partition.clone(),
            existing: self.entries.keys().cloned().collect(),
        }
    }
}

fn show<S: Serializer>(name: &Name, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(name)
}

fn show_some<S: Serializer>(name: &Option<Name>, to: S) -> std::result::Result<S::Ok, S::Error> {
    match name {
        Some(name) => to.collect_str(name),
        None => to.serialize_none(),
    }
}

fn name<'a, D: Deserializer<'a>>(from: D) -> std::result::Result<Name, D::Error> {
    let text = String::deserialize(from)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("{text:?} is not a saved system: {error}")))
}

fn some_name<'a, D: Deserializer<'a>>(from: D) -> std::result::Result<Option<Name>, D::Error> {
    name(from).map(Some)
}

/// A pointer cannot lead out of the directory, and not to a file that is hidden.
fn file_name<'a, D: Deserializer<'a>>(from: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let stem = text.strip_suffix(SUFFIX).unwrap_or_default();
    match stem.parse::<PartitionName>() {
        Ok(_) => Ok(text),
        Err(_) => Err(D::Error::custom(format!(
            "{text:?} is not the name of a file with resources, such as web.toml"
        ))),
    }
}
