// SPDX-License-Identifier: GPL-2.0

//! What all parts of a balloon share: the targets, the pools, and who changes them.

use crate::{
    answers::Answers,
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
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion,
        SpinLock, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    }, //
};

/// How many pages one call of the out-of-memory handler gives back: enough for what asks to go on.
const OOM_PAGES: u64 = 8192;

/// How long those who need pages that are on their way wait for the worker.
const WORKER_TIMEOUT_MS: Msecs = 1_000;

/// As above, for memory that goes offline: nobody is killed meanwhile.
const OFFLINE_TIMEOUT_MS: Msecs = 10_000;

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
    /// Pages of which the host is to be told before they are used again.
    untold: PageBlockList,
    /// Counts the times that there were such pages, and those that the host knows of.
    untold_count: u64,
    told_count: u64,
    /// The worker has pages that are in no pool: on their way to the host, or refused.
    taking: bool,
    /// The static pool is to hold more than the guest has, which was said.
    too_much: bool,
    phase: Phase,
    /// Memory that is going offline: nothing in it may be kept.
    offlining: Option<Range<usize>>,
}

/// A balloon.
#[pin_data]
pub(crate) struct Balloon {
    pub(crate) options: Options,
    pub(crate) counters: Counters,
    /// Whether the host is to be told before pages are used again.
    pub(crate) must_tell: bool,
    pub(crate) answers: Arc<Answers>,
    /// There is something to do for the worker.
    wake: Arc<Completion>,
    /// The worker is to look again before it takes more pages.
    interrupted: Atomic<bool>,
    /// How often the device was reset.
    pub(crate) resets: Atomic<u32>,
    /// The thread of the worker, by its number.
    worker: Atomic<i32>,
    /// The worker has no pages that are in no pool, or the host was told of some.
    #[pin]
    settled: Completion,
    /// The worker holds nothing and leaves the device alone.
    #[pin]
    pub(crate) parked: Completion,
    #[pin]
    state: SpinLock<State>,
}

