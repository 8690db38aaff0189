// SPDX-License-Identifier: GPL-2.0

//! What a command has done, and how that is shown.

mod attached;
mod boot;
mod doctor;
mod guests;
mod memory;
mod partition;
mod row;
mod seen;
mod segment_skeletons;
mod segments;
mod skeletons;
mod smsg;
mod style;
mod systems;
mod table;
mod vmrm;

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use schemars::JsonSchema;
use serde::Serialize;

use crate::json;
use crate::keeper::Started;
use crate::size;
use crate::status::Status;

pub(crate) use self::attached::AttachedSegments;
pub(crate) use self::attached::DetachedSegments;
pub(crate) use self::attached::RefusedEntry;
pub(crate) use self::boot::Ended;
pub(crate) use self::doctor::Examined;
pub(crate) use self::doctor::Remains;
pub(crate) use self::guests::GuestList;
pub(crate) use self::guests::InvalidGuest;
pub(crate) use self::guests::Left;
pub(crate) use self::guests::ListedGuest;
pub(crate) use self::guests::LoggedOff;
pub(crate) use self::memory::MemoryUse;
pub(crate) use self::partition::Action;
pub(crate) use self::partition::Changed;
pub(crate) use self::partition::Given;
pub(crate) use self::partition::ListedPartition;
pub(crate) use self::partition::NextIpl;
pub(crate) use self::partition::PartitionList;
pub(crate) use self::partition::Removed;
pub(crate) use self::partition::ServedGuest;
pub(crate) use self::partition::Shown;
pub(crate) use self::seen::Measured;
pub(crate) use self::seen::Reported;
pub(crate) use self::seen::Seen;
pub(crate) use self::segment_skeletons::DefinedSpace;
pub(crate) use self::segment_skeletons::SpaceSkeleton;
pub(crate) use self::segments::InvalidSpace;
pub(crate) use self::segments::ListedSpace;
pub(crate) use self::segments::ListedUser;
pub(crate) use self::segments::Segments;
pub(crate) use self::segments::View;
pub(crate) use self::skeletons::Defined;
pub(crate) use self::skeletons::ListedSkeleton;
pub(crate) use self::smsg::Told;
pub(crate) use self::systems::InvalidSystem;
pub(crate) use self::systems::ListedSystem;
pub(crate) use self::systems::Part;
pub(crate) use self::systems::PurgedName;
pub(crate) use self::systems::SavedSystem;
pub(crate) use self::systems::SystemList;
pub(crate) use self::vmrm::Checked;
pub(crate) use self::vmrm::CheckedGuest;
pub(crate) use self::vmrm::Log;
pub(crate) use self::vmrm::Managed;
pub(crate) use self::vmrm::Simulated;

/// The result of a command that was carried out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// `saveseg`
    Saved(Saved),
    /// `defseg`
    DefinedSpace(DefinedSpace),
    /// `query seg`
    Segments(Segments),
    /// `defsys`
    Defined(Box<Defined>),
    /// `savesys`
    SavedSystem(Box<SavedSystem>),
    /// `query nss`
    Systems(SystemList),
    /// `purge nss` and `purge seg`
    Purged(PurgedName),
    /// `ipl`
    Started(Started),
    /// `ipl`, in the process that keeps the guest
    Kept,
    /// `attach`
    Attached(AttachedSegments),
    /// `detach`
    Detached(DetachedSegments),
    /// `query guests`
    Guests(GuestList),
    /// `query memory`
    Memory(MemoryUse),
    /// `console`
    Left(Left),
    /// `logoff`
    LoggedOff(LoggedOff),
    /// `smsg`
    Told(Told),
    /// `vmrm run`
    Managed(Managed),
    /// `vmrm simulate`
    Simulated(Simulated),
    /// `vmrm check`
    Checked(Checked),
    /// `partition define`, `upgrade` and `rollback`
    ChangedPartition(Box<Changed>),
    /// `partition show`
    Partition(Box<Shown>),
    /// `partition list`, `query partitions`
    Partitions(PartitionList),
    /// `partition remove`
    RemovedPartition(Removed),
    /// `boot`, and `ipl` in the foreground
    Booted(Ended),
    /// `top`
    Seen(Seen),
    /// `report`
    Reported(Reported),
    /// `metrics`
    Measured(Measured),
    /// `doctor`
    Examined(Examined),
    /// `schema`, `completions`, `man`: text that is printed as it is
    Text(String),
}

/// A segment space that was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Saved {
    /// Name of the segment space.
    #[serde(serialize_with = "table::display")]
    #[schemars(with = "String")]
    pub(crate) name: Name,
    /// The generation that was saved.
    pub(crate) generation: u64,
    /// How many members it has.
    pub(crate) members: usize,
    /// The size of the file.
    pub(crate) size_bytes: u64,
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether only certain guests may have it.
    pub(crate) restricted: bool,
}

