// SPDX-License-Identifier: GPL-2.0

//! Manual pages, made from the definition of the command line: one for the command, one for each verb.

use std::io;
use std::io::Write;

use clap::Command;
use clap_mangen::roff::bold;
use clap_mangen::roff::roman;
use clap_mangen::roff::Roff;
use clap_mangen::Man;

use crate::status;

/// Environment variables that are not options, and what they are for. Those of options are shown there.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("ONECOPY_ROOT", "Directory of the store, as --root."),
    ("ONECOPY_RUN", "Directory of the running guests, as --run-dir."),
    ("ONECOPY_QEMU", "The emulator, as --qemu; qemu-system-x86_64 on PATH by default."),
    ("MKFS_EROFS", "The program mkfs.erofs, if it is not on PATH."),
    ("SOURCE_DATE_EPOCH", "Time of all files in images of directories, in seconds since 1970."),
    ("XDG_RUNTIME_DIR", "Directory where it is kept whether KVM works."),
    ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE", "Whether there are colours: see no-color.org and bixense.com/clicolors. By default they are on a terminal only."),
];

/// Files, and what they are.
const FILES: [(&str, &str); 6] = [
    (
        "/var/lib/onecopy/segments",
        "Segment spaces and their generations.",
    ),
    (
        "/var/lib/onecopy/systems",
        "Saved systems, what was defined, and their generations.",
    ),
    (
        "/var/lib/onecopy/partitions",
        "The table of partitions, their resources, and the inventory of the host.",
    ),
    (
        "/run/onecopy/guests",
        "A directory for each guest that runs.",
    ),
    (
        "/etc/onecopy/vmrm.toml",
        "The configuration of the resource manager.",
    ),
    (
        "onecopy-vmrm.service",
        "The resource manager as a service of systemd.",
    ),
];

/// What begins the examples in the help text.
pub(crate) const EXAMPLES: &str = "Examples:\n";

/// A page: the name of its file, and its text.
pub(crate) type Page = (String, Vec<u8>);

/// Returns all pages.
pub(crate) fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, true, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, is_root: bool, pages: &mut Vec<Page>) -> io::Result<()> {
    let source = concat!("onecopy ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("onecopy");
    pages.push((man.get_filename(), page(&man, command, is_root)?));
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in verbs {
        add(verb, false, pages)?;
    }
    Ok(())
}

fn page(man: &Man, command: &Command, is_root: bool) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        // Titles of sections are in capitals.
        let title = command.get_subcommand_help_heading().unwrap_or("Commands");
        let mut section = Vec::new();
        man.render_subcommands_section(&mut section)?;
        let section = String::from_utf8_lossy(&section);
        let capitals = format!(".SH {}\n", title.to_uppercase());
        write!(
            text,
            "{}",
            section.replace(&format!(".SH {title}\n"), &capitals)
        )?;
    }
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let (notes, examples) = help.split_once(EXAMPLES).unwrap_or((&help, ""));
    let mut roff = Roff::new();
    exit_status(&mut roff, notes, is_root);
    if is_root {
        list(&mut roff, "ENVIRONMENT", &ENVIRONMENT);
        list(&mut roff, "FILES", &FILES);
    }
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        verbatim(&mut roff, examples);
    }
    if !is_root {
        roff.control("SH", ["SEE ALSO"]);
        roff.control("BR", ["onecopy", "(1)"]);
    }
    roff.to_writer(&mut text)?;
    text.flush()?;
    Ok(text)
}

/// Returns the section with what `--help` calls the usage.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(usage.trim_start_matches("Usage: "))]);
    roff
}

/// The page of the command has all statuses; those of verbs have what is particular.
fn exit_status(roff: &mut Roff, notes: &str, is_root: bool) {
    roff.control("SH", ["EXIT STATUS"]);
    if is_root {
        for (status, meaning) in status::MEANINGS {
            entry(roff, &status.code().to_string(), meaning);
        }
        return;
    }
    roff.text([roman("See onecopy(1) for the statuses of all verbs.")]);
    let particular = notes.trim();
    if !particular.is_empty() {
        roff.control("PP", []);
        let text = particular.strip_prefix("Exit status: ");
        roff.text([roman(text.unwrap_or(particular))]);
    }
}

fn list(roff: &mut Roff, title: &str, entries: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (name, meaning) in entries {
        entry(roff, name, meaning);
    }
}

fn entry(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}

/// Shows lines as they are.
fn verbatim(roff: &mut Roff, text: &str) {
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
}
