// SPDX-License-Identifier: GPL-2.0

//! Which kernel a guest really executes: the build-id in its own memory.
//!
//! A kernel has the note with its build-id among its read-only data, which is saved. Where the note
//! is in the saved file, it is in the memory of every guest; the guest's kernel shows the same bytes
//! in `/sys/kernel/notes`.

use std::fs;

use object::elf::ELF_NOTE_GNU;
use object::elf::NT_GNU_BUILD_ID;
use onecopy_format::segment_space::SegmentType;

use crate::content::hexadecimal;
use crate::control::Running;
use crate::error::Error;
use crate::systems::Generation;
use crate::Result;

/// Notes begin at multiples of this.
const NOTE_ALIGN: usize = 4;

impl Running {
    /// Reads the build-id of the guest's kernel from the guest's memory, where the generation that
    /// it was started from has it. Nothing if that has none in its read-only data.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or QEMU does not answer.
    pub fn build_id(&self, generation: &Generation) -> Result<Option<String>> {
        let saved = generation.manifest().kernel.build_id.as_deref();
        let Some(id) = saved.and_then(bytes) else {
            return Ok(None);
        };
        let Some(address) = find(generation, &id)? else {
            return Ok(None);
        };
        // QEMU, which may have another user, cannot pass the directory of the guest.
        let directory = tempfile::tempdir();
        let directory = directory.map_err(Error::io("write to", &std::env::temp_dir()))?;
        let copy = directory.path().join("build-id");
        self.copy_memory(address, id.len() as u64, &copy)?;
        let found = fs::read(&copy).map_err(Error::io("read", &copy))?;
        Ok(Some(hexadecimal(&found)))
    }
}

/// Returns the guest-physical address of a build-id in the ranges that are shared.
fn find(generation: &Generation, id: &[u8]) -> Result<Option<u64>> {
    let ranges = generation.manifest().ranges.iter();
    for range in ranges.filter(|range| range.kind == SegmentType::Sr) {
        let Some(name) = range.file_name() else {
            continue;
        };
        let path = generation.path().join(name);
        let content = fs::read(&path).map_err(Error::io("read", &path))?;
        if let Some(offset) = offset(&content, id) {
            return Ok(Some(range.start + offset as u64));
        }
    }
    Ok(None)
}

/// Returns where a build-id is in memory, behind the header of its note.
fn offset(content: &[u8], id: &[u8]) -> Option<usize> {
    let mut note = Vec::new();
    for number in [ELF_NOTE_GNU.len() + 1, id.len()] {
        note.extend(u32::try_from(number).ok()?.to_le_bytes());
    }
    note.extend(NT_GNU_BUILD_ID.to_le_bytes());
    note.extend(ELF_NOTE_GNU);
    note.push(0);
    let header = note.len();
    note.extend(id);
    let is_note = |at: &usize| {
        content
            .get(*at..)
            .is_some_and(|here| here.starts_with(&note))
    };
    let at = (0..content.len()).step_by(NOTE_ALIGN).find(is_note)?;
    Some(at + header)
}

/// Reads pairs of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let is_valid = digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = (0..digits.len()).step_by(2);
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    is_valid.then(|| pairs.map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_found_behind_the_header_of_its_note() {
        let note = |id: &[u8]| {
            let mut note = vec![4, 0, 0, 0, id.len().try_into().unwrap(), 0, 0, 0];
            note.extend([3, 0, 0, 0]);
            note.extend(b"GNU\0");
            note.extend(id);
            note
        };
        let (other, ours) = ([1, 2, 3, 4], [5, 6, 7, 8]);
        // That of the vDSO is there too, and the bytes of ours may be anywhere.
        let content = [&[0; 8][..], &note(&other), &ours, &note(&ours), &[0; 4]].concat();
        assert_eq!(offset(&content, &ours), Some(8 + 20 + 4 + 16));
        assert_eq!(offset(&content, &other), Some(8 + 16));
        assert_eq!(offset(&content, &[9; 4]), None);
        assert_eq!(offset(&content[1..], &ours), None);
    }

    #[test]
    fn only_pairs_of_digits_are_bytes() {
        assert_eq!(bytes("00ffA1"), Some(vec![0, 255, 161]));
        for text in ["0", "0g", "+1", "ü"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