impl Balloon {
    /// Makes a balloon that is empty.
    pub(crate) fn new(
        options: Options,
        must_tell: bool,
        wake: Arc<Completion>,
    ) -> Result<Arc<Self>> {
        let answers = Answers::new()?;
        let state = State {
            targets: Targets::default(),
            pools: Pools::new(),
            reuse: Reuse::default(),
            reuse_generation: 0,
            pressure: false,
            untold: PageBlockList::new(),
            untold_count: 0,
            told_count: 0,
            taking: false,
            too_much: false,
            phase: Phase::Run,
            offlining: None,
        };

        Arc::pin_init(
            pin_init!(Self {
                options,
                counters: Counters::default(),
                must_tell,
                answers,
                wake,
                interrupted: Atomic::new(false),
                resets: Atomic::new(0),
                worker: Atomic::new(0),
                settled <- Completion::new(),
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
        self.interrupted.store(true, Relaxed);
        self.wake.complete_all();
    }

    /// Returns whether the worker is to look at the state before it takes more pages.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Relaxed)
    }

    /// The calling thread is the worker.
    pub(crate) fn set_worker(&self) {
        self.worker.store(current!().pid(), Relaxed);
    }

    /// The worker begins to take pages, which it will put into a pool or free.
    pub(crate) fn begin_taking(&self) {
        self.interrupted.store(false, Relaxed);
        self.with(|state| state.taking = true);
    }

    /// The worker has put all pages into a pool, or has freed them.
    pub(crate) fn end_taking(&self) {
        self.with(|state| state.taking = false);
        self.settled.complete_all();
    }

    /// Interrupts the worker and waits until `is_settled`. Returns whether it is so.
    fn settle(&self, timeout_ms: Msecs, is_settled: impl Fn(&State) -> bool) -> bool {
        const PAUSE_MS: Msecs = 10;

        for _ in 0..timeout_ms / PAUSE_MS {
            self.settled.reinit();
            if self.with(|state| is_settled(state)) {
                return true;
            }
            self.wake();
            // Others wait with the same completion: whether it is time, is looked at again.
            let _ = self
                .settled
                .wait_for_completion_timeout(msecs_to_jiffies(PAUSE_MS));
        }
        self.with(|state| is_settled(state))
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
        self.answers.set_hurry(self.phase() != Phase::Run);
        self.wake();
    }

    /// SHRINK: sets the target of the static pool.
    pub(crate) fn shrink(&self, pages: u64) {
        let limit = limit();
        let is_news = self.with(|state| {
            let before = core::mem::replace(&mut state.too_much, pages > limit);

            state.targets.shrink(pages);
            state.too_much && !before
        });
        if is_news {
            pr_warn!("SHRINK {pages}: more than the guest has, cut to what there is\n");
        }
        self.wake();
    }

    /// RELEASE: adds to the target of the timed pool.
    pub(crate) fn release(&self, pages: u64) {
        let limit = limit();

        self.with(|state| {
            if !state.targets.has_timed() {
                // The first period begins now.
                state.reuse_generation += 1;
            }
            state.targets.release(pages, limit);
        });
        if pages > limit {
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
        let limit = limit();

        self.with(|state| state.targets.step(state.pools.held(), limit))
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
        self.let_go(freed);
    }

    /// Returns `blocks`, which are no longer in a pool, to the guest. If the host is to be told
    /// before, the worker does that, and the result is what to wait for.
    fn let_go(&self, blocks: PageBlockList) -> Option<u64> {
        if !self.must_tell || blocks.pages() == 0 {
            drop(blocks);
            return None;
        }
        let number = self.with(|state| {
            state.untold.append(blocks);
            state.untold_count += 1;
            state.untold_count
        });

        self.wake();
        Some(number)
    }

    /// Waits, if that is to be waited for, until the host was told.
    fn wait_until_told(&self, number: Option<u64>, timeout_ms: Msecs) {
        if let Some(number) = number {
            self.settle(timeout_ms, |state| state.told_count >= number);
        }
    }

    /// Returns the pages of which the host is to be told now.
    pub(crate) fn take_untold(&self) -> (PageBlockList, u64) {
        self.with(|state| {
            let untold = core::mem::take(&mut state.untold);
            (untold, state.untold_count)
        })
    }

    /// The host was told of the pages up to that number, and they are free.
    pub(crate) fn set_told(&self, number: u64) {
        self.with(|state| state.told_count = number);
        self.settled.complete_all();
    }

    /// Takes pages out of the pools because memory is short, at most those that `allowed` says of
    /// what they hold, and returns how many were freed.
    fn give_way(&self, allowed: impl FnOnce(Pages) -> u64) -> u64 {
        let freed = self.with(|state| {
            let allowed = allowed(state.pools.held());
            let freed = state.pools.remove_under_pressure(allowed);
            state.targets.settle_timed(state.pools.held());
            state.pressure = true;
            freed
        });
        let count = freed.pages() as u64;

        let told = self.let_go(freed);
        self.wake();
        self.wait_until_told(told, WORKER_TIMEOUT_MS);
        count
    }
}

/// How many pages the guest has, at most of which it could give all. Memory may come and go.
fn limit() -> u64 {
    MemInfo::now().total_pages as u64
}

impl oom::Handler for Balloon {
    fn out_of_memory(&self) -> usize {
        let mut freed = self.give_way(|_| OOM_PAGES);

        if freed == 0 && self.with(|state| state.taking) {
            // What the worker is taking right now is in no pool yet.
            if self.settle(WORKER_TIMEOUT_MS, |state| !state.taking) {
                // If nothing is in a pool now, the worker has freed it.
                freed = self.give_way(|_| OOM_PAGES).max(1);
            }
        }
        self.counters.out_of_memory(freed);
        // CAST: No more pages than there are.
        freed as usize
    }
}

impl shrinker::Shrinker for Balloon {
    fn count(&self) -> usize {
        if self.worker.load(Relaxed) == current!().pid() {
            // Reclaim for the balloon itself: what it gives back it would only have to take again.
            return 0;
        }
        let available = MemInfo::now().available_pages as u64;

        // CAST: No more pages than there are.
        target::reclaimable(self.held(), available, self.options.floor_pages) as usize
    }

    fn scan(&self, pages: usize) -> Option<usize> {
        let available = MemInfo::now().available_pages as u64;
        let floor = self.options.floor_pages;
        let freed =
            self.give_way(|held| target::reclaimable(held, available, floor).min(pages as u64));

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
        let told = self.let_go(freed);

        self.wake();
        // What the worker is taking right now may be there, too; it will not keep it.
        self.settle(OFFLINE_TIMEOUT_MS, |state| !state.taking);
        self.wait_until_told(told, OFFLINE_TIMEOUT_MS);
        Ok(())
    }

    fn offline_ended(&self, _pfns: Range<usize>) {
        self.with(|state| state.offlining = None);
    }
}
