// SPDX-License-Identifier: GPL-2.0

//! `onecopy purge`

use super::Places;
use crate::cli::PurgeCommand;
use crate::outcome::PurgedName;

pub(super) fn run(command: &PurgeCommand, places: &Places) -> anyhow::Result<PurgedName> {
    Ok(match command {
        PurgeCommand::Nss(args) => PurgedName::new(args.name, places.systems.purge(args.name)?),
        PurgeCommand::Seg(args) => PurgedName::new(args.name, places.store.purge(args.name)?),
    })
}
