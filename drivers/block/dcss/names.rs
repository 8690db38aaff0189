// SPDX-License-Identifier: GPL-2.0

//! Lists of segment names, as users write them.
//!
//! As in dcssblk, `A:B:C` is one device made of several segments, `A,B:C` is a list of devices.

use crate::onecopy::segment_space::Name;
use kernel::prelude::*;

/// The suffix that asked dcssblk for a private copy.
const LOCAL_SUFFIX: &[u8] = b"(local)";

/// The names of the segments that make up one device, in the order in which the user wrote them.
///
/// There is at least one.
pub(crate) struct NameList(KVec<Name>);

impl NameList {
    /// Parses `NAME` or `NAME:NAME...`, followed by at most one newline.
    ///
    /// Returns `ENAMETOOLONG` for an empty name or one of more than eight characters, `EINVAL` for
    /// a name with characters that names do not have or that is listed twice, `EOPNOTSUPP` for the
    /// suffix `(local)`, `ENOMEM`.
    pub(crate) fn parse(input: &[u8]) -> Result<Self> {
        let input = input.strip_suffix(b"\n").unwrap_or(input);

        if input.ends_with(LOCAL_SUFFIX) {
            pr_err!(
                "{}: the access mode is the host's choice, attach the segment space non-shared\n",
                kernel::str::BStr::from_bytes(input)
            );
            return Err(EOPNOTSUPP);
        }
        let mut names = KVec::new();
        for name in input.split(|byte| *byte == b':') {
            let name = parse_name(name)?;
            if names.contains(&name) {
                pr_err!("segment {name}: listed twice\n");
                return Err(EINVAL);
            }
            names.push(name, GFP_KERNEL)?;
        }
        Ok(Self(names))
    }

    /// Returns the names.
    pub(crate) fn as_slice(&self) -> &[Name] {
        &self.0
    }
}

/// Parses one name, with the errors of dcssblk.
pub(crate) fn parse_name(input: &[u8]) -> Result<Name> {
    Name::new(input).map_err(|error| {
        pr_err!(
            "segment {}: {error}\n",
            kernel::str::BStr::from_bytes(input)
        );
        error.into()
    })
}

/// Splits the value of the parameter `segments` into the devices that it lists.
pub(crate) fn split_devices(parameter: &[u8]) -> impl Iterator<Item = &[u8]> {
    parameter
        .split(|byte| *byte == b',')
        .filter(|device| !device.is_empty())
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_names)]
mod tests {
    use super::*;

    fn parse(input: &[u8]) -> Result<usize> {
        NameList::parse(input).map(|names| names.as_slice().len())
    }

    #[test]
    fn a_single_name_is_upper_cased() -> Result {
        let names = NameList::parse(b"usr\n")?;
        assert!(names.as_slice() == [Name::new(b"USR")?]);
        Ok(())
    }

    #[test]
    fn several_names_keep_their_order() -> Result {
        let names = NameList::parse(b"PY:USR:A")?;
        assert!(names.as_slice() == [Name::new(b"PY")?, Name::new(b"USR")?, Name::new(b"A")?]);
        Ok(())
    }

    #[test]
    fn empty_names_are_refused_as_in_dcssblk() {
        for input in [&b""[..], b"\n", b"USR:", b":USR", b"A::B"] {
            assert_eq!(parse(input), Err(ENAMETOOLONG));
        }
    }

    #[test]
    fn the_ninth_character_is_refused() {
        assert_eq!(parse(b"ABCDEFGH"), Ok(1));
        assert_eq!(parse(b"ABCDEFGHI"), Err(ENAMETOOLONG));
    }

    #[test]
    fn characters_that_names_do_not_have_are_refused() {
        for input in [&b"A/B"[..], b"..", b"A B", b"A\0B", b"USR\n\n"] {
            assert_eq!(parse(input), Err(EINVAL));
        }
    }

    #[test]
    fn a_name_listed_twice_is_refused() {
        assert_eq!(parse(b"USR:usr"), Err(EINVAL));
    }

    #[test]
    fn local_access_is_refused() {
        assert_eq!(parse(b"USR(local)"), Err(EOPNOTSUPP));
    }

    #[test]
    fn the_parameter_lists_devices() {
        let mut devices = split_devices(b"A,B:C,,D");
        assert_eq!(devices.next(), Some(&b"A"[..]));
        assert_eq!(devices.next(), Some(&b"B:C"[..]));
        assert_eq!(devices.next(), Some(&b"D"[..]));
        assert_eq!(devices.next(), None);
    }
}
