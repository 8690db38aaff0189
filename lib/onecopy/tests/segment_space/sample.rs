// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A valid segment space for tests to spoil.

use crate::oracle;
use onecopy_format::segment_space::{
    encode,
    encoded_bytes,
    FormatError,
    Member,
    Name,
    SegmentType, //
};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const SPACE_BYTES: u64 = 16 * MIB;
pub(crate) const GENERATION: u64 = 7;

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// A member with a digest if its type has one.
pub(crate) fn member(
    member_name: &str,
    kind: SegmentType,
    offset_bytes: u64,
    size_bytes: u64,
) -> Member {
    Member {
        name: name(member_name),
        kind,
        offset_bytes,
        size_bytes,
        generation: GENERATION,
        saved_unix_seconds: 1_800_000_000,
        sha256: if kind.saved() { [0xda; 32] } else { [0; 32] },
    }
}

pub(crate) fn members() -> Vec<Member> {
    vec![
        member("PY", SegmentType::Sr, 2 * MIB, 2 * MIB),
        member("LIB", SegmentType::Ew, 4 * MIB, 4 * MIB),
        member("TMP", SegmentType::Sn, 10 * MIB, 2 * MIB),
    ]
}

/// Encodes `members` in the space of the tests.
pub(crate) fn encode_members(members: &[Member]) -> Result<Vec<u8>, FormatError> {
    let mut bytes = vec![0xff; encoded_bytes(members.len())];
    let written = encode(name("USR"), GENERATION, SPACE_BYTES, members, &mut bytes)?;

    assert_eq!(written, bytes.len());
    Ok(bytes)
}

/// The header and the directory of a segment space, and the size of its device.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) device_bytes: u64,
}

impl Image {
    /// Makes the valid image of the three [`members`].
    pub(crate) fn new() -> Self {
        Self {
            bytes: encode_members(&members()).unwrap(),
            device_bytes: SPACE_BYTES,
        }
    }

    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn put_u32(&mut self, offset: usize, value: u32) {
        self.put(offset, &value.to_le_bytes());
    }

    pub(crate) fn put_u64(&mut self, offset: usize, value: u64) {
        self.put(offset, &value.to_le_bytes());
    }

    /// Overwrites a part of the directory entry at `index`.
    pub(crate) fn put_entry(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        self.put(4096 + index * 128 + offset, bytes);
    }

    pub(crate) fn put_entry_u64(&mut self, index: usize, offset: usize, value: u64) {
        self.put_entry(index, offset, &value.to_le_bytes());
    }

    /// Returns why the image is refused, as it is.
    pub(crate) fn refusal(&self) -> (i32, String) {
        match oracle::parse(&self.bytes, self.device_bytes) {
            Ok(_) => (0, String::from("accepted")),
            Err(error) => (error.errno(), error.to_string()),
        }
    }
}

/// A change of a valid image, and the errno and message that it leads to.
pub(crate) type Refusal = (fn(&mut Image), i32, &'static str);

/// Checks that each change is refused although the checksums are right.
#[track_caller]
pub(crate) fn assert_refused(cases: &[Refusal]) {
    for (change, errno, message) in cases {
        let mut image = Image::new();
        change(&mut image);
        oracle::repair_checksums(&mut image.bytes);
        assert_eq!(image.refusal(), (*errno, String::from(*message)));
    }
}
