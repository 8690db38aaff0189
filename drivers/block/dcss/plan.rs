// SPDX-License-Identifier: GPL-2.0

//! What a device made of one or more segments looks like.

use crate::onecopy::segment_space::{
    Member,
    Name,
    SegmentType,
    DAX_ALIGN_BYTES, //
};
use kernel::prelude::*;

/// The extent, type and name of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The name of the device: that of the segment which the user named first.
    pub(crate) name: Name,
    /// Where the device begins within the segment space, in bytes.
    pub(crate) offset_bytes: u64,
    /// The size of the device in bytes.
    pub(crate) size_bytes: u64,
    /// The type of all segments of the device.
    pub(crate) kind: SegmentType,
    /// The highest generation of the segments.
    pub(crate) generation: u64,
}

/// Why segments cannot make up a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PlanError {
    /// No segment was named.
    Empty,
    /// The second segment does not begin where the first one ends.
    NotContiguous(Name, Name),
    /// The segments have types that cannot be mixed.
    IncompatibleTypes(Name, Name),
}

impl From<PlanError> for Error {
    /// All of them are `EINVAL`, as in dcssblk.
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Empty => pr_err!("no segment was named\n"),
            PlanError::NotContiguous(first, second) => {
                pr_err!("segments {first} and {second}: adjacent but not contiguous\n");
            }
            PlanError::IncompatibleTypes(first, second) => {
                pr_err!("segments {first} and {second}: the types are incompatible\n");
            }
        }
        EINVAL
    }
}

impl Plan {
    /// Plans the device that `members` make up.
    ///
    /// The first member gives the device its name; afterwards `members` is sorted by address.
    pub(crate) fn new(members: &mut [Member]) -> Result<Self, PlanError> {
        let name = members.first().ok_or(PlanError::Empty)?.name;
        members.sort_unstable_by_key(|member| member.offset_bytes);

        for (lower, upper) in members.iter().zip(members.iter().skip(1)) {
            if lower.end_bytes() != upper.offset_bytes {
                return Err(PlanError::NotContiguous(lower.name, upper.name));
            }
            if !compatible(lower.kind, upper.kind) {
                return Err(PlanError::IncompatibleTypes(lower.name, upper.name));
            }
        }
        let first = members.first().ok_or(PlanError::Empty)?;
        Ok(Self {
            name,
            offset_bytes: first.offset_bytes,
            size_bytes: members.iter().map(|member| member.size_bytes).sum(),
            kind: first.kind,
            generation: members
                .iter()
                .map(|member| member.generation)
                .max()
                .unwrap_or(0),
        })
    }

    /// Returns whether the device can have struct pages, given where its segment space begins.
    ///
    /// Both ends must lie on a boundary of a subsection of the memory map.
    pub(crate) fn dax_aligned(&self, space_address: u64) -> bool {
        let start = space_address.wrapping_add(self.offset_bytes);
        start % DAX_ALIGN_BYTES == 0 && self.size_bytes % DAX_ALIGN_BYTES == 0
    }
}

/// Segments of one device are of one type, except that EN and EW may be mixed, as in dcssblk.
fn compatible(first: SegmentType, second: SegmentType) -> bool {
    let exclusive = |kind| matches!(kind, SegmentType::En | SegmentType::Ew);
    first == second || (exclusive(first) && exclusive(second))
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_plan)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn member(name: &[u8], kind: SegmentType, offset_mib: u64, size_mib: u64) -> Result<Member> {
        Ok(Member {
            name: Name::new(name)?,
            kind,
            offset_bytes: offset_mib * MIB,
            size_bytes: size_mib * MIB,
            generation: offset_mib,
            saved_unix_seconds: 0,
            sha256: [0; 32],
        })
    }

    #[test]
    fn one_segment_is_a_device() -> Result {
        let plan = Plan::new(&mut [member(b"USR", SegmentType::Sr, 2, 4)?])?;
        assert_eq!(plan.offset_bytes, 2 * MIB);
        assert_eq!(plan.size_bytes, 4 * MIB);
        assert!(plan.kind == SegmentType::Sr);
        Ok(())
    }

    #[test]
    fn contiguous_segments_are_sorted_and_named_after_the_first_listed() -> Result {
        let mut members = [
            member(b"B", SegmentType::Sr, 6, 2)?,
            member(b"A", SegmentType::Sr, 2, 4)?,
        ];
        let plan = Plan::new(&mut members)?;
        assert!(plan.name == Name::new(b"B")?);
        assert_eq!(plan.offset_bytes, 2 * MIB);
        assert_eq!(plan.size_bytes, 6 * MIB);
        assert_eq!(plan.generation, 6);
        Ok(())
    }

    #[test]
    fn a_gap_is_refused() -> Result {
        let mut members = [
            member(b"A", SegmentType::Sr, 2, 2)?,
            member(b"B", SegmentType::Sr, 6, 2)?,
        ];
        assert!(matches!(
            Plan::new(&mut members),
            Err(PlanError::NotContiguous(_, _))
        ));
        Ok(())
    }

    #[test]
    fn only_exclusive_types_may_be_mixed() -> Result {
        for (first, second, fits) in [
            (SegmentType::En, SegmentType::Ew, true),
            (SegmentType::Sr, SegmentType::Er, false),
            (SegmentType::Sr, SegmentType::Ew, false),
        ] {
            let mut members = [member(b"A", first, 2, 2)?, member(b"B", second, 4, 2)?];
            assert_eq!(Plan::new(&mut members).is_ok(), fits);
        }
        Ok(())
    }

    #[test]
    fn no_segment_is_no_device() {
        assert!(matches!(Plan::new(&mut []), Err(PlanError::Empty)));
    }

    #[test]
    fn dax_needs_both_ends_aligned() -> Result {
        let mut plan = Plan::new(&mut [member(b"USR", SegmentType::Sr, 2, 4)?])?;
        assert!(plan.dax_aligned(0x1_4000_0000));
        assert!(!plan.dax_aligned(0x1_4000_1000));
        plan.size_bytes += 4096;
        assert!(!plan.dax_aligned(0x1_4000_0000));
        Ok(())
    }
}
