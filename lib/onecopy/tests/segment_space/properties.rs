// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What holds for every segment space, and for every sequence of bytes.

use crate::oracle;
use onecopy_format::segment_space::{
    encode,
    encoded_bytes,
    Member,
    Name,
    SegmentType, //
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{
        select,
        Index, //
    }, //
};
use std::{
    collections::HashSet,
    ops::RangeInclusive, //
};

const BLOCK_BYTES: u64 = 4096;

fn any_name() -> impl Strategy<Value = Name> {
    "[A-Z0-9_][A-Z0-9_-]{0,7}".prop_map(|name| name.parse().unwrap())
}

/// A member whose `offset_bytes` is that from the end of the one before.
fn any_member() -> impl Strategy<Value = Member> {
    let extent = (
        prop_oneof![Just(0), 0..2000_u64],
        prop_oneof![Just(512), 1..2000_u64],
    );
    (
        any_name(),
        0..=6_u8,
        extent,
        1..=9_u64,
        any::<(u64, [u8; 32])>(),
    )
        .prop_map(
            |(name, code, (gap, size), generation, (saved_unix_seconds, sha256))| {
                let kind = SegmentType::from_code(code).unwrap();
                Member {
                    name,
                    kind,
                    offset_bytes: gap * BLOCK_BYTES,
                    size_bytes: size * BLOCK_BYTES,
                    generation,
                    saved_unix_seconds,
                    sha256: if kind.saved() { sha256 } else { [0; 32] },
                }
            },
        )
}

#[derive(Clone, Debug)]
struct Space {
    name: Name,
    generation: u64,
    space_bytes: u64,
    members: Vec<Member>,
}

impl Space {
    /// Puts `members` one after the other, without those that repeat a name.
    fn new(name: Name, generation: u64, slack: u64, mut members: Vec<Member>) -> Self {
        let mut names = HashSet::new();
        members.retain(|member| names.insert(member.name));

        let mut end_bytes = (encoded_bytes(members.len()) as u64).next_multiple_of(BLOCK_BYTES);
        for member in &mut members {
            member.offset_bytes += end_bytes;
            end_bytes = member.end_bytes();
        }
        Self {
            name,
            generation,
            space_bytes: (end_bytes + slack * BLOCK_BYTES).next_multiple_of(2 << 20),
            members,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0xff; encoded_bytes(self.members.len())];
        encode(
            self.name,
            self.generation,
            self.space_bytes,
            &self.members,
            &mut bytes,
        )
        .unwrap();
        bytes
    }
}

/// A space with a number of members in the given range, if no name comes twice.
fn any_space(count: RangeInclusive<usize>) -> impl Strategy<Value = Space> {
    let slack = prop_oneof![Just(0), 0..1000_u64];
    (any_name(), 9..=u64::MAX, slack, vec(any_member(), count))
        .prop_map(|(name, generation, slack, members)| Space::new(name, generation, slack, members))
}

/// A change that keeps most of an image as it is.
#[derive(Clone, Debug)]
enum Edit {
    /// Sets one byte.
    Byte(Index, u8),
    /// Sets a number of the header.
    Header(usize, u64),
    /// Sets a number of a directory entry.
    Set(Index, usize, u64),
    /// Adds to a number of a directory entry.
    Entry(Index, usize, i64),
    /// Copies a field of eight bytes from an entry to another one.
    Copy(Index, Index, usize),
    /// Cuts the end off.
    Truncate(Index),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let header = select(vec![8_usize, 12, 16, 24, 40, 44, 48, 60]);
    let entry = select(vec![8_usize, 16, 24, 32, 40, 48, 64]);
    let number = prop_oneof![
        0..600_u64,
        select(vec![1 << 20, 2 << 20, 1 << 63, u64::MAX])
    ];
    let delta = prop_oneof![
        -3..=3_i64,
        select(vec![-4096_i64, 4096]),
        (-600..600_i64).prop_map(|blocks| blocks * 4096),
    ];

    prop_oneof![
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Byte(at, byte)),
        2 => (header, number.clone()).prop_map(|(field, value)| Edit::Header(field, value)),
        2 => (any::<Index>(), entry.clone(), number)
            .prop_map(|(index, field, value)| Edit::Set(index, field, value)),
        4 => (any::<Index>(), entry, delta)
            .prop_map(|(index, field, delta)| Edit::Entry(index, field, delta)),
        2 => (any::<[Index; 2]>(), select(vec![0_usize, 16, 24]))
            .prop_map(|([from, to], field)| Edit::Copy(from, to, field)),
        1 => any::<Index>().prop_map(Edit::Truncate),
    ]
}

fn read_u64(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..][..8].try_into().unwrap())
}

fn apply(edit: &Edit, image: &mut Vec<u8>) {
    let entries = image.len().saturating_sub(4096) / 128;
    let field_at = |index: &Index, field| 4096 + index.index(entries) * 128 + field;

    match edit {
        Edit::Byte(at, byte) if !image.is_empty() => {
            let at = at.index(image.len());
            image[at] = *byte;
        }
        Edit::Truncate(len) if !image.is_empty() => image.truncate(len.index(image.len())),
        Edit::Header(field, value) if image.len() >= 4096 => {
            image[*field..][..8].copy_from_slice(&value.to_le_bytes());
        }
        Edit::Set(index, field, value) if entries > 0 => {
            image[field_at(index, field)..][..8].copy_from_slice(&value.to_le_bytes());
        }
        Edit::Entry(index, field, delta) if entries > 0 => {
            let at = field_at(index, field);
            let value = read_u64(image, at).wrapping_add_signed(*delta);
            image[at..][..8].copy_from_slice(&value.to_le_bytes());
        }
        Edit::Copy(from, to, field) if entries > 0 => {
            let value = read_u64(image, field_at(from, field));
            image[field_at(to, field)..][..8].copy_from_slice(&value.to_le_bytes());
        }
        _ => {}
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_was_encoded_is_what_is_parsed(
        space in prop_oneof![20 => any_space(1..=12), 1 => any_space(1..=512)]
    ) {
        let bytes = space.encode();
        prop_assert!(oracle::check(&bytes, space.space_bytes));

        let (header, directory) = oracle::parse(&bytes, space.space_bytes).unwrap();
        prop_assert_eq!(header.name, space.name);
        prop_assert_eq!(header.generation, space.generation);
        prop_assert_eq!(header.space_bytes, space.space_bytes);
        prop_assert_eq!(directory.members().collect::<Vec<_>>(), space.members);
    }

    #[test]
    fn a_device_one_byte_too_small_is_refused(space in any_space(1..=12)) {
        prop_assert!(!oracle::check(&space.encode(), space.space_bytes - 1));
    }

    #[test]
    fn any_bytes_are_judged_by_the_rules(bytes in vec(any::<u8>(), 0..6000), device_bytes: u64) {
        oracle::check(&bytes, device_bytes);
    }
}

// Most edits lead to an early refusal, so many are tried, of small images.
proptest! {
    #![proptest_config(config(6000))]

    #[test]
    fn edited_images_are_judged_by_the_rules(
        space in any_space(1..=4),
        edits in vec(any_edit(), 1..3),
        repair in prop::bool::weighted(0.9),
        shrink in prop_oneof![9 => Just(0), 1 => any::<u64>()],
    ) {
        let mut image = space.encode();
        for edit in &edits {
            apply(edit, &mut image);
        }
        if repair {
            oracle::repair_checksums(&mut image);
        }
        oracle::check(&image, u64::MAX - shrink);
    }
}
