// SPDX-License-Identifier: GPL-2.0

//! File systems on segments: direct access, execution in place, root file system.

use std::ops::Range;

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::control::Answer;
use onecopy_boot::dcss::node;
use onecopy_boot::Guest;
use onecopy_boot::Options;

use super::cases;
use super::ensure_eq;
use crate::context::Context;
use crate::context::LARGE_BYTES;
use crate::context::LARGE_FILE;
use crate::context::PROGRAMS;

cases! {
    BuiltIn:
        files_are_mapped_from_the_segment_by_large_pages,
        programs_execute_in_place,
        private_pages_do_not_reach_the_segment,
        the_root_file_system_can_be_a_segment;
    BuiltInFast:
        without_dax_the_page_cache_fills;
}

/// What the page cache may grow by for other reasons: names, directories, `/proc`.
const CACHE_TOLERANCE_KIB: u64 = 512;

/// Mounts the segment of programs.
pub(super) fn mount(guest: &mut Guest, dax: &str) -> Result<()> {
    guest.run(
        "mount",
        &["erofs", &node(PROGRAMS), "/mnt", &format!("ro,dax={dax}")],
    )?;
    // The file system drops the option without an error when the device has no DAX.
    let mounts = guest.run("read", &["/proc/mounts"])?.lines;
    let line = mounts
        .iter()
        .find(|line| line.contains(" /mnt "))
        .context("/mnt is missing")?;
    let options = line.split(' ').nth(3).unwrap_or_default();
    ensure!(
        options
            .split(',')
            .any(|option| option == format!("dax={dax}")),
        "{line}"
    );
    Ok(())
}

/// Returns the physical addresses of the segment.
fn segment_range(guest: &mut Guest) -> Result<Range<u64>> {
    guest
        .iomem(PROGRAMS)?
        .context("the segment is not in /proc/iomem")
}

/// Returns a number that an applet has said.
fn number(answer: &Answer, key: &str) -> Result<u64> {
    let value = answer
        .value(key)
        .with_context(|| format!("no {key} in {answer:?}"))?;
    let number = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => value.parse(),
    };
    number.with_context(|| format!("{key}={value}"))
}

/// Fails unless all pages that an applet has found lie in a range.
pub(super) fn ensure_within(answer: &Answer, range: &Range<u64>) -> Result<()> {
    let (lowest, highest) = (number(answer, "lowest")?, number(answer, "highest")?);
    ensure!(
        range.contains(&lowest) && range.contains(&highest),
        "pages at {lowest:#x} to {highest:#x} are not in {range:#x?}"
    );
    Ok(())
}

