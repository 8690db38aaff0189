// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with saved systems and their guests.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use onecopy_directory::failure;
use onecopy_format::resources::ResourceError;
use onecopy_format::segment_space::Name;
use onecopy_machine::qmp::QmpError;
use onecopy_machine::Interrupted;
use onecopy_machine::QemuError;
use onecopy_machine::Report;
use onecopy_store::listed;
use onecopy_store::Group;
use onecopy_store::Kind;

use crate::definition::DefinitionError;
use crate::guests::GuestName;
use crate::guests::RecordError;
use crate::kernel::KernelError;
use crate::manifest::ManifestError;
use crate::plug::PlugError;
use crate::ranges::FitError;
use crate::ranges::NotationError;
use crate::ranges::RangeError;
use crate::smsg::SmsgError;
use crate::spaces::SpaceError;

/// A failure of an operation on saved systems or guests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] onecopy_store::Error),
    /// A system is of another trust group.
    #[error("{name} is of trust group {found}, and not {wanted}: guests share pages with those of their own group only")]
    Group {
        /// The system.
        name: Name,
        /// Its group.
        found: Group,
        /// The group that was asked for.
        wanted: Group,
    },
    /// A file or a directory cannot be used.
    #[error(transparent)]
    Directory(#[from] onecopy_directory::Error),
    /// QEMU cannot be used.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// A machine failed.
    #[error(transparent)]
    Machine(#[from] onecopy_machine::Error),
    /// The monitor of another process's machine failed.
    #[error("{}", of_monitor(.guest, .source))]
    Monitor {
        /// The guest.
        guest: GuestName,
        /// What the monitor said.
        source: QmpError,
    },
    /// The guest was found, and has ended since.
    #[error("Guest {0} has ended")]
    Gone(GuestName),
    /// The guest cannot be given anything yet.
    #[error("Guest {0} is still starting; try again when it is ready")]
    Starting(GuestName),
    /// A segment space cannot be given to a guest, or taken from it.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A signal has said that this is to be given up.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The guest has no device to give memory by.
    #[error("Guest {0} has no balloon; ipl --balloon plugs one")]
    NoBalloon(GuestName),
    /// A message was not carried out.
    #[error("Guest {guest} has not carried the message out")]
    Smsg {
        /// The guest.
        guest: GuestName,
        /// Why not.
        source: SmsgError,
    },
    /// A message was carried out, and only the device does not know.
    #[error("Guest {guest} has carried the message out, but its balloon has still another target")]
    OtherTarget {
        /// The guest.
        guest: GuestName,
        /// Why.
        source: Box<Error>,
    },
    /// The kernel cannot be saved.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The memory cannot be divided.
    #[error(transparent)]
    Ranges(#[from] RangeError),
    /// The memory is not divided by what was given.
    #[error(transparent)]
    Notation(#[from] NotationError),
    /// The kernel cannot be saved in the ranges that were given.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The kernel cannot be saved in the ranges that were defined.
    #[error("{name} was defined for another kernel; define it again")]
    Unfit {
        /// The saved system.
        name: Name,
        /// Why it cannot.
        source: FitError,
    },
    /// What was given does not define a system.
    #[error("{name} cannot be defined: {reason}")]
    Undefinable {
        /// The saved system.
        name: Name,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of a skeleton is damaged.
    #[error("The definition {} cannot be used", .path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DefinitionError,
    },
    /// What is to be saved is not what was defined.
    #[error(
        "{name} was defined with {differences}; define it again, or leave out what contradicts"
    )]
    Contradiction {
        /// The saved system.
        name: Name,
        /// What was defined and what was given, for all that differs.
        differences: String,
    },
    /// A guest that runs is not what was defined.
    #[error(
        "{name} was defined with {differences}; define it again, or save guest {guest} under \
         another name"
    )]
    OtherGuest {
        /// The saved system.
        name: Name,
        /// The guest.
        guest: GuestName,
        /// What was defined and what the guest has, for all that differs.
        differences: String,
    },
    /// It is not known which kernel to save.
    #[error("Nothing says which kernel {name} has: it was {}; --kernel does", if *.defined { "defined without" } else { "not defined" })]
    NoKernel {
        /// The saved system.
        name: Name,
        /// Whether it was defined, without a kernel.
        defined: bool,
    },
    /// There is only a skeleton of this name.
    #[error("{0} was defined but not saved: run savesys")]
    NotSaved(Name),
    /// The guest may not start from this system.
    #[error("{}", refused(.name, .guest.as_ref(), .allow))]
    Restricted {
        /// The saved system.
        name: Name,
        /// The guest, if it has a name already.
        guest: Option<GuestName>,
        /// The guests that may.
        allow: Vec<GuestName>,
    },
    /// The template did not reach its save point.
    #[error("The template of {name} cannot be saved: {reason}{report}")]
    SavePoint {
        /// The saved system.
        name: Name,
        /// What happened instead.
        reason: String,
        /// The last words of the template.
        report: Box<Report>,
    },
    /// The template did not come to its save point in time.
    #[error("The template of {name} cannot be saved: {}{report}", late(*.has_kernel, *.waited))]
    Late {
        /// The saved system.
        name: Name,
        /// Whether its kernel was found in its memory.
        has_kernel: bool,
        /// How long it was waited for.
        waited: Duration,
        /// The last words of the template.
        report: Box<Report>,
    },
    /// A running guest cannot be saved; it goes on.
    #[error("Guest {guest} cannot be saved: {reason}")]
    NotSavable {
        /// The guest.
        guest: GuestName,
        /// Why.
        reason: String,
    },
    /// A running guest was saved, but does not end; it stays stopped.
    #[error(
        "Guest {guest} was saved as {name} generation {generation} but cannot be ended; it stays \
         stopped until logoff ends it"
    )]
    NotEnded {
        /// The guest.
        guest: GuestName,
        /// The saved system.
        name: Name,
        /// The generation that was published.
        generation: u64,
        /// Why it does not end.
        source: Box<Error>,
    },
    /// There is no saved system of this name.
    #[error("There is no saved system {name} in {}; {}", .root.display(), listed(.existing, "nothing has been saved there"))]
    NotFound {
        /// The name asked for.
        name: Name,
        /// The store.
        root: PathBuf,
        /// The names that exist.
        existing: Vec<Name>,
    },
    /// A manifest is damaged.
    #[error("The manifest {} cannot be used", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file of a generation is not what was saved.
    #[error("{} is not what was saved: {reason}; save the system again", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The guest's machine would not be that of the template.
    #[error(
        "{name} was saved with {what} {saved}, and here is {found}; save it again, or use the same"
    )]
    Mismatch {
        /// The saved system.
        name: Name,
        /// What differs.
        what: &'static str,
        /// What it was.
        saved: String,
        /// What it is now.
        found: String,
    },
    /// The guest cannot have what was asked for beside the saved machine.
    #[error(transparent)]
    Plug(#[from] PlugError),
    /// The kernel of the host gives no random numbers.
    #[error("Cannot get random numbers for MAC addresses")]
    Random(#[source] io::Error),
    /// The guest's resources break a rule.
    #[error("The resources of the guest are not valid: {0}")]
    Resources(ResourceError),
    /// The guest did not say that it has its identity.
    #[error("Guest {guest} did not start from {name}")]
    NotReady {
        /// The guest.
        guest: GuestName,
        /// The saved system.
        name: Name,
        /// What happened instead.
        source: Box<onecopy_machine::Error>,
    },
    /// A guest of this name runs.
    #[error("There is a guest {0} already")]
    GuestExists(GuestName),
    /// The record of a guest is damaged, or that of a later version.
    #[error("{} is not understood, and its guest may run; use the version of onecopy that started it, or end its QEMU and remove the directory", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A partition has one guest at a time.
    #[error("Partition {partition} runs already, as guest {guest}; log it off first")]
    PartitionRuns {
        /// The partition.
        partition: GuestName,
        /// The guest that runs in it.
        guest: GuestName,
    },
    /// No guest of this name runs.
    #[error("There is no guest {guest}; {}", listed(.existing, "none is running"))]
    NoGuest {
        /// The name asked for.
        guest: GuestName,
        /// The guests that run.
        existing: Vec<GuestName>,
    },
    /// A guest did not end.
    #[error("Guest {guest} has not ended within {} s", .waited.as_secs())]
    StillRunning {
        /// The guest.
        guest: GuestName,
        /// How long it was waited for.
        waited: Duration,
    },
}

impl Error {
    /// Returns a closure for `map_err` that says what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        failure(doing, path)
    }

    /// Returns what kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Directory(error) => error.into(),
            Self::Store(error) => error.kind(),
            Self::Space(error) => error.kind(),
            Self::Plug(PlugError::Ports { .. }) => Kind::Shortage,
            Self::NotFound { .. } | Self::NoGuest { .. } | Self::Gone(_) => Kind::Unknown,
            Self::Smsg {
                source: SmsgError::NoChannel | SmsgError::Busy(_),
                ..
            } => Kind::State,
            Self::NotSaved(_)
            | Self::Starting(_)
            | Self::NoBalloon(_)
            | Self::Unfit { .. }
            | Self::Contradiction { .. }
            | Self::OtherGuest { .. }
            | Self::NotSavable { .. }
            | Self::Mismatch { .. }
            | Self::GuestExists(_)
            | Self::PartitionRuns { .. } => Kind::State,
            Self::Record {
                source: RecordError::Read(error),
                ..
            } if Kind::from(error) != Kind::Failed => error.into(),
            Self::Record { .. } => Kind::Damaged,
            Self::Definition { .. } | Self::Manifest { .. } | Self::Corrupt { .. } => Kind::Damaged,
            Self::Restricted { .. } | Self::Group { .. } => Kind::Denied,
            _ => Kind::Failed,
        }
    }
}

