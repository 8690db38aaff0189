// SPDX-License-Identifier: GPL-2.0

//! `onecopy partition`

mod define;
mod examine;
pub(super) mod guest;
mod upgrade;

use super::Places;
use crate::cli::PartitionCommand;
use crate::cli::RemoveArgs;
use crate::cli::ShowArgs;
use crate::outcome::Outcome;
use crate::outcome::PartitionList;
use crate::outcome::Removed;
use crate::outcome::Shown;

/// Carries out a verb.
pub(super) fn run(command: &PartitionCommand, places: &Places) -> anyhow::Result<Outcome> {
    Ok(match command {
        PartitionCommand::Define(args) => {
            Outcome::ChangedPartition(Box::new(define::run(args, places)?))
        }
        PartitionCommand::Show(args) => Outcome::Partition(Box::new(show(args, places)?)),
        PartitionCommand::List(_) => Outcome::Partitions(list(places)?),
        PartitionCommand::Upgrade(args) => {
            Outcome::ChangedPartition(Box::new(upgrade::upgrade(args, places)?))
        }
        PartitionCommand::Rollback(args) => {
            Outcome::ChangedPartition(Box::new(upgrade::rollback(args, places)?))
        }
        PartitionCommand::Remove(args) => Outcome::RemovedPartition(remove(args, places)?),
    })
}

fn show(args: &ShowArgs, places: &Places) -> anyhow::Result<Shown> {
    let partition = places.partitions.find(&args.partition)?;
    Ok(Shown {
        partition: examine::closely(&partition, places)?,
    })
}

/// Lists all partitions.
pub(super) fn list(places: &Places) -> anyhow::Result<PartitionList> {
    let listed = places.partitions.list()?;
    let partitions = listed.partitions.iter();
    Ok(PartitionList {
        given: examine::given(&places.partitions, &listed.partitions)?,
        partitions: partitions
            .map(|partition| examine::briefly(partition, places))
            .collect::<Result<_, _>>()?,
        invalid: listed.damaged.into_iter().map(Into::into).collect(),
    })
}

fn remove(args: &RemoveArgs, places: &Places) -> anyhow::Result<Removed> {
    let entry = places.partitions.remove(&args.partition, &places.guests)?;
    Ok(Removed {
        partition: args.partition.clone(),
        kernel: entry.kernel,
    })
}
