// SPDX-License-Identifier: GPL-2.0

//! Attaching a segment space to a guest that runs.
//!
//! QEMU gets an open file that holds the generation, so that it stays for as long as QEMU lives. What the
//! guest has is in its record from before it is plugged: if we are killed in between, too much is said
//! there, which the next one that attaches corrects.

use std::os::fd::AsFd;

use onecopy_format::segment_space::Name;
use onecopy_machine::options::Access;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::QmpError;
use onecopy_machine::Interrupt;
use onecopy_machine::SegmentDevice;
use onecopy_store::Lock;
use onecopy_store::Space;

use super::leftover;
use super::private;
use super::Attachment;
use super::SpaceError;
use crate::control::Running;
use crate::control::Session;
use crate::control::ANSWER_TIMEOUT;
use crate::control::PERIPHERALS;
use crate::control::ROOT_PORT;
use crate::error::Error;
use crate::guests::Record;
use crate::plug::segment_at;
use crate::plug::SEGMENT_BACKEND;
use crate::plug::SEGMENT_DEVICE;
use crate::Result;

/// What the names of the links begin with that a bus has to what is plugged there.
const CHILD: &str = "child[";

impl Running {
    /// Plugs a segment space that is [held](Space::hold), and says so in the guest's record. One that the
    /// guest had let go of is there still, and only said to be attached again. With `non_shared` the guest
    /// gets a private copy, in which it may write to all members. Who calls this has the guest's
    /// [lock](Self::lock_running).
    ///
    /// # Errors
    ///
    /// When the guest is not ready or has ended, has one with such a name, has no free port or no room, its
    /// QEMU does not answer, or the interrupt comes. The guest is then as it was, unless QEMU carries out later what it has not
    /// answered; the generation is held for that case.
    pub fn attach(
        &self,
        _lock: &Lock,
        space: &Space,
        device: &SegmentDevice,
        non_shared: bool,
        interrupt: &Interrupt,
    ) -> Result<Attachment> {
        let mut record = self.read_record()?;
        if !record.ready {
            return Err(Error::Starting(record.guest));
        }
        let mut session = self.session(ANSWER_TIMEOUT)?;
        let peripherals = list(&mut session, PERIPHERALS)?;
        record
            .attachments
            .retain(|attachment| peripherals.contains(&attachment.device));
        if let Some(again) = take_again(&mut record, space, non_shared) {
            self.write_record(&record)?;
            return Ok(again);
        }
        check_names(&record, space)?;
        let backends = leftover::remove(&mut session, &peripherals, &record.store)?;
        let port = free_port(&mut session, &peripherals, &backends)?;
        let port = port.ok_or_else(|| SpaceError::NoPort {
            guest: record.guest.clone(),
        })?;
        self.lend(&device.path, device.access == Access::Shared && !non_shared)?;
        let attachment = Attachment::new(space, format!("{SEGMENT_DEVICE}{port}"), non_shared);
        record.attachments.push(attachment.clone());
        self.write_record(&record)?;
        let plug = Plug {
            space,
            device,
            port,
            private_of: non_shared.then_some(&record),
            interrupt,
        };
        if let Err(error) = plug.carry_out(&mut session) {
            if is_known(&error) {
                record.attachments.pop();
                // What has failed first is what there is to say; the next attach corrects the record.
                let _ = self.write_record(&record);
            }
            return Err(refused(error, space));
        }
        Ok(attachment)
    }

    /// Returns how the guest has a segment space, or that of which this is a member.
    ///
    /// # Errors
    ///
    /// When it has none of that name.
    pub fn attachment(&self, name: Name) -> Result<Attachment> {
        let is_it = |attachment: &Attachment| {
            attachment.space == name || attachment.members.contains(&name)
        };
        let record = self.read_record()?;
        let found = record.attachments.into_iter().find(is_it);
        let guest = record.guest;
        found.ok_or_else(|| SpaceError::NoSegment { guest, name }.into())
    }

