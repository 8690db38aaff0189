// SPDX-License-Identifier: GPL-2.0

//! Exit statuses. One for each kind of failure, the same for all verbs.

use std::process::ExitCode;

use onecopy_observe::HistoryError;
use onecopy_store::Kind;
use onecopy_system::smsg::Denied;
use onecopy_system::smsg::RulesError;
use onecopy_vmrm::config::ConfigError;
use onecopy_vmrm::service::ServiceError;
use onecopy_vmrm::trace::TraceError;

use crate::failure::Failure;
use crate::outcome::NoSchema;
use crate::segments::SegmentError;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Everything that was asked for is done.
    Done,
    /// A system call has failed, a guest or QEMU has, or a signal came.
    Failed,
    /// The command line or a configuration was not understood: trying again does not help.
    NotUnderstood,
    /// There is nothing of the name.
    Unknown,
    /// The state of what there is does not allow it.
    WrongState,
    /// The host does not give so much.
    Shortage,
    /// A file is not what it should be.
    Damaged,
    /// Somebody may not do this.
    Denied,
}

/// All statuses and their meanings, for the help text and the manual pages.
pub(crate) const MEANINGS: [(Status, &str); 8] = [
    (Status::Done, "done"),
    (Status::Failed, "failed"),
    (
        Status::NotUnderstood,
        "the command line or a configuration was not understood",
    ),
    (
        Status::Unknown,
        "there is no segment, saved system, partition or guest of the name",
    ),
    (Status::WrongState, "its state does not allow it"),
    (
        Status::Shortage,
        "the host does not give so much, or a disk is full",
    ),
    (Status::Damaged, "a file is damaged"),
    (Status::Denied, "permission denied"),
];

impl Status {
    /// Returns the number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotUnderstood => 2,
            Self::Unknown => 3,
            Self::WrongState => 4,
            Self::Shortage => 5,
            Self::Damaged => 6,
            Self::Denied => 7,
        }
    }

    /// Returns the status for a failure: that of the first cause that tells its kind.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let mut known = error.chain().map(of_cause);
        known
            .find(|status| *status != Self::Failed)
            .unwrap_or(Self::Failed)
    }

    /// Returns the status for a list with something in it that cannot be used, for reasons of these statuses;
    /// [`Self::Done`] if there is nothing of that.
    pub(crate) fn of_list(mut unusable: impl Iterator<Item = Self>) -> Self {
        match unusable.next() {
            None => Self::Done,
            // Whoever may look at all of it would find no damage.
            Some(Self::Denied) if unusable.all(|status| status == Self::Denied) => Self::Denied,
            Some(_) => Self::Damaged,
        }
    }

    fn from_code(code: u8) -> Self {
        let mut known = MEANINGS.iter().map(|(status, _)| *status);
        known
            .find(|status| status.code() == code)
            .unwrap_or(Self::Failed)
    }
}

