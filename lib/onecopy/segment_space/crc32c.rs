// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The checksum of headers and directories.

/// The polynomial of CRC-32C (Castagnoli), lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each value of a byte adds to the checksum.
const TABLE: [u32; 256] = table();

#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, once"
)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;

    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < u8::BITS {
            let carry = if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            crc = (crc >> 1) ^ carry;
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Returns the CRC-32C of `bytes`, as in RFC 3720: initial value and final XOR are all ones.
#[allow(
    clippy::indexing_slicing,
    reason = "an index of eight bits is always in a table of 256 entries"
)]
pub fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ (crc >> 8)
    });
    !crc
}
