// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What is encoded, and what is refused instead.

use crate::{
    oracle,
    sample::*, //
};
use onecopy_format::segment_space::{
    encode,
    encoded_bytes,
    Member,
    SegmentType,
    MEMBERS_MAX, //
};

#[test]
fn what_was_encoded_is_found() {
    let bytes = encode_members(&members()).unwrap();
    let (header, directory) = oracle::parse(&bytes, SPACE_BYTES).unwrap();

    assert_eq!(header.name.as_str(), "USR");
    assert_eq!(
        (header.generation, header.space_bytes),
        (GENERATION, SPACE_BYTES)
    );
    assert_eq!(header.member_count, 3);
    assert_eq!(header.directory_offset_bytes(), 4096);
    assert_eq!(header.directory_len_bytes(), 384);
    assert_eq!(header.directory_end_bytes(), 4480);
    assert_eq!(directory.len(), 3);
    assert!(!directory.is_empty());
    assert_eq!(directory.members().collect::<Vec<_>>(), members());
    assert_eq!(directory.find(name("lib")), Some(members()[1]));
    assert_eq!(directory.find(name("NONE")), None);
}

#[test]
fn every_type_can_be_encoded() {
    for code in 0..=6 {
        let kind = SegmentType::from_code(code).unwrap();
        let bytes = encode_members(&[member("A", kind, 2 * MIB, 2 * MIB)]).unwrap();
        assert!(oracle::check(&bytes, SPACE_BYTES));
    }
}

#[test]
fn members_of_single_blocks_need_no_gap() {
    let blocks: Vec<Member> = (0..4)
        .map(|index| {
            member(
                &format!("B{index}"),
                SegmentType::Sr,
                8192 + index * 4096,
                4096,
            )
        })
        .collect();
    let bytes = encode_members(&blocks).unwrap();

    assert!(oracle::check(&bytes, SPACE_BYTES));
    assert!(blocks.iter().all(|block| !block.dax_aligned()));
    assert!(members().iter().all(|member| member.dax_aligned()));
}

fn many(count: usize) -> Vec<Member> {
    let first_block = encoded_bytes(count).div_ceil(4096);
    (0..count)
        .map(|index| {
            let offset_bytes = (first_block + index) as u64 * 4096;
            member(&format!("M{index}"), SegmentType::Er, offset_bytes, 4096)
        })
        .collect()
}

#[test]
fn up_to_512_members_are_accepted() {
    for count in [1, MEMBERS_MAX] {
        let bytes = encode_members(&many(count)).unwrap();
        assert_eq!(bytes.len(), 4096 + count * 128);
        assert!(oracle::check(&bytes, SPACE_BYTES));
    }
}

#[test]
fn zero_members_or_more_than_512_are_refused() {
    for count in [0, MEMBERS_MAX + 1] {
        let error = encode_members(&many(count)).unwrap_err();
        assert_eq!(error.errno(), 22);
        assert_eq!(
            error.to_string(),
            format!("header: member_count {count} is not in 1..=512")
        );
    }
}

#[test]
fn a_small_buffer_is_refused() {
    let needed_bytes = encoded_bytes(3);
    for len in [0, 4095, 4096, needed_bytes - 1] {
        let mut out = vec![0xff; len];
        let error = encode(name("USR"), GENERATION, SPACE_BYTES, &members(), &mut out).unwrap_err();
        assert_eq!(error.errno(), 28);
        assert_eq!(
            error.to_string(),
            format!("directory: buffer has {len} bytes, {needed_bytes} are needed")
        );
        assert!(out.iter().all(|byte| *byte == 0xff));
    }
}

#[test]
fn a_large_buffer_is_written_only_as_far_as_needed() {
    let mut out = vec![0xff; 65536];
    let written = encode(name("USR"), GENERATION, SPACE_BYTES, &members(), &mut out).unwrap();

    assert_eq!(written, 4480);
    assert_eq!(out[..written], encode_members(&members()).unwrap());
    assert!(out[written..].iter().all(|byte| *byte == 0xff));
}

#[test]
fn a_bad_space_is_refused() {
    for (generation, space_bytes, message) in [
        (
            0,
            SPACE_BYTES,
            "header: generation 0 is not in 1..=18446744073709551615",
        ),
        (7, 0, "header: space_bytes is zero"),
        (
            7,
            4096,
            "header: space_bytes 0x1000 is not a multiple of 2097152",
        ),
    ] {
        let mut out = [0xff; 8192];
        let error = encode(name("USR"), generation, space_bytes, &members(), &mut out).unwrap_err();
        assert_eq!((error.errno(), error.to_string().as_str()), (22, message));
        assert!(out.iter().all(|byte| *byte == 0xff));
    }
}

/// A change of the three members, and the errno and message that it leads to.
type Refusal = (fn(&mut Vec<Member>), i32, &'static str);

#[test]
fn what_parse_refuses_is_not_encoded() {
    let cases: [Refusal; 10] = [
        (
            |members| members.swap(0, 1),
            22,
            "segment PY: offset 0x200000 is not sorted: it comes after 0x400000",
        ),
        (
            |members| members[1].offset_bytes -= 4096,
            16,
            "segment LIB: offset 0x3ff000 is before the end of segment PY, 0x400000",
        ),
        (
            |members| members[0].offset_bytes = 4096,
            16,
            "segment PY: offset 0x1000 is before the end of the directory, 0x1180",
        ),
        (
            |members| members[0].offset_bytes += 1,
            22,
            "segment PY: offset 0x200001 is not a multiple of 4096",
        ),
        (
            |members| members[0].size_bytes = 0,
            22,
            "segment PY: size_bytes is zero",
        ),
        (
            |members| members[0].size_bytes += 512,
            22,
            "segment PY: size_bytes 0x200200 is not a multiple of 4096",
        ),
        (
            |members| members[2].size_bytes = 8 * MIB,
            34,
            "segment TMP: offset 0xa00000 plus size_bytes 0x800000 exceeds the space, 0x1000000",
        ),
        (
            |members| members[2].name = members[0].name,
            17,
            "segment PY: name is that of both member #0 and member #2",
        ),
        (
            |members| members[1].generation = 8,
            22,
            "segment LIB: generation 8 is not in 1..=7",
        ),
        (
            |members| members[2].sha256 = [1; 32],
            22,
            "segment TMP: sha256 is not zero although type SN saves no data",
        ),
    ];

    for (change, errno, message) in cases {
        let mut changed = members();
        change(&mut changed);
        let mut out = [0xff; 8192];
        let error = encode(name("USR"), GENERATION, SPACE_BYTES, &changed, &mut out).unwrap_err();
        assert_eq!(
            (error.errno(), error.to_string().as_str()),
            (errno, message)
        );
        assert!(
            out.iter().all(|byte| *byte == 0xff),
            "{message}: something was written"
        );
    }
}
