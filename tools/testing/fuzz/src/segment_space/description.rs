// SPDX-License-Identifier: GPL-2.0

//! Descriptions of segment spaces, a few bytes for each member.
//!
//! Sizes and gaps between extents are a signed number of 16 bits, shifted left by 0 to 63, so that
//! small steps, misaligned ones and ones beyond 64 bits are all a mutation of one byte away.

const HEADER_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 128;
const MEMBER_BYTES: usize = 12;
/// 513 members are one too many.
const MEMBERS_MAX: usize = 513;
const BLOCK_SHIFT: u8 = 12;

/// Makes the header and the directory that are described, without checksums.
pub(super) fn image(description: &[u8]) -> Vec<u8> {
    let Some((header, rest)) = description.split_first_chunk::<MEMBER_BYTES>() else {
        return Vec::new();
    };
    let members: Vec<&[u8]> = rest.chunks_exact(MEMBER_BYTES).take(MEMBERS_MAX).collect();
    let mut image = vec![0; HEADER_BYTES];
    let directory_end = HEADER_BYTES + members.len() * ENTRY_BYTES;
    let mut end_bytes = (directory_end as u64).next_multiple_of(1 << BLOCK_SHIFT);

    for member in &members {
        let entry = entry(member, &mut end_bytes);
        image.extend(entry);
    }
    let whole = end_bytes.checked_next_multiple_of(2 << 20).unwrap_or(0);
    let [name_0, name_1, _, generation, slack_0, slack_1, slack_shift, ..] = *header;
    put(&mut image, 0, b"1COPYSEG\x01\0\0\0\0\x10\0\0");
    let space_bytes = whole.wrapping_add(shifted([slack_0, slack_1], slack_shift));
    put(&mut image, 16, &space_bytes.to_le_bytes());
    put(&mut image, 24, &u64::from(generation).to_le_bytes());
    put(&mut image, 32, &[name_0, name_1]);
    put(&mut image, 40, &(members.len() as u32).to_le_bytes());
    put(&mut image, 44, b"\x80\0\0\0\0\x10");
    image
}

/// Makes the directory entry of a member behind `end_bytes`, and advances that.
fn entry(member: &[u8], end_bytes: &mut u64) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    let offset = end_bytes.wrapping_add(shifted([member[4], member[5]], member[6]));
    let size = shifted([member[7], member[8]], member[9]);

    put(&mut entry, 0, &member[..2]);
    put(&mut entry, 8, &member[2..3]);
    put(&mut entry, 16, &offset.to_le_bytes());
    put(&mut entry, 24, &size.to_le_bytes());
    put(&mut entry, 32, &member[3..4]);
    put(&mut entry, 64, &member[10..11]);
    put(&mut entry, 96, &member[11..]);
    *end_bytes = offset.wrapping_add(size);
    entry
}

fn shifted(number: [u8; 2], shift: u8) -> u64 {
    // CAST: a negative number is to wrap around.
    (i64::from(i16::from_le_bytes(number)) as u64).wrapping_shl(shift.into())
}

fn put(to: &mut [u8], offset: usize, bytes: &[u8]) {
    to[offset..][..bytes.len()].copy_from_slice(bytes);
}

/// Describes a valid space with `count` members of all types and sizes of one to three blocks.
pub fn seed(count: usize) -> Vec<u8> {
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    let mut description = vec![b'F', b'Z', 0, 5, 0, 0, 21, 0, 0, 0, 0, 0];

    for index in 0..count {
        let first = characters[index / characters.len() % characters.len()];
        let second = characters[index % characters.len()];
        // CAST: the numbers are less than 8.
        let (kind, gap, blocks) = ((index % 7) as u8, (index % 2) as u8, (1 + index % 3) as u8);
        let digest = u8::from(kind != 4 && kind != 5);
        description.extend([first, second, kind, 1 + index as u8 % 5]);
        description.extend([gap, 0, BLOCK_SHIFT, blocks, 0, BLOCK_SHIFT, digest, 0]);
    }
    description
}