fn of_monitor(guest: &GuestName, source: &QmpError) -> String {
    match source {
        QmpError::Refused { .. } => format!("The QEMU of guest {guest} does not do this"),
        _ => format!("Guest {guest} does not answer"),
    }
}

fn late(has_kernel: bool, waited: Duration) -> String {
    let seconds = waited.as_secs();
    if has_kernel {
        return format!("it did not reach its save point within {seconds} s");
    }
    format!(
        "there is no kernel where its note says within {seconds} s; is it built with \
         CONFIG_RANDOMIZE_BASE?"
    )
}

pub(crate) fn names(guests: &[GuestName]) -> String {
    let names: Vec<&str> = guests.iter().map(GuestName::as_str).collect();
    names.join(", ")
}

fn refused(name: &Name, guest: Option<&GuestName>, allow: &[GuestName]) -> String {
    let allow = names(allow);
    match guest {
        Some(guest) => {
            format!("Guest {guest} may not start from {name}, which is restricted to: {allow}")
        }
        None => format!("{name} is restricted to: {allow}; --as says which of them is started"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_that_refuses_does_answer() {
        let of = |source| {
            let guest = "web".parse().unwrap();
            Error::Monitor { guest, source }.to_string()
        };
        let refused = QmpError::Refused {
            command: "stop",
            class: "GenericError".to_owned(),
            description: "no".to_owned(),
        };
        assert_eq!(of(refused), "The QEMU of guest web does not do this");
        let closed = QmpError::Closed {
            doing: "stop".to_owned(),
        };
        assert_eq!(of(closed), "Guest web does not answer");
    }

    #[test]
    fn a_guest_that_has_no_port_left_is_a_shortage() {
        let ports = Error::Plug(PlugError::Ports { max: 8 });
        assert_eq!(ports.kind(), Kind::Shortage);
        assert_eq!(Error::Plug(PlugError::Helper).kind(), Kind::Failed);
    }
}
