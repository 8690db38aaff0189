// SPDX-License-Identifier: GPL-2.0

//! The partitions of a store: the files, and who may change them when.

mod files;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_format::segment_space::Name;
use onecopy_system::Guests;

use self::files::admit;
use self::files::damaged;
use self::files::of_host;
use self::files::Files;
use crate::error::Error;
use crate::inventory::Inventory;
use crate::name::PartitionName;
use crate::resources::Resources;
use crate::table::Entry;
use crate::table::Table;
use crate::Result;

/// The partitions of a store.
#[derive(Debug, Clone)]
pub struct Partitions {
    root: PathBuf,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: PartitionName,
    /// Its line in the table.
    pub entry: Entry,
    /// What the line points to.
    pub resources: Resources,
    /// The file of that.
    pub path: PathBuf,
}

/// A partition whose resources cannot be read.
#[derive(Debug)]
pub struct Damaged {
    /// Its name.
    pub name: PartitionName,
    /// Its line in the table.
    pub entry: Entry,
    /// Why they cannot.
    pub error: Error,
}

/// All partitions of a store.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that can be used, by name.
    pub partitions: Vec<Partition>,
    /// The others.
    pub damaged: Vec<Damaged>,
}

/// Where an inventory is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The host itself.
    Host,
    /// This file, and the host for what it leaves open.
    File(PathBuf),
}

/// What is to be defined.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The name of the partition.
    pub name: PartitionName,
    /// The kernel that is to serve it; that of a partition that is replaced stays.
    pub kernel: Name,
    /// What it is to have.
    pub resources: Resources,
    /// Whether there is such a partition, which gets other resources.
    pub replace: bool,
}

/// A change of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The line before.
    pub before: Entry,
    /// The partition as it is now.
    pub after: Partition,
}

impl Partitions {
    /// Uses the partitions of the store at `root`; there may be none yet.
    pub fn open(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns all partitions.
    ///
    /// # Errors
    ///
    /// When the table cannot be read or is damaged. A store without one has no partitions.
    pub fn list(&self) -> Result<Listed> {
        match Files::look(&self.root)? {
            Some(files) => files.list(),
            None => Ok(Listed::default()),
        }
    }

    /// Returns a partition.
    ///
    /// # Errors
    ///
    /// When there is none of this name (the error lists those that there are), or a file is damaged.
    pub fn find(&self, name: &PartitionName) -> Result<Partition> {
        let Some(files) = Files::look(&self.root)? else {
            return Err(Error::Unknown {
                partition: name.clone(),
                existing: Vec::new(),
            });
        };
        files.partition(name, files.table()?.entry(name)?)
    }

    /// Returns the line of a partition, also if its resources cannot be read.
    ///
    /// # Errors
    ///
    /// When there is none of this name, or the table is damaged.
    pub fn entry(&self, name: &PartitionName) -> Result<Entry> {
        let table = match Files::look(&self.root)? {
            Some(files) => files.table()?,
            None => Table::default(),
        };
        table.entry(name).cloned()
    }

    /// Returns what the host gives to all partitions together, and who says so.
    ///
    /// # Errors
    ///
    /// When the inventory is damaged, or the host does not say what it has.
    pub fn inventory(&self) -> Result<(Inventory, Origin)> {
        match Files::look(&self.root)? {
            Some(files) => files.inventory(),
            None => Ok((of_host()?, Origin::Host)),
        }
    }

    /// Makes sure that the host can give a partition what it has beside the others; one whose
    /// resources cannot be read cannot be started and does not count.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit(&self, partition: &Partition) -> Result<()> {
        let others = self.list()?.partitions.into_iter();
        let others = others.map(|other| (other.name, other.resources));
        admit(
            &self.inventory()?.0,
            &partition.name,
            &partition.resources,
            others.collect(),
        )
    }

    /// Defines a partition, or gives one that there is other resources.
    ///
    /// # Errors
    ///
    /// When there is one already, or none to replace, when the host does not give so much, when a
    /// file is damaged, or when it cannot be written. All is then as it was.
    pub fn define(&self, definition: &Definition) -> Result<Partition> {
        let name = &definition.name;
        let invalid = |reason| Error::Invalid {
            partition: name.clone(),
            reason,
        };
        definition.resources.check().map_err(invalid)?;
        let files = Files::change(&self.root)?;
        let mut table = files.table()?;
        if definition.replace {
            let kernel = table.entry(name)?.kernel;
            if kernel != definition.kernel {
                let partition = name.clone();
                return Err(Error::OtherKernel { partition, kernel });
            }
        } else {
            table.define(name, definition.kernel, now())?;
        }
        let entry = table.entry(name)?.clone();
        files.check_room(name, &definition.resources, &table)?;
        let text = definition.resources.to_text();
        let text = text.map_err(damaged(&files.resources_path(&entry)))?;
        // The resources first: what no line points to is nothing yet.
        files.resources()?.replace(&entry.resources, &text)?;
        if !definition.replace {
            files.write(&table)?;
        }
        files.partition(name, &entry)
    }

    /// Lets another kernel serve a partition from its next IPL on. If it is the same one, nothing
    /// changes.
    ///
    /// # Errors
    ///
    /// When there is no such partition, or a file cannot be used; all is then as it was.
    pub fn upgrade(&self, name: &PartitionName, kernel: Name) -> Result<Upgrade> {
        self.change_kernel(name, |table| table.upgrade(name, kernel, now()).map(drop))
    }

    /// Undoes the last upgrade of a partition.
    ///
    /// # Errors
    ///
    /// When there is no such partition, it was not upgraded, or a file cannot be used; all is then as
    /// it was.
    pub fn rollback(&self, name: &PartitionName) -> Result<Upgrade> {
        self.change_kernel(name, |table| table.rollback(name, now()))
    }

    /// Takes a change of a kernel back, unless somebody has changed the line again. Returns whether
    /// it was so.
    ///
    /// # Errors
    ///
    /// When a file cannot be used.
    pub fn restore(&self, upgrade: &Upgrade) -> Result<bool> {
        let files = Files::change(&self.root)?;
        let mut table = files.table()?;
        let (after, before) = (&upgrade.after, upgrade.before.clone());
        let restored = table.restore(&after.name, &after.entry, before);
        if restored {
            files.write(&table)?;
        }
        Ok(restored)
    }

    /// Removes a partition that no guest runs in, with its resources, and returns its line.
    ///
    /// # Errors
    ///
    /// When there is no such partition, a guest runs in it, or a file cannot be used.
    pub fn remove(&self, name: &PartitionName, guests: &Guests) -> Result<Entry> {
        let files = Files::change(&self.root)?;
        let mut table = files.table()?;
        let entry = table.remove(name)?;
        if let Some(record) = guests.occupant(name.as_guest(), &self.root)? {
            return Err(Error::InUse {
                partition: name.clone(),
                guest: record.guest,
            });
        }
        files.write(&table)?;
        // Unless somebody has let another line point to it.
        if table
            .iter()
            .all(|(_, other)| other.resources != entry.resources)
        {
            files.resources()?.remove(&entry.resources)?;
        }
        Ok(entry)
    }

    fn change_kernel(
        &self,
        name: &PartitionName,
        change: impl FnOnce(&mut Table) -> Result<()>,
    ) -> Result<Upgrade> {
        let files = Files::change(&self.root)?;
        let mut table = files.table()?;
        let before = table.entry(name)?.clone();
        change(&mut table)?;
        let after = files.partition(name, table.entry(name)?)?;
        if after.entry != before {
            files.write(&table)?;
        }
        Ok(Upgrade { before, after })
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
