// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What headers are refused for.

use crate::{
    oracle,
    sample::*, //
};

#[test]
fn the_unchanged_image_is_accepted() {
    assert_refused(&[(|_| {}, 0, "accepted")]);
}

#[test]
fn another_magic_is_left_to_another_driver() {
    assert_refused(&[
        (
            |image| image.put(0, b"1COPYSEg"),
            19,
            r#"header: magic is "1COPYSEg", not "1COPYSEG""#,
        ),
        (
            |image| image.bytes = vec![0; 8],
            19,
            r#"header: magic is "\x00\x00\x00\x00\x00\x00\x00\x00", not "1COPYSEG""#,
        ),
    ]);
}

#[test]
fn a_truncated_header_is_refused() {
    assert_refused(&[
        (
            |image| image.bytes.clear(),
            5,
            "header: truncated: 0 of 4096 bytes are there",
        ),
        (
            |image| image.bytes.truncate(7),
            5,
            "header: truncated: 7 of 4096 bytes are there",
        ),
        (
            |image| image.bytes.truncate(4095),
            5,
            "header: truncated: 4095 of 4096 bytes are there",
        ),
        (
            |image| image.device_bytes = 4095,
            5,
            "header: truncated: 4095 of 4096 bytes are there",
        ),
    ]);
}

#[test]
fn a_device_without_room_for_the_directory_is_refused() {
    assert_refused(&[
        (
            |image| image.device_bytes = 4096,
            5,
            "directory: truncated: 4096 of 4480 bytes are there",
        ),
        (
            |image| image.device_bytes = 4479,
            5,
            "directory: truncated: 4479 of 4480 bytes are there",
        ),
    ]);
}

#[test]
fn the_wrong_byte_order_is_told_from_an_unknown_version() {
    assert_refused(&[
        (
            |image| image.put(8, &1_u32.to_be_bytes()),
            95,
            "header: version 0x01000000 is 1 in big-endian order",
        ),
        (
            |image| image.put_u32(8, 0),
            95,
            "header: version is 0, not 1",
        ),
        (
            |image| image.put_u32(8, 2),
            95,
            "header: version is 2, not 1",
        ),
        (
            |image| image.put_u32(8, u32::MAX),
            95,
            "header: version is 4294967295, not 1",
        ),
    ]);
}

#[test]
fn the_version_is_looked_at_before_the_checksum() {
    let mut image = Image::new();
    image.put_u32(8, 2);
    assert_eq!(
        image.refusal(),
        (95, String::from("header: version is 2, not 1"))
    );
}

#[test]
fn unknown_flags_are_refused() {
    assert_refused(&[
        (
            |image| image.put_u32(60, 1),
            95,
            "header: flags 0x1 are unknown",
        ),
        (
            |image| image.put_u32(60, 0x8000_0000),
            95,
            "header: flags 0x80000000 are unknown",
        ),
    ]);
}

#[test]
fn fields_that_version_1_fixes_are_refused() {
    assert_refused(&[
        (
            |image| image.put_u32(12, 8192),
            22,
            "header: header_bytes is 8192, not 4096",
        ),
        (
            |image| image.put_u32(44, 256),
            22,
            "header: entry_bytes is 256, not 128",
        ),
        (
            |image| image.put_u64(48, 8192),
            22,
            "header: directory_offset is 0x2000, not 0x1000",
        ),
    ]);
}

#[test]
fn a_bad_space_size_is_refused() {
    assert_refused(&[
        (
            |image| image.put_u64(16, 0),
            22,
            "header: space_bytes is zero",
        ),
        (
            |image| image.put_u64(16, SPACE_BYTES - 4096),
            22,
            "header: space_bytes 0xfff000 is not a multiple of 2097152",
        ),
    ]);
}

#[test]
fn a_space_larger_than_its_device_is_refused() {
    assert_refused(&[
        (
            |image| image.device_bytes = SPACE_BYTES - 1,
            34,
            "header: space_bytes 0x1000000 exceeds the device, 0xffffff",
        ),
        (
            |image| image.put_u64(16, 0xffff_ffff_ffe0_0000),
            34,
            "header: space_bytes 0xffffffffffe00000 exceeds the device, 0x1000000",
        ),
    ]);
}

#[test]
fn a_device_larger_than_the_space_is_accepted() {
    assert_refused(&[
        (|image| image.device_bytes += 1, 0, "accepted"),
        (|image| image.device_bytes = u64::MAX, 0, "accepted"),
    ]);
}

#[test]
fn generation_zero_is_refused() {
    assert_refused(&[(
        |image| image.put_u64(24, 0),
        22,
        "header: generation 0 is not in 1..=18446744073709551615",
    )]);
}

#[test]
fn zero_members_or_more_than_512_are_refused() {
    assert_refused(&[
        (
            |image| image.put_u32(40, 0),
            22,
            "header: member_count 0 is not in 1..=512",
        ),
        (
            |image| image.put_u32(40, 513),
            22,
            "header: member_count 513 is not in 1..=512",
        ),
        (
            |image| image.put_u32(40, u32::MAX),
            22,
            "header: member_count 4294967295 is not in 1..=512",
        ),
    ]);
}

#[test]
fn a_bad_space_name_is_refused() {
    assert_refused(&[
        (|image| image.put(32, &[0; 8]), 36, "header: name is empty"),
        (
            |image| image.put(32, b"US/R"),
            22,
            "header: name has '/' at position 2, not one of A-Z 0-9 _ -",
        ),
    ]);
}

#[test]
fn every_reserved_byte_of_the_header_must_be_zero() {
    for offset in 64..4092 {
        let mut image = Image::new();
        image.put(offset, &[0x80]);
        oracle::repair_checksums(&mut image.bytes);
        let message = format!("header: reserved byte {offset} is 0x80, not zero");
        assert_eq!(image.refusal(), (22, message));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let image = Image::new();
    for bit in 0..image.bytes.len() * 8 {
        let mut bytes = image.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (errno, message) = Image { bytes, ..image }.refusal();
        let expected: &[i32] = match bit / 64 {
            0 => &[19],
            1 if bit / 32 == 2 => &[95],
            _ => &[5],
        };
        assert!(expected.contains(&errno), "bit {bit}: {message}");
    }
}

#[test]
fn wrong_checksums_are_refused() {
    let mut image = Image::new();
    image.put_u32(4092, 0x1234);
    let (errno, message) = image.refusal();
    assert_eq!(errno, 5);
    assert!(message.starts_with("header: checksum is 0x00001234, that of the contents is 0x"));

    let mut image = Image::new();
    image.put_entry(2, 40, b"later");
    let (errno, message) = image.refusal();
    assert_eq!(errno, 5);
    assert!(
        message.starts_with("directory: checksum is 0x"),
        "{message}"
    );
}
