// SPDX-License-Identifier: GPL-2.0

//! Where QEMU keeps the ranges of guest memory in its own address space.

use std::ops::Range;

/// One range of guest memory, as `info ramblock` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RamBlock {
    /// QEMU's name, for example `pc.ram` or the QOM path of a memory back end.
    pub name: String,
    /// Address in QEMU's address space.
    pub host_address: u64,
    /// Size in bytes.
    pub size_bytes: u64,
}

impl RamBlock {
    /// Reads the answer of the human monitor to `info ramblock`.
    ///
    /// Lines that do not look like a block, the title for one, are left out.
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.lines().filter_map(Self::parse_line).collect()
    }

    /// Returns the addresses of its first byte and after its last.
    pub(super) fn addresses(&self) -> Range<u64> {
        self.host_address..self.host_address.saturating_add(self.size_bytes)
    }

    /// Whether the mapping at `start..end` lies in the block.
    pub(super) fn holds(&self, start: u64, end: u64) -> bool {
        let addresses = self.addresses();
        start >= addresses.start && end <= addresses.end
    }

    /// Reads `name  page-size unit  offset used total host-address [ro|rw]`.
    fn parse_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        // The name may hold blanks, the other columns do not: look for the first address.
        let at = words.iter().position(|word| word.starts_with("0x"))?;
        let [_offset, used, _total, host, ..] = words.get(at..)? else {
            return None;
        };
        // The two words before the addresses are the page size and its unit.
        let name = words.get(..at.checked_sub(2)?)?.join(" ");
        Some(Self {
            name,
            host_address: hexadecimal(host)?,
            size_bytes: hexadecimal(used)?,
        })
    }
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "\
              Block Name    PSize              Offset               Used              Total                HVA  RO\r
                  pc.ram    4 KiB  0x0000000000400000 0x0000000020000000 0x0000000020000000 0x00007f672be00000  rw\r
                            4 KiB  0x0000000000000000 0x0000000000200000 0x0000000000400000 0x00007f679a77d000  ro\r
";

    #[test]
    fn blocks_with_and_without_a_name_are_read() {
        let block = |name: &str, host_address, size_bytes| RamBlock {
            name: name.to_owned(),
            host_address,
            size_bytes,
        };
        assert_eq!(
            RamBlock::parse_list(ANSWER),
            [
                block("pc.ram", 0x7f67_2be0_0000, 512 << 20),
                block("", 0x7f67_9a77_d000, 2 << 20)
            ]
        );
    }

    #[test]
    fn other_text_holds_no_blocks() {
        assert_eq!(
            RamBlock::parse_list("unknown command: 'info ramblock'\n0x1 0x2"),
            []
        );
    }
}
