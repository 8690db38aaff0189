// SPDX-License-Identifier: GPL-2.0

//! What a command has done, and how that is shown.

mod boot;
mod doctor;
mod guests;
mod partition;
mod row;
mod seen;
mod segments;
mod skeletons;
mod smsg;
mod systems;
mod table;
mod vmrm;

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;

use crate::boot::End;
use crate::keeper::Started;
use crate::size;
use crate::FAILURE;

pub(crate) use self::doctor::Examined;
pub(crate) use self::doctor::Remains;
pub(crate) use self::guests::GuestList;
pub(crate) use self::guests::Left;
pub(crate) use self::guests::ListedGuest;
pub(crate) use self::guests::LoggedOff;
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
pub(crate) use self::segments::InvalidSpace;
pub(crate) use self::segments::ListedSpace;
pub(crate) use self::segments::Segments;
pub(crate) use self::skeletons::Defined;
pub(crate) use self::skeletons::ListedSkeleton;
pub(crate) use self::smsg::Told;
pub(crate) use self::systems::InvalidSystem;
pub(crate) use self::systems::ListedSystem;
pub(crate) use self::systems::PurgedSystem;
pub(crate) use self::systems::SavedSystem;
pub(crate) use self::systems::SystemList;
pub(crate) use self::vmrm::Checked;
pub(crate) use self::vmrm::CheckedGuest;
pub(crate) use self::vmrm::Managed;

/// The result of a command that was carried out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// `saveseg`
    Saved(Saved),
    /// `query seg`
    Segments(Segments),
    /// `defsys`
    Defined(Box<Defined>),
    /// `savesys`
    SavedSystem(Box<SavedSystem>),
    /// `query nss`
    Systems(SystemList),
    /// `purge nss`
    Purged(PurgedSystem),
    /// `ipl`
    Started(Started),
    /// `ipl`, in the process that keeps the guest
    Kept,
    /// `query guests`
    Guests(GuestList),
    /// `console`
    Left(Left),
    /// `logoff`
    LoggedOff(LoggedOff),
    /// `smsg`
    Told(Told),
    /// `vmrm run`
    Managed(Managed),
    /// `vmrm simulate`, which has said everything
    Simulated,
    /// `vmrm check`
    Checked(Checked),
    /// `partition define`, `upgrade` and `rollback`
    ChangedPartition(Box<Changed>),
    /// `partition show`
    Partition(Box<Shown>),
    /// `partition list`
    Partitions(PartitionList),
    /// `partition remove`
    RemovedPartition(Removed),
    /// `boot`, and `ipl` in the foreground
    Booted(End),
    /// `top`
    Seen(Seen),
    /// `report`
    Reported(Reported),
    /// `metrics`
    Measured(Measured),
    /// `doctor`
    Examined(Examined),
}

/// A segment space that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) name: Name,
    pub(crate) generation: u64,
    pub(crate) members: usize,
    pub(crate) size_bytes: u64,
    pub(crate) path: PathBuf,
}

impl Outcome {
    /// Returns the exit status: 0 if everything that was asked for is as it should be.
    pub(crate) fn exit_status(&self) -> u8 {
        let is_success = match self {
            Self::Partitions(list) => return list.exit_status(),
            Self::Segments(segments) => segments.is_sound(),
            Self::Systems(list) => list.is_sound(),
            Self::Managed(managed) => managed.is_complete,
            Self::Told(told) => told.is_success(),
            Self::Booted(end) => boot::is_success(end),
            Self::Examined(examined) => examined.is_sound(),
            _ => true,
        };
        if is_success {
            0
        } else {
            FAILURE
        }
    }

    /// Shows the outcome: results on `out`, complaints on `err`.
    pub(crate) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Saved(saved) => saved.render(out),
            Self::Segments(segments) => segments.render(out, err),
            Self::Defined(defined) => defined.render(out),
            Self::SavedSystem(saved) => saved.render(out),
            Self::Systems(list) => list.render(out, err),
            Self::Purged(purged) => purged.render(out),
            Self::Started(started) => started.render(out),
            Self::Kept | Self::Simulated => Ok(()),
            Self::Managed(managed) => managed.render(err),
            Self::Checked(checked) => checked.render(out, err),
            Self::Told(told) => told.render(out, err),
            Self::Guests(list) => list.render(out, err),
            Self::Left(left) => left.render(err),
            Self::LoggedOff(ended) => ended.render(out),
            Self::ChangedPartition(changed) => changed.render(out),
            Self::Partition(shown) => shown.render(out, err),
            Self::Partitions(list) => list.render(out, err),
            Self::RemovedPartition(removed) => removed.render(out),
            Self::Booted(end) => boot::render(end, err),
            Self::Seen(seen) => seen.render(out),
            Self::Reported(reported) => reported.render(out),
            Self::Measured(measured) => measured.render(out),
            Self::Examined(examined) => examined.render(out, err),
        }
    }
}

impl Saved {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let plural = if self.members == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} generation {}: {} member{plural}, {}, {}",
            self.name,
            self.generation,
            self.members,
            size::show(self.size_bytes),
            self.path.display()
        )
    }
}
