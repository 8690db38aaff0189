// SPDX-License-Identifier: GPL-2.0

//! `onecopy defseg`

use std::str::FromStr;

use clap::Args;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_system::GuestName;

use crate::size;

/// Define a segment space: its members, and which guests may attach it.
///
/// The definition is kept, as class S, until the verb saveseg has saved the segment space, and replaces one
/// that there is. Without --member there is one member, of the name of the segment space.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy defseg USR --restricted --allow web --allow db
  onecopy defseg TOOLS --member PY,size=64M --member GCC --member HEAP,type=EN,size=16M
  onecopy defseg DATA --type SW --size 1G --dry-run")]
pub(crate) struct DefsegArgs {
    /// Name of the segment space: 1 to 8 of A-Z 0-9 _ -
    pub(crate) name: Name,

    /// Define a member; they follow each other in this order
    #[arg(long = "member", value_name = "NAME[,type=TYPE][,size=SIZE]")]
    pub(crate) members: Vec<MemberArg>,

    /// Type of the members that do not say their own: SR, ER, SC, SW or EW; or EN for memory that is
    /// zero in the beginning and each guest's own
    #[arg(long = "type", value_name = "TYPE", default_value = "SR", value_parser = parse_kind)]
    pub(crate) kind: SegmentType,

    /// Size of the members that do not say their own, rounded up to 2 MiB; as much as their content needs
    /// by default
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) size: Option<u64>,

    /// Let only some guests attach the segment space: class R
    #[arg(long, requires = "allow")]
    pub(crate) restricted: bool,

    /// Let this guest attach the restricted segment space
    #[arg(long, value_name = "GUEST", requires = "restricted")]
    pub(crate) allow: Vec<GuestName>,

    /// Only show what would be defined
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A member as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberArg {
    pub(crate) name: Name,
    pub(crate) kind: Option<SegmentType>,
    pub(crate) size_bytes: Option<u64>,
}

impl FromStr for MemberArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        let mut member = Self {
            name: name.parse().map_err(|error| format!("{error}"))?,
            kind: None,
            size_bytes: None,
        };
        for word in words {
            match word.split_once('=') {
                Some(("type", kind)) => member.kind = Some(parse_kind(kind)?),
                Some(("size", size)) => member.size_bytes = Some(size::parse(size)?),
                _ => return Err(format!("{word:?} is neither type=TYPE nor size=SIZE")),
            }
        }
        Ok(member)
    }
}

fn parse_kind(word: &str) -> Result<SegmentType, String> {
    let kind = SegmentType::from_keyword(&word.to_ascii_uppercase());
    kind.ok_or_else(|| "SR, ER, SC, SW, EW or EN is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_has_a_name_and_perhaps_a_type_and_a_size() {
        let parse = |text: &str| text.parse::<MemberArg>();
        let member = parse("py,size=64M,type=ew").unwrap();
        assert_eq!(member.name.as_str(), "PY");
        assert_eq!(member.kind, Some(SegmentType::Ew));
        assert_eq!(member.size_bytes, Some(64 << 20));
        let member = parse("PY").unwrap();
        assert_eq!((member.kind, member.size_bytes), (None, None));
        for text in ["", "PY,", "PY,64M", "PY,type=XX", "PY,size=x", "PY=a"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
