// SPDX-License-Identifier: GPL-2.0

//! The balloon device as its specification describes it.
//!
//! C header: `include/uapi/linux/virtio_balloon.h` of the kernel.

use alloc::vec::Vec;

use bitflags::bitflags;

/// Offset of the number of pages that the host wants, in the configuration; 32 bits.
pub const CONFIG_TARGET: usize = 0;
/// Offset of the number of pages that the balloon has, in the configuration; 32 bits.
pub const CONFIG_ACTUAL: usize = 4;
/// Offset of what the guest fills free pages with, in the configuration; 32 bits.
pub const CONFIG_POISON: usize = 12;

/// The tag of a record that says how much memory the guest has, in bytes.
pub const STAT_TOTAL_MEMORY: u16 = 5;

bitflags! {
    /// What device and driver can agree on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Features: u64 {
        /// The guest tells the host before it uses pages of the balloon.
        const MUST_TELL_HOST = 1 << 0;
        /// There is a queue for statistics.
        const STATS_VQ = 1 << 1;
        /// The guest may take pages back when it needs them.
        const DEFLATE_ON_OOM = 1 << 2;
        /// There is a queue for free pages that a migration can leave out.
        const FREE_PAGE_HINT = 1 << 3;
        /// The guest fills free pages with a value.
        const PAGE_POISON = 1 << 4;
        /// There is a queue for ranges that the host can discard.
        const REPORTING = 1 << 5;
        /// A descriptor can point to a table of descriptors.
        const INDIRECT_DESC = 1 << 28;
        /// The device is not a legacy one.
        const VERSION_1 = 1 << 32;
    }
}

impl Features {
    /// What the guest accepts when it wants nothing special.
    pub const USUAL: Self = Self::MUST_TELL_HOST
        .union(Self::STATS_VQ)
        .union(Self::REPORTING)
        .union(Self::INDIRECT_DESC)
        .union(Self::VERSION_1);
}

/// The numbers of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queues {
    /// For pages that go into the balloon.
    pub inflate: u16,
    /// For pages that leave the balloon.
    pub deflate: u16,
    /// For statistics.
    pub stats: Option<u16>,
    /// For free pages that a migration can leave out.
    pub free_page: Option<u16>,
    /// For ranges that the host can discard.
    pub reporting: Option<u16>,
    /// How many there are.
    pub count: u16,
}

impl Queues {
    /// Numbers the queues of a device that offers these features.
    ///
    /// What it offers counts, not what the guest accepts: QEMU makes its queues before it knows the
    /// guest.
    pub fn of(offered: Features) -> Self {
        let mut count = 2;
        let mut next = |feature| {
            offered.contains(feature).then(|| {
                count += 1;
                count - 1
            })
        };
        let stats = next(Features::STATS_VQ);
        let free_page = next(Features::FREE_PAGE_HINT);
        let reporting = next(Features::REPORTING);
        Self {
            inflate: 0,
            deflate: 1,
            stats,
            free_page,
            reporting,
            count,
        }
    }
}

/// Returns page numbers as the inflate and deflate queues take them: 32 bits each.
pub fn page_numbers(pages: impl Iterator<Item = u32>) -> Vec<u8> {
    pages.flat_map(u32::to_le_bytes).collect()
}

/// Returns a record of the statistics queue: a tag of 16 bits, a value of 64, nothing between.
pub fn stat_record(tag: u16, value: u64) -> [u8; 10] {
    let mut record = [0; 10];
    record[..2].copy_from_slice(&tag.to_le_bytes());
    record[2..].copy_from_slice(&value.to_le_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_have_the_numbers_of_qemu() {
        let stats = Features::STATS_VQ;
        let queues = Queues::of(stats | Features::REPORTING);
        assert_eq!((queues.stats, queues.reporting), (Some(2), Some(3)));
        assert_eq!((queues.free_page, queues.count), (None, 4));

        let queues = Queues::of(stats | Features::FREE_PAGE_HINT | Features::REPORTING);
        assert_eq!((queues.free_page, queues.reporting), (Some(3), Some(4)));
        assert_eq!(queues.count, 5);

        let queues = Queues::of(Features::VERSION_1);
        assert_eq!((queues.inflate, queues.deflate, queues.count), (0, 1, 2));
        assert_eq!((queues.stats, queues.reporting), (None, None));
    }

    #[test]
    fn features_have_the_bits_of_the_header() {
        assert_eq!(Features::REPORTING.bits(), 32);
        assert_eq!(Features::USUAL.bits(), 0x1_1000_0023);
    }

    #[test]
    fn numbers_are_little_endian_and_packed() {
        assert_eq!(
            page_numbers([1, 0x0203].into_iter()),
            [1, 0, 0, 0, 3, 2, 0, 0]
        );
        assert_eq!(stat_record(5, 0x0102), [5, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    }
}
