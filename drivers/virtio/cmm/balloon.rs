// SPDX-License-Identifier: GPL-2.0

//! What all parts of a balloon share: the targets, the pools, and who changes them.

use crate::{
    counters::Counters,
    options::Options,
    pools::Pools,
    reuse::Reuse,
    target::{
        self,
        Pages,
        Pool,
        Step,
        Targets, //
    }, //
};
use core::ops::Range;
use kernel::{
    mm::{
        memory_hotplug,
        oom,
        page_block::PageBlockList,
        shrinker,
        stats::MemInfo, //
    },
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        Completion,
        SpinLock, //
    }, //
};

/// How many pages one call of the out-of-memory handler gives back: enough for what asks to go on.
const OOM_PAGES: u64 = 8192;

/// What the worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Follow the targets.
    Run,
    /// Hold nothing and leave the device alone.
    Park,
    /// As parking, and for ever.
    Stop,
}

/// What changes.
pub(crate) struct State {
    pub(crate) targets: Targets,
    pub(crate) pools: Pools,
    pub(crate) reuse: Reuse,
    /// Counts the changes of `reuse`.
    pub(crate) reuse_generation: u64,
    /// Memory was short since the worker looked last.
    pub(crate) pressure: bool,
    phase: Phase,
    /// Memory that is going offline: nothing in it may be kept.
    offlining: Option<Range<usize>>,
}

/// A balloon.
#[pin_data]
pub(crate) struct Balloon {
    pub(crate) options: Options,
    pub(crate) counters: Counters,
    /// There is something to do for the worker.
    wake: Arc<Completion>,
    /// The worker holds nothing and leaves the device alone.
    #[pin]
    pub(crate) parked: Completion,
    #[pin]
    state: SpinLock<State>,
}

impl Balloon {
    /// Makes a balloon that is empty.
    pub(crate) fn new(options: Options, wake: Arc<Completion>) -> Result<Arc<Self>> {
        let limit = MemInfo::now().total_pages as u64;
        let state = State {
            targets: Targets::new(limit),
            pools: Pools::new(),
            reuse: Reuse::default(),
            reuse_generation: 0,
            pressure: false,
            phase: Phase::Run,
            offlining: None,
        };

        Arc::pin_init(
            pin_init!(Self {
                options,
                counters: Counters::default(),
                wake,
                parked <- Completion::new(),
                state <- new_spinlock!(state, "cmm"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with the state, which is locked; `f` must not sleep, allocate or free.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock())
    }

    /// Lets the worker look at the state. May be called in any context.
    pub(crate) fn wake(&self) {
        self.wake.complete_all();
    }

    /// Returns how many pages the pools hold.
    pub(crate) fn held(&self) -> Pages {
        self.with(|state| state.pools.held())
    }

    /// Returns what the worker is to do.
    pub(crate) fn phase(&self) -> Phase {
        self.with(|state| state.phase)
    }

    /// Changes what the worker is to do; stopping is for ever.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.with(|state| {
            if state.phase != Phase::Stop {
                state.phase = phase;
            }
        });
        self.wake();
    }

    /// SHRINK: sets the target of the static pool.
    pub(crate) fn shrink(&self, pages: u64) {
        if self.with(|state| state.targets.shrink(pages)) {
            pr_warn!("SHRINK {pages}: more than the guest has, cut to what there is\n");
        }
        self.wake();
    }

    /// RELEASE: adds to the target of the timed pool.
    pub(crate) fn release(&self, pages: u64) {
        if self.with(|state| state.targets.release(pages)) {
            pr_warn!("RELEASE {pages}: more than the guest has, cut to what there is\n");
        }
        self.wake();
    }

    /// REUSE: sets how the timed pool gives pages back.
    pub(crate) fn set_reuse(&self, reuse: Reuse) {
        self.with(|state| {
            state.reuse = reuse;
            state.reuse_generation += 1;
        });
        self.wake();
    }

    /// Returns what to do next.
    pub(crate) fn step(&self) -> Step {
        self.with(|state| state.targets.step(state.pools.held()))
    }

    /// Keeps `blocks` in a pool, but for those in memory that is going offline.
    pub(crate) fn keep(&self, pool: Pool, blocks: PageBlockList) {
        let freed = self.with(|state| {
            state.pools.add(pool, blocks);
            match state.offlining.clone() {
                Some(pfns) => state.pools.remove_range(pfns),
                None => PageBlockList::new(),
            }
        });
        drop(freed);
    }

    /// Takes pages out of the pools because memory is short, and returns how many were freed.
    fn give_way(&self, pages: u64) -> u64 {
        let freed = self.with(|state| {
            let freed = state.pools.remove_under_pressure(pages);
            state.targets.settle_timed(state.pools.held());
            state.pressure = true;
            freed
        });
        let count = freed.pages() as u64;

        drop(freed);
        self.wake();
        count
    }
}

impl oom::Handler for Balloon {
    fn out_of_memory(&self) -> usize {
        let freed = self.give_way(OOM_PAGES);

        self.counters.out_of_memory(freed);
        // CAST: No more pages than there are.
        freed as usize
    }
}

impl shrinker::Shrinker for Balloon {
    fn count(&self) -> usize {
        let available = MemInfo::now().available_pages as u64;

        // CAST: No more pages than there are.
        target::reclaimable(self.held(), available, self.options.floor_pages) as usize
    }

    fn scan(&self, pages: usize) -> Option<usize> {
        let freed = self.give_way(pages as u64);

        self.counters.reclaimed(freed);
        // CAST: As above.
        (freed > 0).then_some(freed as usize)
    }
}

impl memory_hotplug::Handler for Balloon {
    fn going_offline(&self, pfns: Range<usize>) -> Result {
        let freed = self.with(|state| {
            state.offlining = Some(pfns.clone());
            state.pools.remove_range(pfns)
        });

        self.counters.went_offline(freed.pages() as u64);
        drop(freed);
        self.wake();
        Ok(())
    }

    fn offline_ended(&self, _pfns: Range<usize>) {
        self.with(|state| state.offlining = None);
    }
}
