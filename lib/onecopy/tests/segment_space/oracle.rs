// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The rules for segment spaces, written down a second time.
//!
//! The property tests and the fuzz target ask both the code under test and this module. Nothing is
//! taken from the former but the checksum, which has test vectors of its own; numbers are 128 bits
//! wide, so no sum overflows.

use onecopy_format::segment_space::{
    crc32c,
    encode,
    Directory,
    FormatError,
    Header,
    Member, //
};

const HEADER_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 128;
const HEADER_CRC: usize = 4092;
const DIRECTORY_CRC: usize = 56;
const ERRNOS: [i32; 8] = [5, 16, 17, 19, 22, 34, 36, 95];

/// Parses `image` on a device of `device_bytes` and returns whether it is accepted.
///
/// Panics if it should not have been accepted, if it should have been, or if anything that was
/// decoded is not what the bytes say.
pub(crate) fn check(image: &[u8], device_bytes: u64) -> bool {
    let valid = is_valid(image, device_bytes);

    match parse(image, device_bytes) {
        Ok((header, directory)) => {
            assert!(valid, "accepted, but not valid: {header:?} {directory:?}");
            check_decoded(image, &header, directory);
        }
        Err(error) => {
            assert!(!valid, "refused, but valid: {error}");
            assert!(
                ERRNOS.contains(&error.errno()),
                "{error}: {}",
                error.errno()
            );
            assert_eq!(
                error.errno() == 19,
                image.len() >= 8 && !image.starts_with(b"1COPYSEG")
            );
        }
    }
    valid
}

/// Parses the header and the directory of `image`.
pub(crate) fn parse(
    image: &[u8],
    device_bytes: u64,
) -> Result<(Header, Directory<'_>), FormatError> {
    let header = Header::parse(image, device_bytes)?;
    let directory = Directory::parse(&header, image.get(HEADER_BYTES..).unwrap_or_default())?;
    Ok((header, directory))
}

/// Makes the checksums of `image` right, as far as it is long enough to have them.
pub(crate) fn repair_checksums(image: &mut [u8]) {
    if image.len() < HEADER_BYTES {
        return;
    }
    let end = HEADER_BYTES + number(image, 40, 4).min(512) as usize * ENTRY_BYTES;
    let directory = crc32c(&image[HEADER_BYTES..end.min(image.len())]);
    image[DIRECTORY_CRC..][..4].copy_from_slice(&directory.to_le_bytes());
    let header = crc32c(&image[..HEADER_CRC]);
    image[HEADER_CRC..][..4].copy_from_slice(&header.to_le_bytes());
}

/// Returns the little-endian number of `len` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, len: usize) -> u128 {
    bytes[offset..][..len]
        .iter()
        .rev()
        .fold(0, |sum, byte| sum * 256 + u128::from(*byte))
}

fn is_zero(bytes: &[u8]) -> bool {
    // One comparison of memory: a loop would take most of the time of a fuzzer.
    [0; HEADER_BYTES].starts_with(bytes)
}

fn is_valid(image: &[u8], device_bytes: u64) -> bool {
    if image.len() < HEADER_BYTES || !header_is_valid(image, device_bytes.into()) {
        return false;
    }
    let end = HEADER_BYTES + number(image, 40, 4) as usize * ENTRY_BYTES;
    let Some(directory) = image.get(HEADER_BYTES..end) else {
        return false;
    };
    let entries: Vec<&[u8]> = directory.chunks(ENTRY_BYTES).collect();
    number(image, DIRECTORY_CRC, 4) == crc32c(directory).into()
        && entries
            .iter()
            .all(|entry| entry_is_valid(entry, image, end as u128))
        && pairs_are_valid(&entries)
}

fn header_is_valid(image: &[u8], device_bytes: u128) -> bool {
    let space_bytes = number(image, 16, 8);

    image.starts_with(b"1COPYSEG")
        && number(image, 8, 4) == 1
        && number(image, 12, 4) == 4096
        && space_bytes > 0
        && space_bytes % (2 * 1024 * 1024) == 0
        && space_bytes <= device_bytes
        && number(image, 24, 8) > 0
        && name_is_valid(&image[32..40])
        && (1..=512).contains(&number(image, 40, 4))
        && number(image, 44, 4) == 128
        && number(image, 48, 8) == 4096
        && is_zero(&image[60..HEADER_CRC])
        && number(image, HEADER_CRC, 4) == crc32c(&image[..HEADER_CRC]).into()
}

fn name_is_valid(field: &[u8]) -> bool {
    let name: Vec<u8> = field
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect();
    let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    !name.is_empty()
        && name[0] != b'-'
        && name.iter().all(|byte| allowed.contains(byte))
        && is_zero(&field[name.len()..])
}

fn entry_is_valid(entry: &[u8], image: &[u8], directory_end: u128) -> bool {
    let (kind, offset, size) = (entry[8], number(entry, 16, 8), number(entry, 24, 8));
    let unsaved = kind == 4 || kind == 5;

    name_is_valid(&entry[..8])
        && kind <= 6
        && offset % 4096 == 0
        && offset >= directory_end
        && size % 4096 == 0
        && size > 0
        && offset + size <= number(image, 16, 8)
        && (1..=number(image, 24, 8)).contains(&number(entry, 32, 8))
        && (!unsaved || is_zero(&entry[64..96]))
        && [9..16, 48..64, 96..128]
            .into_iter()
            .all(|range| is_zero(&entry[range]))
}

fn pairs_are_valid(entries: &[&[u8]]) -> bool {
    let names: std::collections::HashSet<&[u8]> = entries.iter().map(|entry| &entry[..8]).collect();

    names.len() == entries.len()
        && entries
            .windows(2)
            .all(|pair| number(pair[0], 16, 8) + number(pair[0], 24, 8) <= number(pair[1], 16, 8))
}

fn check_decoded(image: &[u8], header: &Header, directory: Directory<'_>) {
    let members: Vec<Member> = directory.members().collect();

    assert_eq!(number(image, 40, 4), header.member_count.into());
    assert_eq!(number(image, 40, 4), members.len() as u128);
    assert_eq!(directory.len(), members.len());
    for (member, entry) in members
        .iter()
        .zip(image[HEADER_BYTES..].chunks(ENTRY_BYTES))
    {
        check_member(member, entry);
        assert_eq!(directory.find(member.name), Some(*member));
    }

    let end = HEADER_BYTES + members.len() * ENTRY_BYTES;
    let mut again = vec![0xa5; end];
    let written = encode(
        header.name,
        header.generation,
        header.space_bytes,
        &members,
        &mut again,
    );
    assert_eq!(written, Ok(end));
    assert!(
        again == image[..end],
        "encoding what was decoded gives other bytes"
    );
}

fn check_member(member: &Member, entry: &[u8]) {
    let name = member.name.as_str().as_bytes();
    let (offset, size) = (number(entry, 16, 8), number(entry, 24, 8));
    let two_mib = 2 * 1024 * 1024;

    assert!(entry.starts_with(name) && is_zero(&entry[name.len()..8]));
    assert_eq!(member.kind.code(), entry[8]);
    assert_eq!(u128::from(member.offset_bytes), offset);
    assert_eq!(u128::from(member.size_bytes), size);
    assert_eq!(u128::from(member.end_bytes()), offset + size);
    assert_eq!(u128::from(member.generation), number(entry, 32, 8));
    assert_eq!(u128::from(member.saved_unix_seconds), number(entry, 40, 8));
    assert_eq!(member.sha256, entry[64..96]);
    assert_eq!(
        member.dax_aligned(),
        offset % two_mib == 0 && size % two_mib == 0
    );
}