    /// Says in the guest's record that it has let go of a segment space. Who calls this has the guest's
    /// [lock](Self::lock_running).
    ///
    /// # Errors
    ///
    /// When it has ended, or the record cannot be written.
    pub fn set_detached(&self, _lock: &Lock, space: Name) -> Result<()> {
        let mut record = self.read_record()?;
        for attachment in &mut record.attachments {
            attachment.detached |= attachment.space == space;
        }
        self.write_record(&record)
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

    /// Keeps others from changing what the guest has, if it has not ended. What it is told belongs to that:
    /// otherwise the record could say something else than the guest.
    ///
    /// # Errors
    ///
    /// When the guest has ended, or somebody has the lock for more than a minute.
    pub fn lock_running(&self) -> Result<Lock> {
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
            return Err(SpaceError::Attached {
                guest: record.guest.clone(),
                space: attachment.space,
                generation: attachment.generation,
                detached: attachment.detached,
            }
            .into());
        }
        if let Some(&member) = names.iter().find(|name| taken(name)) {
            return Err(SpaceError::SameMember {
                guest: record.guest.clone(),
                member,
                space: attachment.space,
            }
            .into());
        }
    }
    Ok(())
}

pub(super) fn list(session: &mut Session, path: &str) -> Result<Vec<String>> {
    let path = path.to_owned();
    let properties = session.ask(&commands::QomList { path })?;
    Ok(properties.into_iter().map(|one| one.name).collect())
}

/// Returns the number of the first root port that nothing is plugged into, and whose ids nobody has.
fn free_port(
    session: &mut Session,
    peripherals: &[String],
    backends: &[String],
) -> Result<Option<usize>> {
    let number = |name: &String| -> Option<usize> { name.strip_prefix(ROOT_PORT)?.parse().ok() };
    let mut ports: Vec<usize> = peripherals.iter().filter_map(number).collect();
    ports.sort_unstable();
    for port in ports {
        // The bus has the name of its port.
        let bus = format!("{PERIPHERALS}/{ROOT_PORT}{port}/{ROOT_PORT}{port}");
        let is_free = !list(session, &bus)?
            .iter()
            .any(|name| name.starts_with(CHILD));
        // Somebody may have plugged a device with an id of ours elsewhere.
        let is_taken = peripherals.contains(&format!("{SEGMENT_DEVICE}{port}"))
            || backends.contains(&format!("{SEGMENT_BACKEND}{port}"));
        if is_free && !is_taken {
            return Ok(Some(port));
        }
    }
    Ok(None)
}

/// A device to be plugged.
struct Plug<'a> {
    space: &'a Space,
    device: &'a SegmentDevice,
    /// The number of its port.
    port: usize,
    /// The guest, if it is to be a private copy.
    private_of: Option<&'a Record>,
    interrupt: &'a Interrupt,
}

impl Plug<'_> {
    /// Plugs it; what fails leaves nothing, as far as QEMU answers.
    fn carry_out(&self, session: &mut Session) -> Result<()> {
        self.interrupt.check()?;
        let opaque = self.device.path.display().to_string();
        let held = session.ask_with(&commands::AddFd { opaque }, self.space.file().as_fd())?;
        let plugged = self.add_backend(session);
        take_back(plugged, || {
            session.ask(&commands::RemoveFd {
                fdset_id: held.fdset_id,
            })
        })
    }

    fn add_backend(&self, session: &mut Session) -> Result<()> {
        if let Some(record) = self.private_of {
            private::wait_until_unmapped(record, self.space, self.interrupt)?;
        }
        self.interrupt.check()?;
        let access = match self.private_of {
            Some(_) => Access::Private,
            None => self.device.access,
        };
        let (backend, device) = segment_at(self.port, self.device, access);
        session.ask(&backend)?;
        let plugged = self.add_device(session, &device);
        take_back(plugged, || {
            session.ask(&commands::ObjectDel { id: backend.id })
        })
    }

    fn add_device(&self, session: &mut Session, device: &commands::DeviceAdd) -> Result<()> {
        if let Some(record) = self.private_of {
            private::make_writable(record, self.space)?;
        }
        self.interrupt.check()?;
        session.ask(device)?;
        Ok(())
    }
}

/// Takes back what was done before something that has failed.
fn take_back<U>(result: Result<()>, back: impl FnOnce() -> Result<U>) -> Result<()> {
    if result.as_ref().is_err_and(is_known) {
        // The failure is what there is to say.
        let _ = back();
    }
    result
}

/// Returns whether it is known that something was not done. What QEMU has not answered it may do later.
fn is_known(error: &Error) -> bool {
    match error {
        Error::Monitor { source, .. } => matches!(source, QmpError::Refused { .. }),
        _ => true,
    }
}

/// Says what QEMU has refused.
fn refused(error: Error, space: &Space) -> Error {
    match error {
        Error::Monitor {
            source: QmpError::Refused { description, .. },
            guest,
        } => SpaceError::NotAttached {
            guest,
            space: space.name(),
            reason: description,
        }
        .into(),
        error => error,
    }
}
