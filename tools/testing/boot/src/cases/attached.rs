// SPDX-License-Identifier: GPL-2.0

//! `onecopy attach` and `saveseg --from-guest` with guests from a saved system.

use std::env;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::anyhow;
use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::dcss::node;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::space::MIB;
use onecopy_boot::Guest;
use onecopy_system::ResourceOptions;
use serde_json::Value;

use super::cases;
use super::ensure_eq;
use super::erofs;
use crate::context::Context;
use crate::context::PROGRAMS;

cases! {
    BuiltIn: what_a_guest_writes_to_its_private_copy_is_saved_for_others;
}

/// A segment with data, and how much of it is compared.
const DATA: &str = "DATA";
const SIZE_BYTES: u64 = 2 * MIB;

/// Carries out a command on the store and the guests of a saved system.
fn onecopy(saved: &SavedSystem, words: &[&str]) -> Result<String> {
    let program = env::current_exe()?.with_file_name("onecopy");
    ensure!(
        program.exists(),
        "{} is missing: run make tools",
        program.display()
    );
    let [store, run] = saved.roots();
    let output = Command::new(program)
        .args([Path::new("--root"), store, Path::new("--run-dir"), run])
        .args(words)
        .output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Copies the image of programs out of its segment space.
fn image_of_programs(context: &Context, directory: &Path) -> Result<PathBuf> {
    let space = context.programs()?;
    let member = space.members.first().context("no member")?;
    let mut bytes = vec![0; usize::try_from(member.size_bytes)?];
    File::open(&space.path)?.read_exact_at(&mut bytes, member.offset_bytes)?;
    let path = directory.join("programs");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// A guest, and the saved system that it was started from.
struct Started<'a> {
    saved: &'a SavedSystem,
    name: &'static str,
    guest: Guest,
}

impl<'a> Started<'a> {
    fn new(saved: &'a SavedSystem, name: &'static str) -> Result<Self> {
        Ok(Self {
            saved,
            name,
            guest: saved.ipl(name, ResourceOptions::default())?,
        })
    }

    /// Attaches a segment space, and in the guest its only segment.
    fn attach(&mut self, space: &str, segment: &str, options: &[&str]) -> Result<()> {
        let words = [&["attach", self.name, space], options].concat();
        let said = onecopy(self.saved, &words)?;
        ensure!(said.contains(&format!("echo {segment} >")), "{said}");
        self.guest.wait_until("the segment is there", |guest| {
            Ok(guest.available()?.contains(&segment.to_owned()))
        })?;
        self.guest.attach(segment)?;
        Ok(())
    }

    /// Returns the digest of the data, read past the guest's page cache.
    fn digest(&mut self) -> Result<String> {
        let (bytes, digest) = self.guest.digest(&node(DATA), "rd", 0..SIZE_BYTES, 4096)?;
        ensure_eq!(bytes, SIZE_BYTES);
        Ok(digest)
    }

    /// Lets a test use it, and shows its last words if that fails.
    fn test(&mut self, body: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let result = body(self).and_then(|()| self.guest.check(false));
        result.map_err(|error| anyhow!("{error:#}\n{}", self.guest.last_words()))
    }
}

/// Returns generation, class and users of the generations of the data.
fn classes(saved: &SavedSystem) -> Result<Vec<(u64, String, Vec<String>)>> {
    let listed = onecopy(saved, &["query", "seg", DATA, "--json"])?;
    let listed: Value = serde_json::from_str(&listed)?;
    let spaces = listed["segment_spaces"].as_array().context("no spaces")?;
    let row = |space: &Value| {
        let users = space["users"].as_array()?.iter();
        let users = users.map(|user| {
            let mode = if user["non_shared"] == true {
                "non-shared"
            } else {
                "shared"
            };
            Some(format!("{} {mode}", user["guest"].as_str()?))
        });
        let class = space["class"].as_str()?.to_owned();
        Some((
            space["generation"].as_u64()?,
            class,
            users.collect::<Option<_>>()?,
        ))
    };
    let rows: Option<Vec<_>> = spaces.iter().map(row).collect();
    rows.context("a field is missing")
}

fn what_a_guest_writes_to_its_private_copy_is_saved_for_others(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    let directory = context.directory()?;
    let programs = image_of_programs(context, directory.path())?;
    let member = format!("{PROGRAMS}={}", programs.display());
    onecopy(saved, &["saveseg", "PROGRAMS", "--member", &member])?;
    let data = directory.path().join("data");
    fs::write(&data, [1; 8192])?;
    let data = data.to_str().context("not UTF-8")?;
    onecopy(saved, &["saveseg", DATA, "--from-image", data])?;

    let mut reader = Started::new(saved, "reader")?;
    let mut old = String::new();
    reader.test(|reader| {
        reader.attach("PROGRAMS", PROGRAMS, &[])?;
        erofs::mount(&mut reader.guest, "always")?;
        erofs::execute_in_place(&mut reader.guest)?;
        reader.attach(DATA, DATA, &[])?;
        ensure_eq!(reader.guest.read("/sys/block/dcss!DATA/ro")?, "1");
        old = reader.digest()?;
        Ok(())
    })?;

    let mut writer = Started::new(saved, "writer")?;
    let mut new = String::new();
    writer.test(|writer| {
        writer.attach(DATA, DATA, &["--non-shared"])?;
        ensure_eq!(writer.guest.attribute(DATA, "type")?, "EW");
        ensure_eq!(writer.guest.read("/sys/block/dcss!DATA/ro")?, "0");
        ensure_eq!(writer.digest()?, old);
        writer.guest.run("open", &["slot", "w", &node(DATA)])?;
        writer.guest.run("pwrite", &["slot", "4096", "4096", "7"])?;
        writer.guest.run("fsync", &["slot"])?;
        writer.guest.run("close", &["slot"])?;
        new = writer.digest()?;
        Ok(())
    })?;
    ensure!(new != old, "nothing was written");
    ensure_eq!(reader.digest()?, old);
    let users = ["reader shared".to_owned(), "writer non-shared".to_owned()].to_vec();
    ensure_eq!(classes(saved)?, [(1, "A".to_owned(), users.clone())]);

    onecopy(saved, &["saveseg", DATA, "--from-guest", "writer"])?;
    // The writer has gone on, and can write again.
    writer.test(|writer| {
        ensure_eq!(writer.digest()?, new);
        Ok(())
    })?;
    let mut other = Started::new(saved, "other")?;
    other.test(|other| {
        other.attach(DATA, DATA, &[])?;
        ensure_eq!(other.guest.attribute(DATA, "type")?, "SR");
        ensure_eq!(other.guest.attribute(DATA, "generation")?, "2");
        ensure_eq!(other.digest()?, new);
        Ok(())
    })?;
    ensure_eq!(reader.digest()?, old);
    ensure_eq!(
        classes(saved)?,
        [
            (1, "P".to_owned(), users),
            (2, "A".to_owned(), ["other shared".to_owned()].to_vec()),
        ]
    );
    reader.test(|reader| {
        erofs::execute_in_place(&mut reader.guest)?;
        reader.guest.run("umount", &["/mnt"])?;
        reader.guest.detach(PROGRAMS)?;
        Ok(())
    })
}
