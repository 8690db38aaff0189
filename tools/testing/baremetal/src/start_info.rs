// SPDX-License-Identifier: GPL-2.0

//! What the machine tells a PVH guest when it starts it: `hvm_start_info`, version 1.
//!
//! C header: `include/xen/interface/hvm/start_info.h` of the kernel.

use core::ops::Range;

use zerocopy::FromBytes;
use zerocopy::Immutable;
use zerocopy::KnownLayout;

const MAGIC: u32 = 0x336e_c578;
/// The first version with a memory map.
const FIRST_VERSION: u32 = 1;
const TYPE_RAM: u32 = 1;

/// The structure that the guest finds an address of in a register.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    modules: u32,
    modules_address: u64,
    /// Where the command line is, a string that ends with a zero byte; 0 if there is none.
    pub command_line_address: u64,
    rsdp_address: u64,
    /// Where the memory map is: an array of [`MemoryEntry`].
    pub map_address: u64,
    /// How many entries the memory map has.
    pub map_entries: u32,
    reserved: u32,
}

/// A range of addresses and what is there.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MemoryEntry {
    address: u64,
    size_bytes: u64,
    kind: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<StartInfo>() == 56);
const _: () = assert!(size_of::<MemoryEntry>() == 24);

impl StartInfo {
    /// Reads the structure from the beginning of `bytes`.
    ///
    /// Returns nothing when it is not one, or one without a memory map.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (info, _) = Self::read_from_prefix(bytes).ok()?;
        (info.magic == MAGIC && info.version >= FIRST_VERSION).then_some(info)
    }
}

impl MemoryEntry {
    /// Reads the entries in `bytes`; a part of an entry at the end is left out.
    pub fn parse_list(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        let entries = bytes.chunks_exact(size_of::<Self>());
        entries.filter_map(|bytes| Self::read_from_bytes(bytes).ok())
    }

    /// Returns the addresses if there is RAM.
    pub fn ram(&self) -> Option<Range<u64>> {
        let end = self.address.checked_add(self.size_bytes)?;
        (self.kind == TYPE_RAM).then_some(self.address..end)
    }
}

/// Returns the bytes before the first zero byte as text; nothing when there is none or no UTF-8.
pub fn command_line(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    core::str::from_utf8(&bytes[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(magic: u32, version: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [magic, version, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [0, 0x1234_u64, 0, 0x5678] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [7_u32, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn addresses_are_where_xen_puts_them() {
        let info = StartInfo::parse(&info(MAGIC, 1)).unwrap();
        assert_eq!(info.command_line_address, 0x1234);
        assert_eq!((info.map_address, info.map_entries), (0x5678, 7));
    }

    #[test]
    fn other_structures_are_refused() {
        assert!(StartInfo::parse(&info(MAGIC, 0)).is_none());
        assert!(StartInfo::parse(&info(0x2bad_b002, 1)).is_none());
        assert!(StartInfo::parse(&info(MAGIC, 1)[..55]).is_none());
    }

    #[test]
    fn only_ram_is_ram() {
        let mut bytes = Vec::new();
        for (address, size, kind) in [(0, 0x9fc00_u64, 1_u64), (0xf0000, 0x10000, 2)] {
            for word in [address, size, kind] {
                bytes.extend(u64::to_le_bytes(word));
            }
        }
        bytes.extend([0; 23]);
        let ram: Vec<_> = MemoryEntry::parse_list(&bytes)
            .map(|entry| entry.ram())
            .collect();
        assert_eq!(ram, [Some(0..0x9fc00), None]);
    }

    #[test]
    fn a_range_past_the_last_address_is_no_ram() {
        let entry = MemoryEntry {
            address: u64::MAX,
            size_bytes: 2,
            kind: TYPE_RAM,
            reserved: 0,
        };
        assert_eq!(entry.ram(), None);
    }

    #[test]
    fn the_command_line_ends_at_a_zero_byte() {
        assert_eq!(command_line(b"a=b c\0junk"), Some("a=b c"));
        assert_eq!(command_line(b"endless"), None);
        assert_eq!(command_line(b"\xff\0"), None);
    }
}