fn with_mounted(
    context: &Context,
    dax: &str,
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<()> {
    let options = Options::default()
        .space(&context.programs()?)
        .append("dcss.segments=ROOT");
    context.guest(&options, |guest| {
        mount(guest, dax)?;
        body(guest)?;
        guest.run("umount", &["/mnt"])?;
        guest.detach(PROGRAMS)?;
        Ok(())
    })
}

fn files_are_mapped_from_the_segment_by_large_pages(context: &Context) -> Result<()> {
    with_mounted(context, "always", |guest| {
        let segment = segment_range(guest)?;
        let cached = guest.meminfo_kib("Cached")?;
        for mode in ["shared", "private"] {
            let answer = guest.run("applet", &["touch", mode, &format!("/mnt/{LARGE_FILE}")])?;
            ensure_eq!(number(&answer, "pages")?, LARGE_BYTES / 4096, "{mode}");
            // The applet's own work costs some faults too; without large pages it were 4096.
            let large_pages = LARGE_BYTES >> 21;
            let faults = number(&answer, "faults")?;
            ensure!(
                (large_pages..large_pages + 16).contains(&faults),
                "{mode}: {faults} faults"
            );
            ensure_within(&answer, &segment)?;
        }
        let grown = guest.meminfo_kib("Cached")?.saturating_sub(cached);
        ensure!(
            grown <= CACHE_TOLERANCE_KIB,
            "the page cache has grown by {grown} KiB"
        );
        Ok(())
    })
}

fn programs_execute_in_place(context: &Context) -> Result<()> {
    with_mounted(context, "always", execute_in_place)
}

/// Executes a program of the mounted segment, and fails unless its code stays there.
pub(super) fn execute_in_place(guest: &mut Guest) -> Result<()> {
    let segment = segment_range(guest)?;
    let cached = guest.meminfo_kib("Cached")?;
    for _ in 0..3 {
        let answer = guest.run("exec", &["/mnt/bin/tool", "self"])?;
        ensure_eq!(answer.text, "exit=0", "{answer:?}");
        ensure_code_in_place(&answer)?;
        // Data that the program has written to is its own copy; all the rest is not.
        ensure!(segment.contains(&number(&answer, "highest")?), "{answer:?}");
    }
    let grown = guest.meminfo_kib("Cached")?.saturating_sub(cached);
    ensure!(
        grown <= CACHE_TOLERANCE_KIB,
        "the page cache has grown by {grown} KiB"
    );
    Ok(())
}

/// Fails unless the executable mapping of the program holds pages, none of them anonymous.
fn ensure_code_in_place(answer: &Answer) -> Result<()> {
    let mut lines = answer
        .lines
        .iter()
        .skip_while(|line| !line.contains(" r-xp "));
    lines.next().context("no executable mapping")?;
    let mut field = |name: &str| -> Result<u64> {
        let line = lines
            .find(|line| line.starts_with(name))
            .with_context(|| name.to_owned())?;
        let value = line
            .trim_end_matches(" kB")
            .rsplit(' ')
            .next()
            .unwrap_or_default();
        Ok(value.parse()?)
    };
    let (rss, anonymous) = (field("Rss:")?, field("Anonymous:")?);
    ensure!(
        rss > 0 && anonymous == 0,
        "{rss} KiB of code, {anonymous} KiB of it anonymous"
    );
    Ok(())
}

fn private_pages_do_not_reach_the_segment(context: &Context) -> Result<()> {
    let space = context.programs()?;
    with_mounted(context, "always", |guest| {
        let file = format!("/mnt/{LARGE_FILE}");
        let before = guest.run("applet", &["touch", "shared", &file])?;
        let written = guest.run("applet", &["touch", "private-write", &file])?;
        ensure!(
            number(&before, "sum")? != number(&written, "sum")?,
            "nothing was written"
        );
        let after = guest.run("applet", &["touch", "shared", &file])?;
        ensure_eq!(number(&after, "sum")?, number(&before, "sum")?);
        super::attach::ensure_works(guest, &space, PROGRAMS)
    })
}

/// Shows that the other tests would notice a page cache that fills.
fn without_dax_the_page_cache_fills(context: &Context) -> Result<()> {
    with_mounted(context, "never", |guest| {
        let segment = segment_range(guest)?;
        let cached = guest.meminfo_kib("Cached")?;
        let answer = guest.run(
            "applet",
            &["touch", "shared", &format!("/mnt/{LARGE_FILE}")],
        )?;
        ensure!(ensure_within(&answer, &segment).is_err(), "{answer:?}");
        let grown = guest.meminfo_kib("Cached")? - cached;
        ensure!(
            grown >= LARGE_BYTES / 1024,
            "the page cache has grown by {grown} KiB only"
        );
        Ok(())
    })
}

fn the_root_file_system_can_be_a_segment(context: &Context) -> Result<()> {
    let append = "dcss.segments=ROOT root=/dev/dcss/ROOT rootfstype=erofs rootflags=dax=always ro \
                  init=/sbin/init";
    let options = Options {
        no_initramfs: true,
        ..Options::default()
    };
    let options = options.space(&context.programs()?).append(append);
    context.guest(&options, |guest| {
        let mounts = guest.run("read", &["/proc/mounts"])?.lines;
        let root = mounts
            .iter()
            .find(|line| line.contains(" / "))
            .context("no root")?;
        ensure!(
            root.contains(" erofs ro,") && root.contains("dax=always"),
            "{root}"
        );
        let segment = segment_range(guest)?;
        let answer = guest.run("applet", &["self"])?;
        ensure_code_in_place(&answer)?;
        ensure!(segment.contains(&number(&answer, "highest")?), "{answer:?}");
        ensure_eq!(onecopy_boot::dcss::errno(guest.detach(PROGRAMS))?, "EBUSY");
        Ok(())
    })
}
