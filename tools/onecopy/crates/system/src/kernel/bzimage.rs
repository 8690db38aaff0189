// SPDX-License-Identifier: GPL-2.0

//! The kernel in a bzImage: Linux's boot protocol, `Documentation/arch/x86/boot.rst`.

use std::io;
use std::io::Read;

use flate2::read::GzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::ELF_MAGIC;

/// Offsets in the setup header, in bytes.
const SETUP_SECTS: usize = 0x1f1;
const BOOT_FLAG: usize = 0x1fe;
const HEADER_MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// The version of the protocol from which on the header says where the payload is.
const VERSION_WITH_PAYLOAD: u16 = 0x0208;

/// Number of sectors of the setup code if the header says 0.
const DEFAULT_SETUP_SECTS: u8 = 4;

const SECTOR_BYTES: usize = 512;

/// How large a kernel may be, so that a damaged file cannot fill the memory.
const KERNEL_MAX_BYTES: u64 = 1 << 30;

/// What compressed payloads begin with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why the kernel cannot be taken out.
#[derive(Debug, thiserror::Error)]
pub enum BzImageError {
    /// The header is of another time, or points outside of the file.
    #[error("its header does not say where the kernel is")]
    Header,
    /// The compression is one that we do not know.
    #[error("it is compressed neither with gzip nor with zstd")]
    Compression,
    /// The compressed data is damaged.
    #[error("its payload is damaged")]
    Payload(#[source] io::Error),
}

/// Finds the payload of a bzImage; [`None`] if the file is none.
pub(super) fn payload(image: &[u8]) -> Option<Result<&[u8], BzImageError>> {
    if field(image, BOOT_FLAG) != Some([0x55, 0xaa]) || field(image, HEADER_MAGIC) != Some(*b"HdrS")
    {
        return None;
    }
    Some(find_payload(image).ok_or(BzImageError::Header))
}

fn find_payload(image: &[u8]) -> Option<&[u8]> {
    let version = u16::from_le_bytes(field(image, VERSION)?);
    if version < VERSION_WITH_PAYLOAD {
        return None;
    }
    let sectors = match image.get(SETUP_SECTS)? {
        0 => DEFAULT_SETUP_SECTS,
        sectors => *sectors,
    };
    // The boot sector comes before the setup code.
    let code = (usize::from(sectors) + 1) * SECTOR_BYTES;
    let number = |offset| {
        let number = u32::from_le_bytes(field(image, offset)?);
        usize::try_from(number).ok()
    };
    let start = code.checked_add(number(PAYLOAD_OFFSET)?)?;
    image.get(start..start.checked_add(number(PAYLOAD_LENGTH)?)?)
}

/// Returns the ELF file in a payload.
pub(super) fn decompress(payload: &[u8]) -> Result<Vec<u8>, BzImageError> {
    if payload.starts_with(&ELF_MAGIC) {
        return Ok(payload.to_vec());
    }
    let mut kernel = Vec::new();
    // Behind a zstd frame there is the length of the kernel, which is not part of it.
    let read = if payload.starts_with(&GZIP_MAGIC) {
        let decoder = GzDecoder::new(payload);
        decoder.take(KERNEL_MAX_BYTES).read_to_end(&mut kernel)
    } else if payload.starts_with(&ZSTD_MAGIC) {
        let decoder = StreamingDecoder::new(payload).map_err(io::Error::other);
        decoder.and_then(|decoder| decoder.take(KERNEL_MAX_BYTES).read_to_end(&mut kernel))
    } else {
        return Err(BzImageError::Compression);
    };
    read.map_err(BzImageError::Payload)?;
    Ok(kernel)
}

fn field<const N: usize>(image: &[u8], offset: usize) -> Option<[u8; N]> {
    image.get(offset..offset + N)?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// "hello" as zstd(1) compresses it, and the length that the kernel's build adds.
    const HELLO_ZSTD: [u8; 22] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x29, 0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0xa3,
        0x6d, 0x9f, 0x88, 0x05, 0x00, 0x00, 0x00,
    ];

    /// Makes a bzImage with one sector of setup code.
    pub(crate) fn with_payload(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR_BYTES + 16];
        let length = u32::try_from(payload.len()).unwrap();
        for (offset, bytes) in [
            (SETUP_SECTS, &[1][..]),
            (BOOT_FLAG, &[0x55, 0xaa]),
            (HEADER_MAGIC, b"HdrS"),
            (VERSION, &[0x0f, 0x02]),
            (PAYLOAD_OFFSET, &[16, 0, 0, 0]),
            (PAYLOAD_LENGTH, &length.to_le_bytes()),
        ] {
            image[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        image.extend(payload);
        image
    }

    #[test]
    fn the_payload_is_where_the_header_says() {
        let image = with_payload(b"content");
        assert_eq!(payload(&image).unwrap().unwrap(), b"content");
        assert!(payload(&image[..image.len() - 1]).unwrap().is_err());
        assert!(payload(b"no kernel").is_none());
        let mut old = image;
        old[VERSION] = 7;
        assert!(matches!(payload(&old), Some(Err(BzImageError::Header))));
    }

    #[test]
    fn zstd_is_known_and_others_are_refused() {
        assert_eq!(decompress(&HELLO_ZSTD).unwrap(), b"hello");
        let damaged = decompress(&HELLO_ZSTD[..12]);
        assert!(matches!(damaged, Err(BzImageError::Payload(_))));
        let lzma = decompress(b"]\0\0\x80");
        assert!(matches!(lzma, Err(BzImageError::Compression)));
    }
}
