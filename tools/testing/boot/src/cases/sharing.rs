// SPDX-License-Identifier: GPL-2.0

//! What guests that use the same segment cost their host.

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::node;
use onecopy_boot::space::SpaceFile;
use onecopy_boot::Guest;
use onecopy_boot::Options;
use onecopy_machine::accounting::Sizes;

use super::cases;
use super::ensure_eq;
use crate::context::Context;
use crate::context::LARGE_BYTES;
use crate::context::LARGE_FILE;
use crate::context::PROGRAMS;

cases! {
    BuiltInFast: two_guests_share_the_pages_of_a_segment;
}

fn two_guests_share_the_pages_of_a_segment(context: &Context) -> Result<()> {
    let space = context.programs()?;
    let options = Options::default()
        .space(&space)
        .append("dcss.segments=ROOT");
    context.guest(&options, |first| {
        touch_all(first)?;
        context.guest(&options, |second| {
            touch_all(second)?;
            let (first, second) = (cost(first, &space)?, cost(second, &space)?);
            for sizes in [first, second] {
                ensure_eq!(sizes.anonymous_bytes, 0);
                ensure!(sizes.rss_bytes >= LARGE_BYTES, "{sizes:?}");
            }
            // Each page that both have mapped counts half for each of them.
            let together = first.pss_bytes + second.pss_bytes;
            let apart = first.rss_bytes + second.rss_bytes;
            ensure!(
                together + LARGE_BYTES <= apart,
                "the two cost {together} bytes together, {apart} apart"
            );
            Ok(())
        })
    })
}

fn touch_all(guest: &mut Guest) -> Result<()> {
    guest.run(
        "mount",
        &["erofs", &node(PROGRAMS), "/mnt", "ro,dax=always"],
    )?;
    let answer = guest.run(
        "applet",
        &["touch", "shared", &format!("/mnt/{LARGE_FILE}")],
    )?;
    ensure_eq!(answer.text, "exit=0", "{answer:?}");
    Ok(())
}

/// Returns what the guest's mapping of the segment space costs.
fn cost(guest: &mut Guest, space: &SpaceFile) -> Result<Sizes> {
    let usage = guest.machine().usage()?;
    let block = usage
        .of_file(&space.path)
        .context("the guest does not map the segment space")?;
    Ok(block.sizes)
}