impl From<Kind> for Status {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failed => Self::Failed,
            Kind::Unknown => Self::Unknown,
            Kind::State => Self::WrongState,
            Kind::Shortage => Self::Shortage,
            Kind::Damaged => Self::Damaged,
            Kind::Denied => Self::Denied,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// Returns the statuses as a paragraph of the help text.
pub(crate) fn help() -> String {
    let meanings = MEANINGS.map(|(status, meaning)| format!("  {}  {meaning}", status.code()));
    format!("Exit status:\n{}", meanings.join("\n"))
}

/// An error whose kind is known has a line here. Those of the crates that have a `kind` need no more.
fn of_cause(error: &(dyn std::error::Error + 'static)) -> Status {
    if let Some(error) = error.downcast_ref::<onecopy_store::Error>() {
        error.kind().into()
    } else if let Some(error) = error.downcast_ref::<onecopy_system::Error>() {
        error.kind().into()
    } else if let Some(error) = error.downcast_ref::<onecopy_partition::Error>() {
        error.kind().into()
    } else if let Some(SegmentError::NotFound { .. }) = error.downcast_ref() {
        Status::Unknown
    } else if let Some(SegmentError::Group { .. }) = error.downcast_ref() {
        Status::Denied
    } else if let Some(SegmentError::Shadowed { .. } | SegmentError::Changing { .. }) =
        error.downcast_ref()
    {
        Status::WrongState
    } else if error.is::<ConfigError>() || error.is::<NoSchema>() {
        Status::NotUnderstood
    } else if let Some(error) = error.downcast_ref() {
        of_rules(error)
    } else if error.is::<Denied>() {
        Status::Denied
    } else if let Some(error) = error.downcast_ref() {
        of_service(error)
    } else if let Some(HistoryError::Line { .. }) = error.downcast_ref() {
        Status::Damaged
    } else if let Some(error) = error.downcast_ref() {
        of_trace(error)
    } else if let Some(error) = error.downcast_ref::<std::io::Error>() {
        Kind::from(error).into()
    } else if let Some(failure) = error.downcast_ref::<Failure>() {
        Status::from_code(failure.exit_status)
    } else {
        Status::Failed
    }
}

fn of_rules(error: &RulesError) -> Status {
    error.kind().map_or(Status::NotUnderstood, Status::from)
}

fn of_service(error: &ServiceError) -> Status {
    match error {
        ServiceError::Guests(error) => error.kind().into(),
        ServiceError::Busy { .. } => Status::WrongState,
        _ => Status::Failed,
    }
}

fn of_trace(error: &TraceError) -> Status {
    match error {
        TraceError::Read { .. } => Status::Failed,
        _ => Status::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use onecopy_system::Error;

    use super::*;

    #[test]
    fn each_status_has_its_number_and_a_meaning() {
        for (number, (status, meaning)) in MEANINGS.iter().enumerate() {
            assert_eq!(usize::from(status.code()), number);
            assert!(!meaning.is_empty());
            assert_eq!(Status::from_code(status.code()), *status);
        }
        assert_eq!(Status::from_code(99), Status::Failed);
    }

    #[test]
    fn a_list_is_denied_only_if_nothing_in_it_is_damaged() {
        use Status::Damaged;
        use Status::Denied;
        use Status::Failed;

        for (unusable, expected) in [
            (&[][..], Status::Done),
            (&[Denied, Denied], Denied),
            (&[Denied, Damaged], Damaged),
            (&[Damaged, Denied], Damaged),
            (&[Failed], Damaged),
        ] {
            assert_eq!(Status::of_list(unusable.iter().copied()), expected);
        }
    }

    #[test]
    fn the_first_cause_that_tells_its_kind_decides() {
        let of = |error: anyhow::Error| Status::of(&error);
        assert_eq!(of(anyhow::anyhow!("a")), Status::Failed);
        let corrupt = || Error::Corrupt {
            path: "a".into(),
            reason: "b",
        };
        assert_eq!(of(corrupt().into()), Status::Damaged);
        let around = Err::<(), _>(corrupt()).context("a").context("b");
        assert_eq!(of(around.unwrap_err()), Status::Damaged);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let around = Err::<(), _>(full).context("Cannot write a");
        assert_eq!(of(around.unwrap_err()), Status::Shortage);
        let denied = onecopy_directory::failure::<onecopy_store::Error>("read", "a".as_ref());
        let denied = denied(io::ErrorKind::PermissionDenied.into());
        assert_eq!(of(Error::Store(denied).into()), Status::Denied);
        let shadowed = SegmentError::Shadowed {
            member: "USR".parse().unwrap(),
            spaces: "A, B".to_owned(),
        };
        assert_eq!(of(shadowed.into()), Status::WrongState);
        let spaces = "A".to_owned();
        let changing = SegmentError::Changing { spaces };
        assert_eq!(of(changing.into()), Status::WrongState);
    }
}
