// SPDX-License-Identifier: GPL-2.0

//! The verb that saves segment spaces.

use std::path::PathBuf;

use clap::Args;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::Group;
use onecopy_system::GuestName;

/// Save a segment space as a new generation.
///
/// The segment space gets the given name. With --from-dir or --from-image it has one member of
/// that name; --member may be given several times for several members. Guests that are running
/// keep the generation that they have; guests that are started later get the new one. A segment space
/// that was defined with the verb defseg is saved as it was defined; options that say something else are
/// refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy saveseg USR --from-dir /srv/trees/usr
  onecopy saveseg DATA --from-image data.img --type SW
  onecopy saveseg TOOLS --member PY=/srv/python --member GCC=/srv/gcc
  onecopy saveseg USR --from-guest test")]
pub(crate) struct SavesegArgs {
    /// Name of the segment space: 1 to 8 of A-Z 0-9 _ -
    pub(crate) name: Name,

    /// Make an EROFS image of this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from_image", "members"])]
    pub(crate) from_dir: Option<PathBuf>,

    /// Copy this image
    #[arg(long, value_name = "FILE", conflicts_with = "members")]
    pub(crate) from_image: Option<PathBuf>,

    /// Add a member from a directory or an image
    #[arg(long = "member", value_name = "NAME=PATH", value_parser = parse_member)]
    pub(crate) members: Vec<NamedPath>,

    /// Type of the members: SR, ER, SC (read-only), SW (guests write to the file itself) or EW
    /// (each guest writes to a copy of its own); SR by default, unless a definition says it
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    pub(crate) kind: Option<SegmentType>,

    /// Trust group of the segment space: only guests of this group can attach it, and share its pages.
    /// It is decided by the first save; default if nothing is said
    #[arg(long, value_name = "GROUP", conflicts_with = "from_guest")]
    pub(crate) group: Option<Group>,

    /// Give all files in images of directories to root
    #[arg(long)]
    pub(crate) all_root: bool,

    /// Save what this guest has written into its private copy, which attach --non-shared gave it, of the
    /// segment space or member NAME. It should have synced that; it is paused meanwhile, and goes on
    #[arg(long, value_name = "GUEST",
          conflicts_with_all = ["from_dir", "from_image", "members", "kind", "all_root"])]
    pub(crate) from_guest: Option<GuestName>,
}

/// A name and where its content is.
#[derive(Debug, Clone)]
pub(crate) struct NamedPath {
    pub(crate) name: Name,
    pub(crate) path: PathBuf,
}

fn parse_member(text: &str) -> Result<NamedPath, String> {
    let (name, path) = text.split_once('=').ok_or("NAME=PATH is expected")?;
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(NamedPath {
        name,
        path: PathBuf::from(path),
    })
}

fn parse_type(word: &str) -> Result<SegmentType, String> {
    let kind = SegmentType::from_keyword(&word.to_ascii_uppercase())
        .ok_or("SR, ER, SC, SW or EW is expected")?;
    if !kind.saved() {
        return Err(format!(
            "{kind} has no saved content; SR, ER, SC, SW or EW is expected"
        ));
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_without_saved_content_are_refused() {
        assert_eq!(parse_type("sw"), Ok(SegmentType::Sw));
        assert!(parse_type("SN")
            .unwrap_err()
            .starts_with("SN has no saved content"));
        assert!(parse_type("XX").is_err());
    }

    #[test]
    fn a_member_needs_a_name_and_a_path() {
        let member = parse_member("py=/srv/a=b").unwrap();
        assert_eq!(
            (member.name.as_str(), member.path),
            ("PY", PathBuf::from("/srv/a=b"))
        );
        for text in ["PY", "PY=", "=x", "TOOLONGNAME=x"] {
            assert!(parse_member(text).is_err(), "{text}");
        }
    }
}
