// SPDX-License-Identifier: GPL-2.0

//! SHA-256 of a part of a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::Digest;
use sha2::Sha256;

use crate::progress::Meter;

/// Bytes per read.
const CHUNK_BYTES: usize = 1 << 20;

/// Computes the digest of `len` bytes from `offset`.
pub(crate) fn sha256(
    file: &File,
    offset: u64,
    len: u64,
    meter: &mut Meter<'_>,
) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < len {
        let step = usize::try_from(len - done)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        let chunk = buffer.get_mut(..step).unwrap_or_default();
        file.read_exact_at(chunk, offset + done)?;
        hasher.update(&*chunk);
        done += step as u64;
        meter.advance(step as u64);
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Stage;

    #[test]
    fn digest_covers_the_range_and_nothing_else() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"xxabcxx", 0).unwrap();
        let mut report = |_| {};
        let mut meter = Meter::start(&mut report, Stage::Hashing, None, 3);
        let digest = sha256(&file, 2, 3, &mut meter).unwrap();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        // The example of FIPS 180.
        assert_eq!(
            hex,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let mut report = |_| {};
        let mut meter = Meter::start(&mut report, Stage::Hashing, None, 1);
        let error = sha256(&file, 0, 1, &mut meter).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
