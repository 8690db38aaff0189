// SPDX-License-Identifier: GPL-2.0

//! The open files of a store, as long as they are locked.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_directory::Directory;
use onecopy_directory::Sharing;

use super::Damaged;
use super::Listed;
use super::Origin;
use super::Partition;
use crate::error::Error;
use crate::form::FormError;
use crate::host;
use crate::inventory::Inventory;
use crate::name::PartitionName;
use crate::resources::Resources;
use crate::table::Entry;
use crate::table::Table;
use crate::Result;

/// Names in the store.
pub(super) const DIRECTORY: &str = "partitions";
pub(super) const TABLE: &str = "table.toml";
pub(super) const INVENTORY: &str = "inventory.toml";
const RESOURCES: &str = "resources";

/// The open files; the directory is locked.
#[derive(Debug)]
pub(super) struct Files {
    directory: Directory,
    // Not there before the first partition is defined.
    resources: Option<Directory>,
}

impl Files {
    /// Opens the files to look at them; nothing if there are none.
    pub(super) fn look(root: &Path) -> Result<Option<Self>> {
        let Some(root) = Directory::open(root)? else {
            return Ok(None);
        };
        let Some(directory) = root.child(DIRECTORY)? else {
            return Ok(None);
        };
        directory.lock(Sharing::Shared)?;
        let resources = directory.child(RESOURCES)?;
        Ok(Some(Self {
            directory,
            resources,
        }))
    }

    /// Opens the files to change them.
    pub(super) fn change(root: &Path) -> Result<Self> {
        let directory = Directory::create(root)?.create_child(DIRECTORY)?;
        directory.lock(Sharing::Exclusive)?;
        let resources = Some(directory.create_child(RESOURCES)?);
        Ok(Self {
            directory,
            resources,
        })
    }

    pub(super) fn table(&self) -> Result<Table> {
        let Some(text) = self.directory.read(TABLE)? else {
            return Ok(Table::default());
        };
        Table::parse(&text).map_err(damaged(&self.directory.path(TABLE)))
    }

    pub(super) fn write(&self, table: &Table) -> Result<()> {
        let path = self.directory.path(TABLE);
        let text = table.to_text().map_err(damaged(&path))?;
        Ok(self.directory.replace(TABLE, &text)?)
    }

    pub(super) fn resources_path(&self, entry: &Entry) -> PathBuf {
        self.directory.path(RESOURCES).join(&entry.resources)
    }

    /// Returns the directory of the resources, which is there while something is changed.
    pub(super) fn resources(&self) -> Result<&Directory> {
        let path = self.directory.path(RESOURCES);
        let missing = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        self.resources.as_ref().ok_or_else(missing)
    }

    pub(super) fn partition(&self, name: &PartitionName, entry: &Entry) -> Result<Partition> {
        let path = self.resources_path(entry);
        let text = match &self.resources {
            Some(resources) => resources.read(&entry.resources)?,
            None => None,
        };
        let Some(text) = text else {
            let partition = name.clone();
            return Err(Error::NoResources { partition, path });
        };
        Ok(Partition {
            name: name.clone(),
            entry: entry.clone(),
            resources: Resources::parse(&text).map_err(damaged(&path))?,
            path,
        })
    }

    pub(super) fn list(&self) -> Result<Listed> {
        let mut listed = Listed::default();
        for (name, entry) in self.table()?.iter() {
            match self.partition(name, entry) {
                Ok(partition) => listed.partitions.push(partition),
                Err(error) => listed.damaged.push(Damaged {
                    name: name.clone(),
                    entry: entry.clone(),
                    error,
                }),
            }
        }
        Ok(listed)
    }

    pub(super) fn inventory(&self) -> Result<(Inventory, Origin)> {
        let Some(text) = self.directory.read(INVENTORY)? else {
            return Ok((of_host()?, Origin::Host));
        };
        let path = self.directory.path(INVENTORY);
        let inventory = Inventory::parse(&text, of_host()?).map_err(damaged(&path))?;
        Ok((inventory, Origin::File(path)))
    }

    /// Makes sure that there is room for a partition beside the others in a table. What a damaged
    /// file takes is not known, so none may be.
    pub(super) fn check_room(
        &self,
        name: &PartitionName,
        wanted: &Resources,
        table: &Table,
    ) -> Result<()> {
        let mut others = Vec::new();
        for (other, entry) in table.iter().filter(|(other, _)| *other != name) {
            others.push((other.clone(), self.partition(other, entry)?.resources));
        }
        admit(&self.inventory()?.0, name, wanted, others)
    }
}

pub(super) fn admit(
    inventory: &Inventory,
    name: &PartitionName,
    wanted: &Resources,
    mut others: Vec<(PartitionName, Resources)>,
) -> Result<()> {
    others.retain(|(other, _)| other != name);
    let admitted = inventory.admit(wanted, &others);
    admitted.map_err(|source| Error::Shortage {
        partition: name.clone(),
        source,
    })
}

pub(super) fn of_host() -> Result<Inventory> {
    host::inventory().map_err(Error::io("read", Path::new(host::source())))
}

pub(super) fn damaged(path: &Path) -> impl FnOnce(FormError) -> Error {
    let path = path.to_owned();
    move |source| Error::Damaged { path, source }
}
