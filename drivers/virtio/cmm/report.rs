// SPDX-License-Identifier: GPL-2.0

//! What the guest reports of itself: the buffer of the statistics queue.

use kernel::{
    mm::stats::{
        MemInfo,
        VmEvents, //
    },
    page::PAGE_SIZE, //
};

/// The bytes of one value: a 16-bit tag and 64 bits, little-endian, without padding.
const RECORD_BYTES: usize = 10;

/// How many values there are (`VIRTIO_BALLOON_S_NR`).
const RECORDS: usize = 16;

/// The size of the buffer in bytes.
pub(crate) const BUFFER_BYTES: usize = RECORD_BYTES * RECORDS;

/// The tags, as in the virtio specification, "Memory Statistics Tags".
#[derive(Clone, Copy)]
enum Tag {
    SwapIn = 0,
    SwapOut = 1,
    MajorFaults = 2,
    MinorFaults = 3,
    FreeMemory = 4,
    TotalMemory = 5,
    AvailableMemory = 6,
    DiskCaches = 7,
    HugetlbAllocations = 8,
    HugetlbFailures = 9,
    OomKills = 10,
    AllocStalls = 11,
    AsyncScan = 12,
    DirectScan = 13,
    AsyncReclaim = 14,
    DirectReclaim = 15,
}

/// A buffer in the making.
pub(crate) struct Report {
    bytes: [u8; BUFFER_BYTES],
    len_bytes: usize,
}

impl Report {
    const fn new() -> Self {
        Self {
            bytes: [0; BUFFER_BYTES],
            len_bytes: 0,
        }
    }

    /// Collects the values of now. What the kernel does not count is left out.
    pub(crate) fn now() -> Self {
        let mut report = Self::new();

        if let Some(events) = VmEvents::now() {
            report.add_events(&events);
        }
        let memory = MemInfo::now();
        report.add_pages(Tag::FreeMemory, memory.free_pages as u64);
        report.add_pages(Tag::TotalMemory, memory.total_pages as u64);
        report.add_pages(Tag::AvailableMemory, memory.available_pages as u64);
        report.add_pages(Tag::DiskCaches, memory.file_pages as u64);
        report
    }

    fn add_events(&mut self, events: &VmEvents) {
        self.add_pages(Tag::SwapIn, events.swap_in_pages());
        self.add_pages(Tag::SwapOut, events.swap_out_pages());
        self.add(Tag::MajorFaults, events.major_faults());
        self.add(Tag::MinorFaults, events.minor_faults());
        self.add(Tag::OomKills, events.oom_kills());
        self.add(Tag::AllocStalls, events.alloc_stalls());
        self.add_pages(Tag::AsyncScan, events.async_scan_pages());
        self.add_pages(Tag::DirectScan, events.direct_scan_pages());
        self.add_pages(Tag::AsyncReclaim, events.async_reclaim_pages());
        self.add_pages(Tag::DirectReclaim, events.direct_reclaim_pages());
        if let Some((allocations, failures)) = events.hugetlb_allocations() {
            self.add(Tag::HugetlbAllocations, allocations);
            self.add(Tag::HugetlbFailures, failures);
        }
    }

    /// Adds a number of pages, which the host wants in bytes.
    fn add_pages(&mut self, tag: Tag, pages: u64) {
        self.add(tag, pages.saturating_mul(PAGE_SIZE as u64));
    }

    fn add(&mut self, tag: Tag, value: u64) {
        let end = self.len_bytes + RECORD_BYTES;

        if let Some([tag_low, tag_high, rest @ ..]) = self.bytes.get_mut(self.len_bytes..end) {
            // CAST: A tag is smaller than 16.
            [*tag_low, *tag_high] = (tag as u16).to_le_bytes();
            rest.copy_from_slice(&value.to_le_bytes());
            self.len_bytes = end;
        }
    }

    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8; BUFFER_BYTES] {
        &self.bytes
    }

    /// Returns how many of the bytes mean something.
    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_report)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_ten_bytes_little_endian() {
        let mut report = Report::new();

        report.add(Tag::DirectReclaim, 0x0102_0304_0506_0708);
        report.add_pages(Tag::SwapIn, 2);
        assert_eq!(report.len_bytes(), 20);
        assert_eq!(
            report.bytes().get(..20),
            Some([15, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0].as_slice())
        );
    }

    #[test]
    fn the_buffer_has_room_for_all_values_and_no_more() {
        let mut report = Report::new();

        for _ in 0..RECORDS + 1 {
            report.add(Tag::FreeMemory, 1);
        }
        assert_eq!(report.len_bytes(), BUFFER_BYTES);
    }

    #[test]
    fn each_value_is_there_once() {
        let report = Report::now();
        let mut seen = [false; RECORDS];

        for record in report.bytes()[..report.len_bytes()].chunks_exact(RECORD_BYTES) {
            let tag = usize::from(u16::from_le_bytes([record[0], record[1]]));
            assert!(!seen[tag]);
            seen[tag] = true;
        }
        // These do not depend on the configuration.
        for tag in [
            Tag::FreeMemory,
            Tag::TotalMemory,
            Tag::AvailableMemory,
            Tag::DiskCaches,
        ] {
            assert!(seen[tag as usize]);
        }
    }
}
