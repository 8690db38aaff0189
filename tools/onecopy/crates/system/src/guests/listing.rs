// SPDX-License-Identifier: GPL-2.0

//! The guests that run, as their records say.

use std::path::Path;

use super::record::read_in;
use super::GuestName;
use super::Guests;
use super::Record;
use crate::error::Error;
use crate::Result;

/// What there is below a run directory.
#[derive(Debug, Default)]
pub struct Listed {
    /// The guests that run, by name.
    pub guests: Vec<Record>,
    /// Those of which that is not known, by name.
    pub unknown: Vec<Unknown>,
}

/// A guest whose record is damaged, or that of a later version: it may run.
#[derive(Debug)]
pub struct Unknown {
    /// Its name.
    pub guest: GuestName,
    /// Why it is not known.
    pub error: Error,
}

impl Guests {
    /// Returns the guests that run, by name, without those whose record is not understood.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Record>> {
        Ok(self.examine()?.guests)
    }

    /// Returns the guests that run, and those that may.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read. One that does not exist is empty.
    pub fn examine(&self) -> Result<Listed> {
        let mut listed = Listed::default();
        let Some(directory) = self.look()? else {
            return Ok(listed);
        };
        for name in directory.names()? {
            let guest = name
                .to_str()
                .and_then(|name| name.parse::<GuestName>().ok());
            let Some(guest) = guest else { continue };
            match read_in(&directory, guest.as_str()) {
                Ok(Some(record)) if record.keeper.is_alive() => listed.guests.push(record),
                // What is not a directory with a record is no guest, or one that is just coming.
                Ok(_) => {}
                Err(error) => listed.unknown.push(Unknown { guest, error }),
            }
        }
        listed
            .guests
            .sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        listed
            .unknown
            .sort_unstable_by(|one, other| one.guest.cmp(&other.guest));
        Ok(listed)
    }

    /// Returns a guest that runs.
    ///
    /// # Errors
    ///
    /// When it does not (the error lists those that do), or its record is not understood.
    pub fn find(&self, guest: &GuestName) -> Result<Record> {
        let Listed { guests, unknown } = self.examine()?;
        if let Some(unknown) = unknown.into_iter().find(|other| other.guest == *guest) {
            return Err(unknown.error);
        }
        let found = guests.iter().find(|record| record.guest == *guest);
        found.cloned().ok_or_else(|| Error::NoGuest {
            guest: guest.clone(),
            existing: guests.into_iter().map(|record| record.guest).collect(),
        })
    }

    /// Returns the guest that runs in a partition of a store, if one does.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn serving(&self, partition: &GuestName, store: &Path) -> Result<Option<Record>> {
        let is_it =
            |record: &Record| record.partition.as_ref() == Some(partition) && record.store == store;
        Ok(self.list()?.into_iter().find(is_it))
    }

    /// As [`Self::serving`], for who is going to change the partition: it must be known that no guest runs
    /// in it.
    ///
    /// # Errors
    ///
    /// As there, and when a record is not understood: its guest may run in the partition.
    pub fn occupant(&self, partition: &GuestName, store: &Path) -> Result<Option<Record>> {
        if let Some(record) = self.serving(partition, store)? {
            return Ok(Some(record));
        }
        let unknown = self.examine()?.unknown.into_iter().next();
        unknown.map_or(Ok(None), |unknown| Err(unknown.error))
    }
}
