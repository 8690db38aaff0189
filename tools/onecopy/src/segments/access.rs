// SPDX-License-Identifier: GPL-2.0

//! From the types of the members to the way in which a segment space is mapped.
//!
//! A segment space is mapped as a whole, so its members must agree. The guest's driver refuses
//! stores to read-only members, but a guest need not use this driver: beside a member whose stores
//! reach the file, nothing is safe from them.

use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::options::Access;

/// Why a segment space cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("members {shared} (SW) and {other} ({kind}) cannot be mapped together: stores to SW members reach the file, those to others must not")]
    Mixed {
        shared: Name,
        other: Name,
        kind: SegmentType,
    },
    #[error("member {member} has type SN, shared memory that is zero in the beginning, which a file cannot give")]
    SharedUnsaved { member: Name },
}

/// Returns how a segment space with these members is mapped.
pub(crate) fn of_members(members: &[(Name, SegmentType)]) -> Result<Access, AccessError> {
    let first = |wanted: fn(SegmentType) -> bool| members.iter().find(|(_, kind)| wanted(*kind));
    if let Some(&(member, _)) = first(|kind| kind == SegmentType::Sn) {
        return Err(AccessError::SharedUnsaved { member });
    }
    let shared = first(|kind| kind == SegmentType::Sw);
    let other = first(|kind| kind != SegmentType::Sw);
    match (shared, other) {
        (Some(&(shared, _)), Some(&(other, kind))) => Err(AccessError::Mixed {
            shared,
            other,
            kind,
        }),
        (Some(_), None) => Ok(Access::Shared),
        (None, _) if members.iter().all(|(_, kind)| kind.read_only()) => Ok(Access::ReadOnly),
        (None, _) => Ok(Access::Private),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(keywords: &[&str]) -> Result<Access, String> {
        let member = |(keyword, name): (&&str, &str)| {
            let kind = SegmentType::from_keyword(keyword).unwrap();
            (name.parse().unwrap(), kind)
        };
        let members: Vec<_> = keywords.iter().zip(["A", "B", "C"]).map(member).collect();
        of_members(&members).map_err(|error| error.to_string())
    }

    #[test]
    fn types_decide_who_sees_a_store() {
        for (kinds, expected) in [
            (&["SR", "ER", "SC"][..], Access::ReadOnly),
            (&["EW"], Access::Private),
            (&["EN", "EW"], Access::Private),
            (&["SR", "EW"], Access::Private),
            (&["SW", "SW"], Access::Shared),
        ] {
            assert_eq!(access(kinds), Ok(expected), "{kinds:?}");
        }
    }

    #[test]
    fn members_beside_one_that_reaches_the_file_are_refused() {
        for kind in ["SR", "ER", "SC", "EW", "EN"] {
            let error = access(&[kind, "SW"]).unwrap_err();
            let start = format!("members B (SW) and A ({kind}) cannot be mapped together");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn shared_memory_that_nothing_clears_is_refused() {
        assert!(access(&["SR", "SN"])
            .unwrap_err()
            .starts_with("member B has type SN"));
    }
}
