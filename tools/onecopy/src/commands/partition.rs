// SPDX-License-Identifier: GPL-2.0

//! `onecopy partition`

mod define;
mod examine;
pub(super) mod guest;
mod upgrade;

use onecopy_partition::Error;
use onecopy_partition::Kind;
use onecopy_system::Error as SystemError;

use super::Places;
use crate::cli::ListArgs;
use crate::cli::PartitionCommand;
use crate::cli::RemoveArgs;
use crate::cli::ShowArgs;
use crate::outcome::Outcome;
use crate::outcome::PartitionList;
use crate::outcome::Removed;
use crate::outcome::Shown;
use crate::DAMAGED;
use crate::FAILURE;
use crate::SHORTAGE;
use crate::UNKNOWN;
use crate::WRONG_STATE;

/// Carries out a verb.
pub(super) fn run(command: &PartitionCommand, places: &Places) -> anyhow::Result<Outcome> {
    Ok(match command {
        PartitionCommand::Define(args) => {
            Outcome::ChangedPartition(Box::new(define::run(args, places)?))
        }
        PartitionCommand::Show(args) => Outcome::Partition(Box::new(show(args, places)?)),
        PartitionCommand::List(args) => Outcome::Partitions(list(args, places)?),
        PartitionCommand::Upgrade(args) => {
            Outcome::ChangedPartition(Box::new(upgrade::upgrade(args, places)?))
        }
        PartitionCommand::Rollback(args) => {
            Outcome::ChangedPartition(Box::new(upgrade::rollback(args, places)?))
        }
        PartitionCommand::Remove(args) => Outcome::RemovedPartition(remove(args, places)?),
    })
}

/// Returns the exit status for a failure, by its kind.
pub(super) fn exit_status(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<Error>() {
        return match error.kind() {
            Kind::Failed => FAILURE,
            Kind::Unknown => UNKNOWN,
            Kind::State => WRONG_STATE,
            Kind::Shortage => SHORTAGE,
            Kind::Damaged => DAMAGED,
        };
    }
    match error.downcast_ref::<SystemError>() {
        Some(SystemError::NotFound { .. } | SystemError::NotSaved(_)) => UNKNOWN,
        Some(SystemError::PartitionRuns { .. } | SystemError::GuestExists(_)) => WRONG_STATE,
        Some(SystemError::Manifest { .. } | SystemError::Corrupt { .. }) => DAMAGED,
        _ => FAILURE,
    }
}

fn show(args: &ShowArgs, places: &Places) -> anyhow::Result<Shown> {
    let partition = places.partitions.find(&args.partition)?;
    Ok(Shown {
        partition: examine::closely(&partition, places)?,
        json: args.json,
    })
}

fn list(args: &ListArgs, places: &Places) -> anyhow::Result<PartitionList> {
    let listed = places.partitions.list()?;
    let partitions = listed.partitions.iter();
    Ok(PartitionList {
        given: examine::given(&places.partitions, &listed.partitions)?,
        partitions: partitions
            .map(|partition| examine::briefly(partition, places))
            .collect::<Result<_, _>>()?,
        invalid: listed.damaged.into_iter().map(Into::into).collect(),
        json: args.json,
    })
}

fn remove(args: &RemoveArgs, places: &Places) -> anyhow::Result<Removed> {
    let entry = places.partitions.remove(&args.partition, &places.guests)?;
    Ok(Removed {
        partition: args.partition.clone(),
        kernel: entry.kernel,
        json: args.json,
    })
}
