// SPDX-License-Identifier: GPL-2.0

//! `onecopy detach`

use anyhow::Context;
use onecopy_format::segment_space::Name;
use onecopy_system::Attachment;
use onecopy_system::Error;
use onecopy_system::Running;
use onecopy_system::SpaceError;

use super::smsg;
use super::Places;
use crate::cli::DetachArgs;
use crate::outcome::DetachedSegments;

/// What the guest's driver says of a segment that it has not attached.
const ENODEV: i32 = 19;

/// Lets a guest let go of a segment space, or of a member of one. QEMU keeps it mapped.
pub(super) fn run(args: &DetachArgs, places: &Places) -> anyhow::Result<DetachedSegments> {
    let running = Running::find(&places.guests, &args.guest)?;
    // Nobody attaches it again before the record says that it is detached.
    let lock = running.lock_running()?;
    let attachment = running.attachment(args.segment)?;
    let members = members(&attachment, args.segment);
    let mut detached = Vec::new();
    for member in &members {
        if tell(&running, *member, args, places)? {
            detached.push(member.to_string());
        }
    }
    let is_whole = members.len() == attachment.members.len();
    if is_whole {
        running.set_detached(&lock, attachment.space)?;
    }
    Ok(DetachedSegments {
        guest: args.guest.to_string(),
        space: attachment.space.to_string(),
        generation: attachment.generation,
        members: detached,
        released: is_whole,
    })
}

/// Returns what is named: all members, or one.
fn members(attachment: &Attachment, name: Name) -> Vec<Name> {
    if attachment.space == name {
        attachment.members.clone()
    } else {
        vec![name]
    }
}

/// Tells the guest's driver to detach a segment; `false` if it has not attached it.
fn tell(
    running: &Running,
    member: Name,
    args: &DetachArgs,
    places: &Places,
) -> anyhow::Result<bool> {
    let words = format!("DETACH {member}");
    let told = smsg::tell_driver(running, &words, &places.smsg_rules, args.timeout);
    let by_hand = || {
        format!("Cannot detach {member}; in the guest, echo {member} > /sys/kernel/config/dcss/remove does it")
    };
    match told.with_context(by_hand)? {
        None => Ok(true),
        Some(refused) if refused.errno == ENODEV => Ok(false),
        Some(refused) => Err(Error::from(SpaceError::Kept {
            guest: args.guest.clone(),
            member,
            refused,
        })
        .into()),
    }
}
