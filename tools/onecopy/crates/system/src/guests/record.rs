// SPDX-License-Identifier: GPL-2.0

//! What is known about a guest that runs.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::replace;
use onecopy_directory::Directory;
use onecopy_directory::Manner;
use onecopy_directory::Misplaced;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use serde::Deserialize;
use serde::Serialize;

use super::GuestName;
use crate::error::Error;
use crate::nic::MacAddress;
use crate::process::Process;
use crate::spaces::Attachment;
use crate::text;
use crate::Result;

/// Name of the file.
pub(super) const FILE: &str = "guest.toml";

/// A record that is there, and says nothing that we understand.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] onecopy_directory::Error),
    /// Its text is not a record of our version.
    #[error(transparent)]
    Form(Misplaced),
}

/// What is known about a guest.
// What a later version has written is not understood rather than lost when the record is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name.
    #[serde(with = "text")]
    pub guest: GuestName,
    /// The saved system that it was started from.
    #[serde(with = "text")]
    pub system: Name,
    /// The generation of that.
    pub generation: u64,
    /// Its trust group, which is that of the generation.
    #[serde(default, with = "text")]
    pub group: Group,
    /// The partition that it runs in, if it was started for one; partitions are named as guests are.
    #[serde(
        default,
        with = "text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub partition: Option<GuestName>,
    /// The store that this is in.
    pub store: PathBuf,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// Its processors.
    pub cpus: u32,
    /// The addresses of its network cards, in the order in which they were asked for.
    #[serde(default)]
    pub mac_addresses: Vec<MacAddress>,
    /// Whether it has said that it has its identity.
    pub ready: bool,
    /// The process that keeps it.
    pub keeper: Process,
    /// Its QEMU, as soon as that runs.
    pub qemu: Option<Process>,
    /// The segment spaces that it has, in the order in which it got them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

impl Record {
    /// Makes the record of a guest that a process keeps.
    pub(crate) fn new(
        guest: GuestName,
        system: Name,
        generation: u64,
        store: &Path,
        keeper: Process,
    ) -> Self {
        Self {
            guest,
            system,
            generation,
            group: Group::default(),
            partition: None,
            store: store.to_owned(),
            memory_bytes: 0,
            cpus: 1,
            mac_addresses: Vec::new(),
            ready: false,
            keeper,
            qemu: None,
            attachments: Vec::new(),
        }
    }

    /// Returns how the guest has a generation of a segment space in a store, if it has it.
    pub fn uses(&self, space: Name, generation: u64, store: &Path) -> Option<&Attachment> {
        let is_it = |attachment: &&Attachment| {
            (attachment.space, attachment.generation) == (space, generation)
        };
        let here = (self.store == store).then_some(&self.attachments)?;
        here.iter().find(is_it)
    }

    /// Reads the record in the directory of a guest; [`None`] if there is none.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read or is not understood: its guest may run.
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>> {
        let read = || match directory.read(FILE)? {
            Some(text) => parse(&text).map(Some),
            None => Ok(None),
        };
        read().map_err(|source| Error::Record {
            path: directory.path(FILE),
            source,
        })
    }

    /// As [`Self::read`], with the path of the directory, and [`None`] for a record that is not
    /// understood.
    pub(crate) fn read_at(path: &Path) -> Option<Self> {
        Self::read(&Directory::open(path).ok()??).ok()?
    }

    /// Writes the record.
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        // Others may read at any time, so the file appears complete or not at all.
        replace(&directory.join(FILE), text.as_bytes(), Manner::PRIVATE)
    }
}

/// Reads the record in the directory of a guest, neither of which may be a link. What is no directory is
/// no guest.
pub(super) fn read_in(directory: &Directory, name: &str) -> Result<Option<Record>> {
    use onecopy_directory::Error;

    match directory.child(name) {
        Ok(Some(directory)) => Record::read(&directory),
        Ok(None) | Err(Error::Link(_)) => Ok(None),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn parse(text: &str) -> std::result::Result<Record, RecordError> {
    toml::from_str(text).map_err(|error| RecordError::Form(Misplaced::of(&error, text)))
}
