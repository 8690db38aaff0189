// SPDX-License-Identifier: GPL-2.0

//! `onecopy purge nss`

use onecopy_system::Systems;

use crate::cli::PurgeNssArgs;
use crate::outcome::PurgedSystem;

pub(super) fn run(args: &PurgeNssArgs, systems: &Systems) -> anyhow::Result<PurgedSystem> {
    Ok(PurgedSystem {
        name: args.name,
        purged: systems.purge(args.name)?,
    })
}
