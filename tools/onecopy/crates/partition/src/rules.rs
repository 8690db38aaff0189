// SPDX-License-Identifier: GPL-2.0

//! What single values of a partition must be like: the same for files and command lines.

use std::path::Path;

use onecopy_format::resources;
use onecopy_format::segment_space::Name;
use onecopy_store::Group;
use onecopy_system::NicOptions;

/// The key under which a guest finds the name of its partition, below `/sys/firmware/ipl`.
pub const PARTITION_KEY: &str = "partition";

/// What every guest is told, or told where the partition has a field for it.
const RESERVED: [&str; 8] = [
    resources::GUEST,
    resources::GENERATION,
    resources::SEED,
    resources::TIME_NS,
    resources::MACHINE_ID,
    resources::HOSTNAME,
    resources::PARM,
    PARTITION_KEY,
];

/// The longest host name that Linux knows, in bytes.
const HOSTNAME_MAX: usize = 64;

/// What a value must not be: the text says why.
pub(crate) type Rule = Result<(), String>;

/// A segment space, a member, or contiguous members as `A:B`.
pub(crate) fn segment(text: &str) -> Rule {
    names_of(text).map(drop)
}

/// Returns the names in what says which segments.
pub(crate) fn names_of(text: &str) -> Result<Vec<Name>, String> {
    let names = text.split(':').map(str::parse);
    let names: Result<_, _> = names.collect();
    names.map_err(|error| format!("{text:?} is not a segment: {error}"))
}

/// What a network card is connected to.
pub(crate) fn nic(text: &str) -> Rule {
    let parsed = text.parse::<NicOptions>();
    parsed
        .map(drop)
        .map_err(|error| format!("{text:?} is not a network card: {error}"))
}

pub(crate) fn hostname(text: &str) -> Rule {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=HOSTNAME_MAX).contains(&text.len()) && text.bytes().all(is_valid) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a host name: 1 to {HOSTNAME_MAX} of a-z A-Z 0-9 . _ -"
    ))
}

/// The name of a trust group.
pub(crate) fn group(text: &str) -> Rule {
    let parsed = text.parse::<Group>();
    parsed.map(drop).map_err(|error| error.to_string())
}

pub(crate) fn machine_id(text: &str) -> Rule {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_zero = text.bytes().all(|byte| byte == b'0');
    if text.len() == 32 && text.bytes().all(is_digit) && !is_zero {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a machine-id: 32 of 0-9 a-f, not all 0"
    ))
}

/// A value that the guest is told.
pub(crate) fn value(text: &str) -> Rule {
    if resources::is_value(text) {
        return Ok(());
    }
    Err("a value has at most 1024 bytes and no end of a line".to_owned())
}

/// A key that the guest finds the value by.
pub(crate) fn key(text: &str) -> Rule {
    if !resources::is_key(text) {
        return Err(format!("{text:?} is not a key: 1 to 32 of a-z 0-9 _ - ."));
    }
    let number = text.strip_prefix("mac");
    let is_mac = number
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|d| d.is_ascii_digit()));
    if RESERVED.contains(&text) || is_mac {
        return Err(format!(
            "{text:?} is a key that every guest is told already"
        ));
    }
    Ok(())
}

/// A file of the host, which means the same wherever a command is given.
pub(crate) fn file(path: &Path) -> Rule {
    let text = path.to_str().unwrap_or_default();
    if path.is_absolute() && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!(
        "{path:?} is not the absolute path of a file, in UTF-8 and without control characters"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_guests_and_qemu_take() {
        let id = "0123456789abcdef0123456789abcdef";
        for (rule, good, bad) in [
            (
                segment as fn(&str) -> Rule,
                &["USR", "py:GCC"][..],
                &["", "A:", "TOOLONGNAME", "a/b"][..],
            ),
            (
                nic,
                &["user", "tap,ifname=t0"],
                &["", "user,id=x", "user,mac=x"],
            ),
            (hostname, &["web", "a.b-c_1"], &["", "a b", "a\n", "ä"]),
            (
                machine_id,
                &[id],
                &["", "0123", "x123456789abcdef0123456789abcdef"],
            ),
            (value, &["", "a = b"], &["a\nb", "a\0"]),
            (
                key,
                &["role", "a.b_c-1", "mac", "macro"],
                &[
                    "",
                    "Role",
                    "a b",
                    "partition",
                    "seed",
                    "hostname",
                    "mac0",
                    "mac12",
                ],
            ),
            (
                |text| file(Path::new(text)),
                &["/d/a b,c.img"],
                &["", "d.img", "/d/\n"],
            ),
        ] {
            for text in good {
                assert_eq!(rule(text), Ok(()), "{text:?}");
            }
            for text in bad {
                assert!(rule(text).is_err(), "{text:?}");
            }
        }
        assert!(machine_id(&"0".repeat(32)).is_err());
        assert!(hostname(&"a".repeat(65)).is_err());
    }
}
