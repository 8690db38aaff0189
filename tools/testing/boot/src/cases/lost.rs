// SPDX-License-Identifier: GPL-2.0

//! Which ends of a guest let a test be begun again.

use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::lost;
use onecopy_boot::Lost;
use onecopy_boot::Options;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltInFast:
        a_guest_that_is_reset_is_lost_but_not_one_that_panics;
}

/// Ends a guest by a command, and returns how it was lost.
fn lost_by(context: &Context, command: &str) -> Result<Option<Lost>> {
    let mut guest = context.start(&Options::default())?;
    let answer = guest.run(command, &[]);
    let error = answer.err().context("the guest goes on")?;
    Ok(lost(&guest.failure(error).into()))
}

fn a_guest_that_is_reset_is_lost_but_not_one_that_panics(context: &Context) -> Result<()> {
    ensure_eq!(lost_by(context, "restart")?, Some(Lost::Reset));
    // QEMU sees the same: with panic=-1 the kernel asks for a reset.
    ensure_eq!(lost_by(context, "panic")?, None);
    ensure_eq!(lost_by(context, "poweroff")?, None);
    ensure_eq!(lost_by(context, "no-such-command")?, None);
    Ok(())
}
