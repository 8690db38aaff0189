// SPDX-License-Identifier: GPL-2.0

//! `onecopy defsys`

use onecopy_system::ranges::notation;
use onecopy_system::Definition;
use onecopy_system::Systems;

use crate::cli::DefsysArgs;
use crate::outcome::Defined;

pub(super) fn run(args: &DefsysArgs, systems: &Systems) -> anyhow::Result<Defined> {
    let ranges = match args.ranges.as_slice() {
        [] => None,
        words => Some(notation::parse(&words.join(" "))?),
    };
    let allow = args.restricted.then(|| args.allow.clone());
    let definition = Definition::new(args.name, &args.layout.wishes(), ranges, allow)?;
    if !args.dry_run {
        systems.define(&definition)?;
    }
    let path = systems.skeleton(args.name);
    Ok(Defined::new(definition, path, !args.dry_run))
}
