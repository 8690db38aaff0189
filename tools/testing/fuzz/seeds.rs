// SPDX-License-Identifier: GPL-2.0

//! Writes the inputs that fuzzing begins with: `seeds DIRECTORY`.
//!
//! There is a subdirectory for each target.

use onecopy_format::segment_space::{
    encode,
    encoded_bytes,
    Member,
    Name,
    SegmentType,
    BLOCK_BYTES,
    MEMBERS_MAX, //
};
use onecopy_fuzz::segment_space::{
    self as target,
    description,
    DESCRIBED,
    DEVICE_SHIFT,
    REPAIR, //
};
use std::{
    env,
    error::Error,
    fs,
    path::Path, //
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?;
    let directory = Path::new(&directory).join("segment_space");

    fs::create_dir_all(&directory)?;
    for flags in 0..1 << (DEVICE_SHIFT + 2) {
        for count in [1, 2, 7] {
            let input = if flags & DESCRIBED == 0 {
                target::encode(flags, &image(count)?)
            } else {
                [vec![flags], description::seed(count)].concat()
            };
            fs::write(directory.join(format!("{count}-members-{flags:02}")), input)?;
        }
    }
    // One each of the largest and of one that is too large: a directory of 64 KiB takes its time.
    for count in [MEMBERS_MAX, MEMBERS_MAX + 1] {
        let input = [vec![REPAIR | DESCRIBED], description::seed(count)].concat();
        fs::write(directory.join(format!("{count}-members")), input)?;
    }
    Ok(())
}

/// Makes the header and directory of a space with `count` members of all types.
fn image(count: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut members = Vec::new();
    let mut end_bytes = (encoded_bytes(count) as u64).next_multiple_of(BLOCK_BYTES);

    for index in 0..count {
        let kind = SegmentType::from_code((index % 7) as u8).ok_or("no such type")?;
        let member = Member {
            name: Name::new(format!("SEG{index}").as_bytes())?,
            kind,
            offset_bytes: end_bytes,
            size_bytes: (1 + index as u64 % 3) * BLOCK_BYTES,
            generation: 1 + index as u64 % 5,
            saved_unix_seconds: 1_800_000_000,
            sha256: [u8::from(kind.saved()); 32],
        };
        end_bytes = member.end_bytes() + index as u64 % 2 * BLOCK_BYTES;
        members.push(member);
    }
    let mut image = vec![0; encoded_bytes(count)];
    let space_bytes = end_bytes.next_multiple_of(2 << 20);
    encode(Name::new(b"FUZZ")?, 5, space_bytes, &members, &mut image)?;
    Ok(image)
}
