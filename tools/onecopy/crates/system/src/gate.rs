// SPDX-License-Identifier: GPL-2.0

//! The gate that a template and its host share, in the file that is the template's memory.
//!
//! The template's stores reach the file at once, and reading a file sees what others have stored
//! through a shared mapping.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use onecopy_format::saved_kernel;
use onecopy_format::saved_kernel::GATE_BYTES;
use onecopy_format::saved_kernel::GATE_STATE;

/// The gate of a template.
#[derive(Debug)]
pub(crate) struct Gate {
    file: File,
    offset_bytes: u64,
}

impl Gate {
    /// Takes the gate at an offset of the file of a range.
    pub(crate) fn new(file: File, offset_bytes: u64) -> Self {
        Self { file, offset_bytes }
    }

    /// Reads the state; [`None`] while there is no gate, before the kernel is in its place.
    pub(crate) fn state(&self) -> io::Result<Option<saved_kernel::Gate>> {
        let mut bytes = [0; GATE_BYTES];
        self.file.read_exact_at(&mut bytes, self.offset_bytes)?;
        Ok(saved_kernel::Gate::parse(&bytes))
    }

    /// Lets those who go through find that they were started from what was saved, and whether their
    /// shared range is protected.
    pub(crate) fn open(&self, is_protected: bool) -> io::Result<()> {
        self.file.write_all_at(
            &saved_kernel::Gate::resumed(is_protected),
            self.offset_bytes + GATE_STATE,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_opens_the_gate_that_the_kernel_has_closed() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let gate = Gate::new(file.try_clone().unwrap(), 64);
        assert_eq!(gate.state().unwrap(), None);
        file.write_all_at(b"copygate\x01\0\0\0", 64).unwrap();
        assert_eq!(gate.state().unwrap(), Some(saved_kernel::Gate::Waiting));
        for is_protected in [false, true] {
            gate.open(is_protected).unwrap();
            assert_eq!(gate.state().unwrap(), Some(saved_kernel::Gate::Resumed));
            let mut flags = [0xff; 4];
            file.read_exact_at(&mut flags, 64 + 12).unwrap();
            assert_eq!(flags, [u8::from(is_protected), 0, 0, 0]);
        }
    }
}
