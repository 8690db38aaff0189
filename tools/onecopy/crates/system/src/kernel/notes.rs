// SPDX-License-Identifier: GPL-2.0

//! The notes in an ELF file.

use object::elf::FileHeader64;
use object::elf::ELF_NOTE_GNU;
use object::elf::NT_GNU_BUILD_ID;
use object::read::elf::FileHeader;
use object::read::elf::ProgramHeader;
use object::Endianness;
use onecopy_format::saved_kernel::NOTE_NAME;
use onecopy_format::saved_kernel::NOTE_TYPE;

/// The descriptors that we look for.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    /// That of a kernel that can be saved.
    pub(super) layout: Option<&'a [u8]>,
    /// That which identifies the build.
    pub(super) build_id: Option<&'a [u8]>,
}

/// Reads the notes of a 64-bit ELF file.
pub(super) fn read(elf: &[u8]) -> Result<Notes<'_>, object::Error> {
    let header = FileHeader64::<Endianness>::parse(elf)?;
    let endian = header.endian()?;
    let mut found = Notes::default();
    for segment in header.program_headers(endian, elf)? {
        let Some(mut notes) = segment.notes(endian, elf)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            match (note.name(), note.n_type(endian)) {
                (name, NOTE_TYPE) if name == NOTE_NAME.as_bytes() => {
                    found.layout = Some(note.desc());
                }
                (name, NT_GNU_BUILD_ID) if name == ELF_NOTE_GNU => {
                    found.build_id = Some(note.desc());
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The size of the file header, and of a program header, in bytes.
    const HEADER_BYTES: usize = 64;
    const SEGMENT_BYTES: usize = 56;

    /// Makes an ELF file of one segment with these notes: names, types and descriptors.
    pub(crate) fn elf_with_notes(notes: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut content = Vec::new();
        for (name, kind, descriptor) in notes {
            for number in [name.len() + 1, descriptor.len()] {
                content.extend(u32::try_from(number).unwrap().to_le_bytes());
            }
            content.extend(kind.to_le_bytes());
            content.extend(name.as_bytes());
            content.push(0);
            content.resize(content.len().next_multiple_of(4), 0);
            content.extend(*descriptor);
            content.resize(content.len().next_multiple_of(4), 0);
        }
        let mut elf = vec![0; HEADER_BYTES + SEGMENT_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| {
            elf[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(0, b"\x7fELF\x02\x01\x01");
        put(16, &[2, 0, 62, 0, 1]);
        put(32, &[64]);
        put(52, &[64, 0, 56, 0, 1, 0]);
        put(HEADER_BYTES, &[4]);
        put(HEADER_BYTES + 8, &[120]);
        put(HEADER_BYTES + 32, &content.len().to_le_bytes());
        put(HEADER_BYTES + 48, &[4]);
        elf.extend(content);
        elf
    }

    #[test]
    fn notes_are_told_apart_by_name_and_type() {
        let elf = elf_with_notes(&[
            ("onecopy", 2, b"no"),
            ("GNU", 3, b"id"),
            ("onecopies", 1, b"no"),
            ("onecopy", 1, b"yes"),
        ]);
        let notes = read(&elf).unwrap();
        assert_eq!(notes.layout, Some(&b"yes"[..]));
        assert_eq!(notes.build_id, Some(&b"id"[..]));
    }

    #[test]
    fn a_file_that_was_cut_is_an_error() {
        let elf = elf_with_notes(&[("onecopy", 1, &[0; 40])]);
        for len in 0..elf.len() {
            assert!(read(&elf[..len]).is_err(), "{len}");
        }
    }
}
