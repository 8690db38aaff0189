// SPDX-License-Identifier: GPL-2.0

//! `onecopy defseg`

use anyhow::Context;
use onecopy_format::segment_space::DAX_ALIGN_BYTES;
use onecopy_store::Store;
use onecopy_system::DefinedMember;
use onecopy_system::SpaceDefinition;

use crate::cli::DefsegArgs;
use crate::outcome::DefinedSpace;
use crate::segments;

pub(super) fn run(args: &DefsegArgs, store: &Store) -> anyhow::Result<DefinedSpace> {
    let name = args.name;
    let definition = SpaceDefinition::new(
        name,
        members(args),
        args.restricted.then(|| args.allow.clone()),
    )?;
    let kinds: Vec<_> = definition
        .members
        .iter()
        .map(|member| (member.name, member.kind))
        .collect();
    // What no guest could attach need not be saved.
    segments::access(&kinds).with_context(|| format!("{name} cannot be defined"))?;
    let path = if args.dry_run {
        None
    } else {
        Some(definition.define(store)?)
    };
    Ok(DefinedSpace::new(&definition, path))
}

fn members(args: &DefsegArgs) -> Vec<DefinedMember> {
    let size = |bytes: Option<u64>| {
        // A size that cannot be rounded up is refused as it is.
        bytes.map(|bytes| {
            bytes
                .checked_next_multiple_of(DAX_ALIGN_BYTES)
                .unwrap_or(bytes)
        })
    };
    if args.members.is_empty() {
        return vec![DefinedMember {
            name: args.name,
            kind: args.kind,
            size_bytes: size(args.size),
        }];
    }
    let member = |member: &crate::cli::MemberArg| DefinedMember {
        name: member.name,
        kind: member.kind.unwrap_or(args.kind),
        size_bytes: size(member.size_bytes.or(args.size)),
    };
    args.members.iter().map(member).collect()
}
