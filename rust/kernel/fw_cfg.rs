// SPDX-License-Identifier: GPL-2.0

//! What QEMU hands to a guest: files of the firmware configuration device.
//!
//! Reference: [`docs/specs/fw_cfg.rst`](https://www.qemu.org/docs/master/specs/fw_cfg.html) of
//! QEMU.
//!
//! Only reading, and only through the I/O ports of x86.

use crate::{
    alloc::Flags,
    bindings,
    prelude::*, //
};

/// The ports, at the places that QEMU's machines for x86 have them.
const PORT_SELECTOR: u16 = 0x510;
const PORT_DATA: u16 = 0x511;

/// Items that can be selected.
const SIGNATURE: u16 = 0x00;
const FILE_DIR: u16 = 0x19;

/// The longest name of a file, with the NUL behind it, in bytes.
const NAME_BYTES: usize = 56;

/// How large an entry of the directory is: size, selector and 16 bits of nothing, both of them
/// big-endian, and the name.
const ENTRY_BYTES: usize = 8 + NAME_BYTES;

/// The device.
///
/// Who has one must be alone with it: `FW_CFG_SYSFS` uses the same ports, and a reader that gets in
/// between makes the other one read something else. While there is one processor, with interrupts
/// disabled, nobody does; but who was interrupted between choosing an item and reading it will.
pub struct FwCfg(());

impl FwCfg {
    /// Looks for the device.
    ///
    /// Returns `ENODEV` if there is none.
    pub fn new() -> Result<Self> {
        let mut fw_cfg = Self(());
        let mut signature = [0; 4];

        fw_cfg.select(SIGNATURE);
        fw_cfg.read(&mut signature);
        if &signature == b"QEMU" {
            Ok(fw_cfg)
        } else {
            Err(ENODEV)
        }
    }

    /// Returns the content of a file; [`None`] if there is none of that name.
    ///
    /// Returns `EFBIG` if it has more than `max_bytes`; `ENOMEM`. Sleeps only if an allocation with
    /// `flags` does.
    pub fn read_file(
        &mut self,
        name: &str,
        max_bytes: usize,
        flags: Flags,
    ) -> Result<Option<KVec<u8>>> {
        let mut count = [0; 4];
        self.select(FILE_DIR);
        self.read(&mut count);

        for _ in 0..u32::from_be_bytes(count) {
            let mut entry = [0; ENTRY_BYTES];
            self.read(&mut entry);
            let Some((selector, size)) = find(&entry, name) else {
                continue;
            };
            if size > max_bytes {
                return Err(EFBIG);
            }
            let mut content = KVec::from_elem(0, size, flags)?;
            self.select(selector);
            self.read(&mut content);
            return Ok(Some(content));
        }
        Ok(None)
    }

    /// Begins at the start of an item.
    fn select(&mut self, item: u16) {
        // SAFETY: Writing to the selector has no effect but on what the data port returns. If there
        // is no such device nobody listens.
        unsafe { bindings::outw(item, PORT_SELECTOR) }
    }

    /// Reads the next bytes of the item; behind its end there are zeroes.
    fn read(&mut self, to: &mut [u8]) {
        // CAST: Items are far smaller than 4 GiB.
        // SAFETY: `to` has room for as many bytes.
        unsafe { bindings::insb(PORT_DATA, to.as_mut_ptr().cast(), to.len() as u32) }
    }
}

/// Returns selector and size of the file in a directory entry, if it has that name.
fn find(entry: &[u8; ENTRY_BYTES], name: &str) -> Option<(u16, usize)> {
    let [s0, s1, s2, s3, k0, k1, _, _, field @ ..] = entry;
    let end = field.iter().position(|byte| *byte == 0)?;

    (field.get(..end)? == name.as_bytes()).then_some((
        u16::from_be_bytes([*k0, *k1]),
        // CAST: `u32` to `usize` loses nothing.
        u32::from_be_bytes([*s0, *s1, *s2, *s3]) as usize,
    ))
}

#[cfg(CONFIG_IPL_KUNIT_TEST)]
#[macros::kunit_tests(rust_fw_cfg)]
mod tests {
    use super::*;

    fn entry(name: &str) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];

        entry[..8].copy_from_slice(&[0, 0, 1, 2, 0, 0x2a, 0, 0]);
        entry[8..8 + name.len()].copy_from_slice(name.as_bytes());
        entry
    }

    #[test]
    fn files_are_found_by_their_whole_names() {
        assert_eq!(find(&entry("opt/a"), "opt/a"), Some((0x2a, 0x102)));
        for name in ["opt/", "opt/ab", ""] {
            assert_eq!(find(&entry("opt/a"), name), None);
        }
        let longest = "123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(find(&entry(&longest[..56]), &longest[..56]), None);
        assert_eq!(
            find(&entry(&longest[..55]), &longest[..55]),
            Some((0x2a, 0x102))
        );
    }
}
