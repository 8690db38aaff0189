// SPDX-License-Identifier: GPL-2.0

//! What a kernel file says of itself.

mod bzimage;
mod notes;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::saved_kernel::Layout;
use onecopy_format::saved_kernel::NoteError;

pub use self::bzimage::BzImageError;

/// What begins an ELF file.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";

/// Why a file is not a kernel that can be saved.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The file cannot be read.
    #[error("Cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is neither a vmlinux nor a bzImage.
    #[error("{} is neither an ELF kernel (vmlinux) nor a bzImage", .path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The kernel in a bzImage cannot be taken out.
    #[error("Cannot take the kernel out of {}; pass its vmlinux instead", .path.display())]
    BzImage {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BzImageError,
    },
    /// The ELF file is damaged.
    #[error("{} is not a valid ELF file", .path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: object::Error,
    },
    /// The kernel does not know that it can be shared.
    #[error("The kernel {} cannot be saved: it was built without CONFIG_SHARED_KERNEL", .path.display())]
    NoNote {
        /// The file.
        path: PathBuf,
    },
    /// The kernel may change its text where it cannot fail.
    #[error(
        "The kernel {} cannot be protected: it changes its text where it cannot fail; build it \
         without CONFIG_JUMP_LABEL, CONFIG_PREEMPT_DYNAMIC and CONFIG_LIVEPATCH, or save it without \
         --protect", .path.display()
    )]
    Unprotectable {
        /// The file.
        path: PathBuf,
    },
    /// The kernel is laid out in a way that is not understood.
    #[error("The kernel {} cannot be saved: {reason}", .path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with its note.
        reason: NoteError,
    },
}

/// A kernel that can be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Where its parts are, as guest-physical addresses in bytes.
    pub layout: Layout,
    /// What identifies the build, in hexadecimal; nothing if it was built without.
    pub build_id: Option<String>,
}

impl Kernel {
    /// Reads a vmlinux, or a bzImage whose payload is compressed with gzip or zstd or not at all.
    ///
    /// # Errors
    ///
    /// When the file is no such kernel, or one without `CONFIG_SHARED_KERNEL`.
    pub fn read(path: &Path) -> Result<Self, KernelError> {
        let bytes = fs::read(path).map_err(|source| KernelError::Io {
            path: path.to_owned(),
            source,
        })?;
        if bytes.starts_with(&ELF_MAGIC) {
            return Self::parse(&bytes, path);
        }
        let Some(payload) = bzimage::payload(&bytes) else {
            return Err(KernelError::Unknown {
                path: path.to_owned(),
            });
        };
        let vmlinux = payload.and_then(bzimage::decompress);
        let vmlinux = vmlinux.map_err(|source| KernelError::BzImage {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&vmlinux, path)
    }

    fn parse(elf: &[u8], path: &Path) -> Result<Self, KernelError> {
        let notes = notes::read(elf).map_err(|source| KernelError::Elf {
            path: path.to_owned(),
            source,
        })?;
        let Some(descriptor) = notes.layout else {
            return Err(KernelError::NoNote {
                path: path.to_owned(),
            });
        };
        let layout = Layout::parse(descriptor).map_err(|reason| KernelError::Note {
            path: path.to_owned(),
            reason,
        })?;
        let hexadecimal = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            layout,
            build_id: notes.build_id.map(hexadecimal),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use flate2::Compression;

    use super::notes::tests::elf_with_notes;
    use super::*;

    const LAYOUT: Layout = Layout {
        shared_start: 16 << 20,
        shared_end: 24 << 20,
        image_end: 29 << 20,
        gate: (24 << 20) + 64,
        can_protect: true,
    };

    fn note() -> Vec<u8> {
        let mut descriptor = vec![1, 0, 0, 0, 1, 0, 0, 0];
        for address in [
            LAYOUT.shared_start,
            LAYOUT.shared_end,
            LAYOUT.image_end,
            LAYOUT.gate,
        ] {
            descriptor.extend(address.to_le_bytes());
        }
        descriptor
    }

    fn read(bytes: &[u8]) -> Result<Kernel, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let path = file.path().to_str().unwrap();
        Kernel::read(file.path()).map_err(|error| error.to_string().replace(path, "FILE"))
    }

    fn kernel() -> Kernel {
        Kernel {
            layout: LAYOUT,
            build_id: Some("abcd".to_owned()),
        }
    }

    #[test]
    fn a_vmlinux_and_a_bzimage_say_the_same() {
        let elf = elf_with_notes(&[("GNU", 3, &[0xab, 0xcd]), ("onecopy", 1, &note())]);
        assert_eq!(read(&elf), Ok(kernel()));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&elf).unwrap();
        let image = bzimage::tests::with_payload(&encoder.finish().unwrap());
        assert_eq!(read(&image), Ok(kernel()));
        assert_eq!(read(&bzimage::tests::with_payload(&elf)), Ok(kernel()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let other = elf_with_notes(&[("GNU", 3, &[1]), ("onecopy", 2, &note())]);
        let version = {
            let mut note = note();
            note[0] = 9;
            elf_with_notes(&[("onecopy", 1, &note)])
        };
        for (bytes, expected) in [
            (
                other,
                "The kernel FILE cannot be saved: it was built without CONFIG_SHARED_KERNEL",
            ),
            (
                version,
                "The kernel FILE cannot be saved: the note has version 9, not 1",
            ),
            (
                b"#!/bin/sh".to_vec(),
                "FILE is neither an ELF kernel (vmlinux) nor a bzImage",
            ),
            (b"\x7fELF".to_vec(), "FILE is not a valid ELF file"),
            (
                bzimage::tests::with_payload(b"BZh9"),
                "Cannot take the kernel out of FILE; pass its vmlinux instead",
            ),
        ] {
            assert_eq!(read(&bytes), Err(expected.to_owned()));
        }
    }
}
