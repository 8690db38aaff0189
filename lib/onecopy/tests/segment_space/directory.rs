// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What directories are refused for.

use crate::{
    oracle,
    sample::*, //
};
use onecopy_format::segment_space::{
    Directory,
    Header,
    SegmentType, //
};

// Offsets of fields in a directory entry.
const TYPE: usize = 8;
const OFFSET: usize = 16;
const SIZE: usize = 24;
const ENTRY_GENERATION: usize = 32;
const SHA256: usize = 64;

#[test]
fn a_truncated_directory_is_refused() {
    let image = Image::new();
    let header = Header::parse(&image.bytes, image.device_bytes).unwrap();
    let directory = &image.bytes[4096..];

    for len in [0, 1, 128, 383] {
        let error = Directory::parse(&header, &directory[..len]).unwrap_err();
        assert_eq!(error.errno(), 5);
        assert_eq!(
            error.to_string(),
            format!("directory: truncated: {len} of 384 bytes are there")
        );
    }
}

#[test]
fn bytes_after_the_directory_do_not_matter() {
    assert_refused(&[(|image| image.bytes.extend([0x5a; 4096]), 0, "accepted")]);
}

#[test]
fn names_that_cannot_be_file_names_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry(0, 0, b"P/Y"),
            22,
            "member #0: name has '/' at position 1, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(1, 0, b"L\0B"),
            22,
            r"member #1: name has '\x00' at position 1, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(1, 0, b"\0IB"),
            22,
            r"member #1: name has '\x00' at position 0, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(2, 0, b".."),
            22,
            "member #2: name has '.' at position 0, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(2, 0, b"tMP"),
            22,
            "member #2: name has 't' at position 0, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(2, 0, b"TMP5678\xff"),
            22,
            r"member #2: name has '\xff' at position 7, not one of A-Z 0-9 _ -",
        ),
        (
            |image| image.put_entry(2, 0, b"-MP"),
            22,
            "member #2: name begins with '-'",
        ),
        (
            |image| image.put_entry(0, 0, &[0; 8]),
            36,
            "member #0: name is empty",
        ),
    ]);
}

#[test]
fn unknown_types_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry(0, TYPE, &[7]),
            22,
            "segment PY: type 7 is not in 0..=6",
        ),
        (
            |image| image.put_entry(1, TYPE, &[255]),
            22,
            "segment LIB: type 255 is not in 0..=6",
        ),
    ]);
}

#[test]
fn misaligned_extents_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(0, OFFSET, 0x20_1234),
            22,
            "segment PY: offset 0x201234 is not a multiple of 4096",
        ),
        (
            |image| image.put_entry_u64(1, OFFSET, 4 * MIB + 512),
            22,
            "segment LIB: offset 0x400200 is not a multiple of 4096",
        ),
        (
            |image| image.put_entry_u64(1, SIZE, 4095),
            22,
            "segment LIB: size_bytes 0xfff is not a multiple of 4096",
        ),
    ]);
}

#[test]
fn zero_length_segment_is_refused() {
    assert_refused(&[(
        |image| image.put_entry_u64(0, SIZE, 0),
        22,
        "segment PY: size_bytes is zero",
    )]);
}

#[test]
fn extents_that_begin_in_the_directory_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(0, OFFSET, 0),
            16,
            "segment PY: offset 0x0 is before the end of the directory, 0x1180",
        ),
        (
            |image| image.put_entry_u64(0, OFFSET, 4096),
            16,
            "segment PY: offset 0x1000 is before the end of the directory, 0x1180",
        ),
        (|image| image.put_entry_u64(0, OFFSET, 8192), 0, "accepted"),
    ]);
}

#[test]
fn extents_larger_than_the_space_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(2, SIZE, 6 * MIB + 4096),
            34,
            "segment TMP: offset 0xa00000 plus size_bytes 0x601000 exceeds the space, 0x1000000",
        ),
        (
            |image| image.put_entry_u64(2, OFFSET, SPACE_BYTES),
            34,
            "segment TMP: offset 0x1000000 plus size_bytes 0x200000 exceeds the space, 0x1000000",
        ),
        (|image| image.put_entry_u64(2, SIZE, 6 * MIB), 0, "accepted"),
    ]);
}

#[test]
fn offset_plus_size_beyond_64_bits_is_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(2, SIZE, 0u64.wrapping_sub(10 * MIB)),
            34,
            "segment TMP: offset 0xa00000 plus size_bytes 0xffffffffff600000 exceeds the space, \
             0x1000000",
        ),
        (
            |image| image.put_entry_u64(2, OFFSET, 0xffff_ffff_ffff_f000),
            34,
            "segment TMP: offset 0xfffffffffffff000 plus size_bytes 0x200000 exceeds the space, \
             0x1000000",
        ),
    ]);
}

#[test]
fn overlapping_extents_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(0, SIZE, 2 * MIB + 4096),
            16,
            "segment LIB: offset 0x400000 is before the end of segment PY, 0x401000",
        ),
        (
            |image| image.put_entry_u64(1, OFFSET, 2 * MIB),
            16,
            "segment LIB: offset 0x200000 is before the end of segment PY, 0x400000",
        ),
        (
            |image| image.put_entry_u64(0, SIZE, 14 * MIB),
            16,
            "segment LIB: offset 0x400000 is before the end of segment PY, 0x1000000",
        ),
    ]);
}

#[test]
fn unsorted_extents_are_refused() {
    assert_refused(&[(
        |image| {
            image.put_entry_u64(0, OFFSET, 12 * MIB);
            image.put_entry_u64(0, SIZE, 2 * MIB);
        },
        22,
        "segment LIB: offset 0x400000 is not sorted: it comes after 0xc00000",
    )]);
}

#[test]
fn duplicate_names_are_refused() {
    assert_refused(&[
        (
            |image| image.put_entry(1, 0, b"PY\0"),
            17,
            "segment PY: name is that of both member #0 and member #1",
        ),
        (
            |image| image.put_entry(2, 0, b"LIB"),
            17,
            "segment LIB: name is that of both member #1 and member #2",
        ),
        (|image| image.put_entry(2, 0, b"LIB2"), 0, "accepted"),
    ]);
}

#[test]
fn a_member_newer_than_its_space_is_refused() {
    assert_refused(&[
        (
            |image| image.put_entry_u64(0, ENTRY_GENERATION, GENERATION + 1),
            22,
            "segment PY: generation 8 is not in 1..=7",
        ),
        (
            |image| image.put_entry_u64(0, ENTRY_GENERATION, 0),
            22,
            "segment PY: generation 0 is not in 1..=7",
        ),
        (
            |image| image.put_entry_u64(0, ENTRY_GENERATION, 1),
            0,
            "accepted",
        ),
    ]);
}

#[test]
fn a_digest_of_unsaved_data_is_refused() {
    assert_refused(&[
        (
            |image| image.put_entry(2, SHA256 + 31, &[1]),
            22,
            "segment TMP: sha256 is not zero although type SN saves no data",
        ),
        (
            |image| image.put_entry(0, TYPE, &[SegmentType::En.code()]),
            22,
            "segment PY: sha256 is not zero although type EN saves no data",
        ),
    ]);
}

#[test]
fn every_reserved_byte_of_an_entry_must_be_zero() {
    for offset in (9..16).chain(48..64).chain(96..128) {
        let mut image = Image::new();
        image.put_entry(1, offset, &[1]);
        oracle::repair_checksums(&mut image.bytes);
        let message = format!("segment LIB: reserved byte {offset} is 0x01, not zero");
        assert_eq!(image.refusal(), (22, message));
    }
}