/// There is no schema for what was typed.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no verb that prints JSON; onecopy schema lists those that do")]
pub(crate) struct NoSchema(pub(crate) String);

impl Outcome {
    /// Returns the exit status: that everything is as it should be, or what is not.
    pub(crate) fn status(&self) -> Status {
        let (is_sound, otherwise) = match self {
            Self::Partitions(list) => (list.is_sound(), Status::Damaged),
            Self::Segments(segments) => return segments.status(),
            Self::Systems(list) => return list.status(),
            Self::Guests(list) => (list.is_sound(), Status::Damaged),
            Self::Managed(managed) => (managed.is_complete(), Status::Failed),
            Self::Told(told) => (told.is_success(), Status::Failed),
            Self::Booted(end) => (end.is_success(), Status::Failed),
            Self::Examined(examined) => (examined.is_sound(), Status::Failed),
            _ => return Status::Done,
        };
        if is_sound {
            Status::Done
        } else {
            otherwise
        }
    }

    /// Shows the outcome as JSON: all of it is in one object.
    pub(crate) fn render_json(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Saved(saved) => json::write(out, saved),
            Self::Segments(segments) => json::write(out, segments),
            Self::Defined(defined) => json::write(out, &**defined),
            Self::SavedSystem(saved) => json::write(out, &**saved),
            Self::Systems(list) => json::write(out, list),
            Self::Purged(purged) => json::write(out, purged),
            Self::Started(started) => json::write(out, started),
            Self::DefinedSpace(defined) => json::write(out, defined),
            Self::Attached(attached) => json::write(out, attached),
            Self::Detached(detached) => json::write(out, detached),
            Self::Guests(list) => json::write(out, list),
            Self::Memory(memory) => json::write(out, memory),
            Self::LoggedOff(ended) => json::write(out, ended),
            Self::Checked(checked) => json::write(out, checked),
            Self::Told(told) => json::write(out, told),
            Self::ChangedPartition(changed) => json::write(out, &**changed),
            Self::Partition(shown) => json::write(out, &**shown),
            Self::Partitions(list) => json::write(out, list),
            Self::RemovedPartition(removed) => json::write(out, removed),
            Self::Booted(end) => json::write(out, end),
            Self::Seen(Seen::Json(sample)) => json::write(out, sample),
            Self::Reported(reported) => json::write(out, reported),
            Self::Measured(Measured::Json(sample)) => json::write(out, sample),
            Self::Examined(examined) => json::write(out, examined),
            Self::Managed(managed) => managed.render_json(out, err),
            Self::Simulated(simulated) => simulated.render_json(out),
            // It was said already, or is no JSON.
            Self::Kept | Self::Left(_) | Self::Seen(_) | Self::Measured(_) | Self::Text(_) => {
                self.render(out, err)
            }
        }
    }

    /// Shows the outcome in words: results on `out`, complaints on `err`.
    pub(crate) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Saved(saved) => saved.render(out),
            Self::DefinedSpace(defined) => defined.render(out),
            Self::Segments(segments) => segments.render(out, err),
            Self::Defined(defined) => defined.render(out),
            Self::SavedSystem(saved) => saved.render(out),
            Self::Systems(list) => list.render(out, err),
            Self::Purged(purged) => purged.render(out),
            Self::Started(started) => started.render(out),
            Self::Attached(attached) => attached.render(out, err),
            Self::Detached(detached) => detached.render(out),
            Self::Kept => Ok(()),
            Self::Managed(managed) => managed.render(out, err),
            Self::Simulated(simulated) => simulated.render(out),
            Self::Checked(checked) => checked.render(out, err),
            Self::Told(told) => told.render(out, err),
            Self::Guests(list) => list.render(out, err),
            Self::Memory(memory) => memory.render(out, err),
            Self::Left(left) => left.render(err),
            Self::LoggedOff(ended) => ended.render(out),
            Self::ChangedPartition(changed) => changed.render(out),
            Self::Partition(shown) => shown.render(out, err),
            Self::Partitions(list) => list.render(out, err),
            Self::RemovedPartition(removed) => removed.render(out),
            Self::Booted(end) => end.render(err),
            Self::Seen(seen) => seen.render(out),
            Self::Reported(reported) => reported.render(out),
            Self::Measured(measured) => measured.render(out),
            Self::Examined(examined) => examined.render(out, err),
            Self::Text(text) => write!(out, "{text}"),
        }
    }
}

impl Saved {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let plural = if self.members == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} generation {}{}: {} member{plural}, {}, {}",
            self.name,
            self.generation,
            if self.restricted { ", class R" } else { "" },
            self.members,
            size::show(self.size_bytes),
            self.path.display()
        )
    }
}
