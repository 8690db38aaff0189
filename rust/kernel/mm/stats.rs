// SPDX-License-Identifier: GPL-2.0

//! Statistics of the system's memory, as in `/proc/meminfo` and `/proc/vmstat`.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/vmstat.h`](srctree/include/linux/vmstat.h)

use crate::bindings;

/// How much memory there is. The numbers are in pages of [`PAGE_SIZE`](crate::page::PAGE_SIZE).
///
/// They change all the time and are read one after another, so they need not add up.
///
/// # Examples
///
/// ```
/// use kernel::mm::stats::MemInfo;
///
/// let info = MemInfo::now();
/// pr_info!("{} of {} pages are free\n", info.free_pages, info.total_pages);
/// assert!(info.free_pages <= info.total_pages);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MemInfo {
    /// Memory that the kernel manages.
    pub total_pages: usize,
    /// Memory that nobody uses.
    pub free_pages: usize,
    /// An estimate of what programs can allocate before the system begins to swap.
    pub available_pages: usize,
    /// Memory that holds contents of files, including shared memory (`NR_FILE_PAGES`).
    pub file_pages: usize,
}

impl MemInfo {
    /// Reads the numbers.
    ///
    /// Does not sleep, but takes spin locks: it must not be called in interrupt context.
    pub fn now() -> Self {
        let mut info = bindings::sysinfo::default();

        // SAFETY: `info` is valid for writes.
        unsafe { bindings::si_meminfo(&mut info) };
        // SAFETY: This can always be called.
        let available = unsafe { bindings::si_mem_available() };

        Self {
            total_pages: info.totalram,
            free_pages: info.freeram,
            available_pages: available.try_into().unwrap_or(0),
            file_pages: node_pages(bindings::node_stat_item_NR_FILE_PAGES),
        }
    }
}

/// Returns a number of pages, summed up over the memory nodes.
fn node_pages(item: bindings::node_stat_item) -> usize {
    // SAFETY: The callers pass items of the node statistics which are counted in pages.
    unsafe { bindings::global_node_page_state(item) }
}

/// How often something happened since the system started.
///
/// The counters wrap around at the size of a machine word.
///
/// # Examples
///
/// ```
/// use kernel::mm::stats::VmEvents;
///
/// if let Some(events) = VmEvents::now() {
///     assert!(events.major_faults() <= events.minor_faults());
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct VmEvents {
    swap_in_pages: u64,
    swap_out_pages: u64,
    major_faults: u64,
    faults: u64,
    oom_kills: u64,
    alloc_stalls: u64,
    async_scan_pages: u64,
    direct_scan_pages: u64,
    async_reclaim_pages: u64,
    direct_reclaim_pages: u64,
    hugetlb_allocations: Option<(u64, u64)>,
}

impl VmEvents {
    /// Reads the counters. The result is [`None`] without `CONFIG_VM_EVENT_COUNTERS`.
    ///
    /// May sleep.
    #[cfg(CONFIG_VM_EVENT_COUNTERS)]
    pub fn now() -> Option<Self> {
        use bindings::*;

        let mut events = [0; vm_event_item_NR_VM_EVENT_ITEMS as usize];
        // SAFETY: `events` is valid for writes of `NR_VM_EVENT_ITEMS` numbers.
        unsafe { all_vm_events(events.as_mut_ptr()) };

        // CAST: The items are indices of the array, and a `u64` holds a machine word.
        let event = |item: vm_event_item| events[item as usize] as u64;
        let pages = |item| node_pages(item) as u64;

        Some(Self {
            swap_in_pages: event(vm_event_item_PSWPIN),
            swap_out_pages: event(vm_event_item_PSWPOUT),
            major_faults: event(vm_event_item_PGMAJFAULT),
            faults: event(vm_event_item_PGFAULT),
            oom_kills: event(vm_event_item_OOM_KILL),
            alloc_stalls: (0..MAX_NR_ZONES).map(|zone| event(alloc_stall(zone))).sum(),
            async_scan_pages: pages(node_stat_item_PGSCAN_KSWAPD),
            direct_scan_pages: pages(node_stat_item_PGSCAN_DIRECT),
            async_reclaim_pages: pages(node_stat_item_PGSTEAL_KSWAPD),
            direct_reclaim_pages: pages(node_stat_item_PGSTEAL_DIRECT),
            #[cfg(CONFIG_HUGETLB_PAGE)]
            hugetlb_allocations: Some((
                event(vm_event_item_HTLB_BUDDY_PGALLOC),
                event(vm_event_item_HTLB_BUDDY_PGALLOC_FAIL),
            )),
            #[cfg(not(CONFIG_HUGETLB_PAGE))]
            hugetlb_allocations: None,
        })
    }

