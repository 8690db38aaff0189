// SPDX-License-Identifier: GPL-2.0

//! Names and directories for new guests.

use std::fs;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use onecopy_directory::Directory;
use onecopy_format::segment_space::Name;
use onecopy_store::Lock;

use super::record::read_in;
use super::remove_if_there;
use super::Claim;
use super::GuestName;
use super::Guests;
use super::Record;
use crate::error::Error;
use crate::Result;

impl Guests {
    /// Makes the directory of a new guest: of this name, or of the first free one that is made of
    /// the name of the saved system and a number.
    ///
    /// `record` is what is to be known about the guest with that name.
    pub(crate) fn claim(
        &self,
        guest: Option<&GuestName>,
        system: Name,
        record: impl Fn(&GuestName) -> Record,
    ) -> Result<Claim> {
        self.create()?;
        let _lock = Lock::exclusive(&self.directory)?;
        let name = match guest {
            Some(guest) if self.is_free(guest)? => guest.clone(),
            Some(guest) => return Err(Error::GuestExists(guest.clone())),
            None => self.free_name(system)?,
        };
        let record = record(&name);
        self.check_partition(&record)?;
        let path = self.directory(&name);
        let create = || {
            remove_if_there(&path)?;
            DirBuilder::new().mode(0o700).create(&path)
        };
        create().map_err(Error::io("create", &path))?;
        if let Err(error) = record.write(&path) {
            // The disk may be full: nothing of it stays. We have the lock.
            let _ = fs::remove_dir_all(&path);
            return Err(Error::io("write to", &path)(error));
        }
        Ok(Claim::new(name, path, record.keeper))
    }

    /// Makes sure that no other guest runs in the partition. The caller has the lock.
    fn check_partition(&self, record: &Record) -> Result<()> {
        let Some(partition) = &record.partition else {
            return Ok(());
        };
        match self.occupant(partition, &record.store)? {
            Some(other) => Err(Error::PartitionRuns {
                partition: partition.clone(),
                guest: other.guest,
            }),
            None => Ok(()),
        }
    }

    /// Returns whether no guest of this name runs. Where that is not known nothing may be removed.
    fn is_free(&self, guest: &GuestName) -> Result<bool> {
        let Some(directory) = Directory::open(&self.directory)? else {
            return Ok(true);
        };
        let record = read_in(&directory, guest.as_str())?;
        Ok(!record.is_some_and(|record| record.keeper.is_alive()))
    }

    fn free_name(&self, system: Name) -> Result<GuestName> {
        let mut number = 1;
        loop {
            let name = GuestName::numbered(system, number);
            match self.is_free(&name) {
                // There are more numbers than processes.
                Ok(true) => return Ok(name),
                Ok(false) | Err(Error::Record { .. }) => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}
