// SPDX-License-Identifier: GPL-2.0

//! `onecopy purge nss`

use onecopy_system::Systems;

use crate::cli::PurgeNssArgs;
use crate::outcome::PurgedSystem;

pub(super) fn run(args: &PurgeNssArgs, systems: &Systems) -> anyhow::Result<PurgedSystem> {
    Ok(PurgedSystem::new(args.name, systems.purge(args.name)?))
}
