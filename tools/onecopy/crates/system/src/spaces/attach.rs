// SPDX-License-Identifier: GPL-2.0

//! Attaching a segment space to a guest that runs.
//!
//! QEMU gets an open file that holds the generation, so that it stays for as long as QEMU lives. What the
//! guest has is in its record from before it is plugged: if we are killed in between, too much is said
//! there, which the next one that attaches corrects.

use std::os::fd::AsFd;

use onecopy_machine::options::Access;
use onecopy_machine::options::MemoryBackendFile;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::QmpError;
use onecopy_machine::SegmentDevice;
use onecopy_store::Space;
use serde_json::json;

use super::Attachment;
use crate::control::Running;
use crate::control::Session;
use crate::control::ANSWER_TIMEOUT;
use crate::control::PERIPHERALS;
use crate::control::ROOT_PORT;
use crate::error::Error;
use crate::guests::Record;
use crate::plug::object;
use crate::Result;

/// What the names of the links begin with that a bus has to what is plugged there.
const CHILD: &str = "child[";

impl Running {
    /// Plugs a segment space that is [held](Space::hold), and says so in the guest's record. One that the
    /// guest had let go of is there still, and only said to be attached again.
    ///
    /// # Errors
    ///
    /// When the guest is not ready or has ended, has one with such a name, has no free port or no room, or
    /// its QEMU does not answer. The guest is then as it was, unless QEMU carries out later what it has not
    /// answered; the generation is held for that case.
    pub fn attach(&self, space: &Space, device: &SegmentDevice) -> Result<Attachment> {
        let _lock = self.lock_running()?;
        let mut record = self.read_record()?;
        if !record.ready {
            return Err(Error::Starting(record.guest));
        }
        let mut session = self.session(ANSWER_TIMEOUT)?;
        let peripherals = list(&mut session, PERIPHERALS)?;
        record
            .attachments
            .retain(|attachment| peripherals.contains(&attachment.device));
        let non_shared = device.access == Access::Private;
        if let Some(again) = take_again(&mut record, space, non_shared) {
            self.write_record(&record)?;
            return Ok(again);
        }
        check_names(&record, space)?;
        let port = free_port(&mut session, &peripherals)?.ok_or_else(|| Error::NoPort {
            guest: record.guest.clone(),
        })?;
        let attachment = Attachment::new(space, format!("pmem{port}"), non_shared);
        record.attachments.push(attachment.clone());
        self.write_record(&record)?;
        match plug(&mut session, space, device, &port) {
            Err(Error::Monitor {
                source: QmpError::Refused { description, .. },
                guest,
            }) => {
                record.attachments.pop();
                self.write_record(&record)?;
                Err(Error::NotAttached {
                    guest,
                    space: space.name(),
                    reason: description,
                })
            }
            plugged => plugged.map(|()| attachment),
        }
    }

    /// Reads what is known by now, while we have the lock.
    pub(crate) fn read_record(&self) -> Result<Record> {
        let record = Record::read_at(self.directory());
        let alive = record.filter(|record| record.keeper.is_alive());
        alive.ok_or_else(|| Error::Gone(self.record().guest.clone()))
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        let directory = self.directory();
        record
            .write(directory)
            .map_err(Error::io("write to", directory))
    }

    /// Keeps others from changing what the guest has, if it has not ended.
    pub(crate) fn lock_running(&self) -> Result<onecopy_store::Lock> {
        self.lock().map_err(|error| {
            if self.directory().exists() {
                return error;
            }
            Error::Gone(self.record().guest.clone())
        })
    }
}

/// Says that a space is attached again that the guest has let go of, if this is the one.
fn take_again(record: &mut Record, space: &Space, non_shared: bool) -> Option<Attachment> {
    let wanted = (space.name(), space.generation(), non_shared);
    let found = record.attachments.iter_mut().find(|attachment| {
        let is = (
            attachment.space,
            attachment.generation,
            attachment.non_shared,
        );
        attachment.detached && is == wanted
    })?;
    found.detached = false;
    Some(found.clone())
}

/// Makes sure that the guest, which knows names of members only, does not have one of these. What it has let
/// go of it can still see.
fn check_names(record: &Record, space: &Space) -> Result<()> {
    for attachment in &record.attachments {
        let taken = |name| attachment.members.contains(name);
        let names: Vec<_> = space.members().iter().map(|member| member.name).collect();
        if attachment.space == space.name() {
            return Err(Error::Attached {
                guest: record.guest.clone(),
                space: attachment.space,
                generation: attachment.generation,
                detached: attachment.detached,
            });
        }
        if let Some(&member) = names.iter().find(|name| taken(name)) {
            return Err(Error::SameMember {
                guest: record.guest.clone(),
                member,
                space: attachment.space,
            });
        }
    }
    Ok(())
}

fn list(session: &mut Session, path: &str) -> Result<Vec<String>> {
    let path = path.to_owned();
    let properties = session.ask(&commands::QomList { path })?;
    Ok(properties.into_iter().map(|one| one.name).collect())
}

/// Returns the number of the first root port that nothing is plugged into.
fn free_port(session: &mut Session, peripherals: &[String]) -> Result<Option<String>> {
    let number = |name: &String| -> Option<u32> { name.strip_prefix(ROOT_PORT)?.parse().ok() };
    let mut ports: Vec<u32> = peripherals.iter().filter_map(number).collect();
    ports.sort_unstable();
    for port in ports {
        // The bus has the name of its port.
        let bus = format!("{PERIPHERALS}/{ROOT_PORT}{port}/{ROOT_PORT}{port}");
        let is_free = !list(session, &bus)?
            .iter()
            .any(|name| name.starts_with(CHILD));
        // An id of ours, of a device that somebody has plugged elsewhere, is taken.
        if is_free && !peripherals.contains(&format!("pmem{port}")) {
            return Ok(Some(port.to_string()));
        }
    }
    Ok(None)
}

/// Plugs the device; what QEMU refuses leaves nothing.
fn plug(session: &mut Session, space: &Space, device: &SegmentDevice, port: &str) -> Result<()> {
    let memdev = format!("seg{port}");
    let opaque = device.path.display().to_string();
    let held = session.ask_with(&commands::AddFd { opaque }, space.file().as_fd())?;
    let backend =
        MemoryBackendFile::segment(&memdev, &device.path, device.size_bytes, device.access);
    let plugged = session.ask(&backend.object_add()).and_then(|_| {
        let plugged = session.ask(&commands::DeviceAdd {
            driver: "virtio-pmem-pci".to_owned(),
            id: format!("pmem{port}"),
            bus: Some(format!("{ROOT_PORT}{port}")),
            properties: object(json!({ "memdev": memdev })),
        });
        take_back(plugged, || {
            session.ask(&commands::ObjectDel { id: memdev.clone() })
        })
    });
    take_back(plugged, || {
        session.ask(&commands::RemoveFd {
            fdset_id: held.fdset_id,
        })
    })?;
    Ok(())
}

/// Takes back what was done before something that QEMU has refused. If it was not answered, it may be done
/// all the same.
fn take_back<T, U>(result: Result<T>, back: impl FnOnce() -> Result<U>) -> Result<T> {
    if let Err(Error::Monitor {
        source: QmpError::Refused { .. },
        ..
    }) = &result
    {
        // The refusal is what there is to say.
        let _ = back();
    }
    result
}