    /// Reads the counters. The result is [`None`] without `CONFIG_VM_EVENT_COUNTERS`.
    ///
    /// May sleep.
    #[cfg(not(CONFIG_VM_EVENT_COUNTERS))]
    pub fn now() -> Option<Self> {
        None
    }

    /// Pages that were read from swap.
    pub fn swap_in_pages(&self) -> u64 {
        self.swap_in_pages
    }

    /// Pages that were written to swap.
    pub fn swap_out_pages(&self) -> u64 {
        self.swap_out_pages
    }

    /// Page faults that had to read from a disk.
    pub fn major_faults(&self) -> u64 {
        self.major_faults
    }

    /// All page faults, as `virtio_balloon` reports its minor ones (`PGFAULT`).
    pub fn minor_faults(&self) -> u64 {
        self.faults
    }

    /// Processes that were killed because there was no memory left.
    pub fn oom_kills(&self) -> u64 {
        self.oom_kills
    }

    /// Allocations that had to reclaim memory themselves, in all zones.
    pub fn alloc_stalls(&self) -> u64 {
        self.alloc_stalls
    }

    /// Pages that `kswapd` looked at, to reclaim them.
    pub fn async_scan_pages(&self) -> u64 {
        self.async_scan_pages
    }

    /// Pages that those who allocate looked at, to reclaim them.
    pub fn direct_scan_pages(&self) -> u64 {
        self.direct_scan_pages
    }

    /// Pages that `kswapd` reclaimed.
    pub fn async_reclaim_pages(&self) -> u64 {
        self.async_reclaim_pages
    }

    /// Pages that those who allocate reclaimed.
    pub fn direct_reclaim_pages(&self) -> u64 {
        self.direct_reclaim_pages
    }

    /// Huge pages that hugetlbfs got from the page allocator, and those that it did not get.
    /// [`None`] without `CONFIG_HUGETLB_PAGE`.
    pub fn hugetlb_allocations(&self) -> Option<(u64, u64)> {
        self.hugetlb_allocations
    }
}

/// The counter of allocations that stalled in the `zone`th zone.
#[cfg(CONFIG_VM_EVENT_COUNTERS)]
fn alloc_stall(zone: u32) -> bindings::vm_event_item {
    bindings::vm_event_item_ALLOCSTALL_NORMAL - bindings::zone_type_ZONE_NORMAL + zone
}

#[cfg(CONFIG_RUST_MM_KUNIT_TEST)]
#[macros::kunit_tests(rust_mm_stats)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_more_memory_than_all() {
        let info = MemInfo::now();

        assert!(info.free_pages > 0);
        assert!(info.free_pages <= info.total_pages);
        assert!(info.available_pages > 0);
        assert!(info.available_pages <= info.total_pages);
        assert!(info.file_pages <= info.total_pages);
    }

    #[test]
    fn events_are_there_if_they_are_configured() {
        let events = VmEvents::now();

        assert_eq!(events.is_some(), cfg!(CONFIG_VM_EVENT_COUNTERS));
        if let Some(events) = events {
            assert!(events.major_faults() <= events.minor_faults());
            assert!(events.async_reclaim_pages() <= events.async_scan_pages());
            assert!(events.direct_reclaim_pages() <= events.direct_scan_pages());
            assert_eq!(events.oom_kills(), 0);
            assert_eq!(
                events.hugetlb_allocations().is_some(),
                cfg!(CONFIG_HUGETLB_PAGE)
            );
        }
    }

    #[test]
    #[cfg(CONFIG_VM_EVENT_COUNTERS)]
    fn stalls_are_those_of_all_zones() {
        // The zones follow each other, from the first to the one of devices or movable pages.
        assert_eq!(
            alloc_stall(bindings::zone_type_ZONE_NORMAL),
            bindings::vm_event_item_ALLOCSTALL_NORMAL
        );
        assert_eq!(
            alloc_stall(bindings::zone_type_ZONE_MOVABLE),
            bindings::vm_event_item_ALLOCSTALL_MOVABLE
        );
        assert_eq!(
            alloc_stall(bindings::MAX_NR_ZONES),
            alloc_stall(0) + bindings::MAX_NR_ZONES
        );
    }
}
