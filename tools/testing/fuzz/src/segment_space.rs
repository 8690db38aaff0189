// SPDX-License-Identifier: GPL-2.0

//! Inputs of the target `segment_space`: a byte of flags and one of three kinds of image.
//!
//! 1. An *image* as it is.
//! 2. A *compact* image is one without the 4028 reserved bytes of the header, where a mutation only
//!    leads to one and the same error.
//! 3. A *description* has a few bytes for each member, so that most mutations move an extent or
//!    change a type; in an image, most change a digest or lead to an early refusal.
//!
//! A mutation of an image spoils its checksums. Half of the inputs have theirs repaired, so that the
//! code behind the checksums is reached.

use crate::oracle;
use std::iter::repeat_n;

pub mod description;

/// The flag of inputs whose checksums are repaired.
pub const REPAIR: u8 = 1;
/// The flag of inputs with a compact image.
pub const COMPACT: u8 = 2;
/// The flag of inputs with a description; it goes before that of a compact image.
pub const DESCRIBED: u8 = 4;
/// The position of the two bits that choose a size of the device.
pub const DEVICE_SHIFT: u32 = 3;

const HEADER_BYTES: usize = 4096;
const SPACE_BYTES: usize = 16;
const RESERVED: std::ops::Range<usize> = 64..4092;

/// Makes an input of an image.
pub fn encode(flags: u8, image: &[u8]) -> Vec<u8> {
    let mut input = vec![flags];
    if flags & COMPACT == 0 {
        input.extend(image);
    } else {
        input.extend(&image[..RESERVED.start]);
        input.extend(&image[RESERVED.end..]);
    }
    input
}

/// Makes an image and the size of its device of an input.
fn decode(input: &[u8]) -> Option<(Vec<u8>, u64)> {
    let (flags, rest) = input.split_first()?;
    let mut image = match flags & (COMPACT | DESCRIBED) {
        0 => rest.to_vec(),
        COMPACT => expand(rest),
        _ => description::image(rest),
    };

    if flags & REPAIR != 0 {
        oracle::repair_checksums(&mut image);
    }
    let device_bytes = device_bytes(flags >> DEVICE_SHIFT, &image);
    Some((image, device_bytes))
}

/// Inserts the reserved bytes of the header.
fn expand(compact: &[u8]) -> Vec<u8> {
    let mut image = compact.to_vec();

    if image.len() > RESERVED.start {
        let reserved = repeat_n(0, RESERVED.len());
        image.splice(RESERVED.start..RESERVED.start, reserved);
    }
    image
}

/// Returns a size of the device: the largest one, that of the image, exact, or too small by a byte.
fn device_bytes(choice: u8, image: &[u8]) -> u64 {
    let space_bytes = image
        .get(SPACE_BYTES..HEADER_BYTES)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));

    match choice & 3 {
        0 => u64::MAX,
        1 => image.len() as u64,
        2 => space_bytes,
        _ => space_bytes.wrapping_sub(1),
    }
}

/// Parses the image of an input; panics if the verdict is wrong.
pub fn check(input: &[u8]) {
    if let Some((image, device_bytes)) = decode(input) {
        oracle::check(&image, device_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_decoding_give_the_image_back() {
        let image: Vec<u8> = (0..5000)
            .map(|at| if RESERVED.contains(&at) { 0 } else { at as u8 })
            .collect();
        for flags in [0, COMPACT] {
            let input = encode(flags, &image);
            assert_eq!(decode(&input), Some((image.clone(), u64::MAX)));
        }
        assert_eq!(encode(COMPACT, &image).len(), 1 + 68 + 904);
    }

    #[test]
    fn the_described_seeds_are_valid() {
        for count in [1, 7, 512] {
            let mut input = vec![REPAIR | DESCRIBED];
            input.extend(description::seed(count));
            let (image, device_bytes) = decode(&input).unwrap();
            assert!(oracle::check(&image, device_bytes), "{count} members");
        }
    }
}
