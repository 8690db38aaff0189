// SPDX-License-Identifier: GPL-2.0

//! The thread of the balloon: takes and returns pages until the pools hold what they are to hold.

use crate::{
    balloon::{
        Balloon,
        Phase, //
    },
    release::Release,
    reuse::{
        Backoff,
        ReuseTimer, //
    },
    source::Source,
    statistics::Statistics,
    target::{
        self,
        Pool,
        Step, //
    }, //
};
use kernel::{
    mm::{
        page_block::PageBlockList,
        stats::MemInfo, //
    },
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc,
        Completion, //
    },
    time::{
        msecs_to_jiffies,
        Instant,
        Monotonic, //
    },
    virtio::SharedConfig, //
};

/// Where the device says how many pages it wants (`num_pages`).
const CONFIG_NUM_PAGES: u32 = 0;
/// Where the driver says how many pages it holds (`actual`).
const CONFIG_ACTUAL: u32 = 4;

/// How many pages are taken between two looks at everything else: 256 MiB.
const ROUND_PAGES: u64 = 64 << 10;

/// How many of them may go to the host one by one, which takes longer: 16 MiB.
const ROUND_SINGLE_PAGES: u64 = 4 << 10;

/// How long the worker sleeps when there is nothing to do. Who changes something wakes it.
const IDLE_MS: u64 = 60_000;

/// How long, when the host owes an answer.
const OVERDUE_MS: u64 = 1_000;

/// Why taking pages has stopped before the target was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Too little memory would be left available.
    Floor,
    /// There is no page that the host could have.
    NoPages,
    /// The host does not answer, or the device is gone.
    Host(Error),
}

fn elapsed_us(start: Instant<Monotonic>) -> u64 {
    u64::try_from(start.elapsed().as_micros_ceil()).unwrap_or(0)
}

/// The worker. It alone uses the queues.
pub(crate) struct Worker {
    pub(crate) balloon: Arc<Balloon>,
    pub(crate) config: Arc<SharedConfig>,
    pub(crate) release: Release,
    pub(crate) statistics: Option<Statistics>,
    pub(crate) wake: Arc<Completion>,
    pub(crate) progress: Progress,
}

/// What the worker remembers from one round to the next.
pub(crate) struct Progress {
    started: Instant<Monotonic>,
    /// What the device wanted when it was asked last.
    wanted: Option<u32>,
    /// What was written to the device last.
    actual: Option<u32>,
    timer: ReuseTimer,
    reuse_generation: u64,
    backoff: Backoff,
    /// Nothing is taken before that time.
    not_before_ms: u64,
    /// The host has stopped answering, which was said.
    broken: bool,
    /// How often the device had been reset when the queues were new.
    resets: Option<u32>,
}

impl Progress {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            wanted: None,
            actual: None,
            timer: ReuseTimer::default(),
            reuse_generation: 0,
            backoff: Backoff::new(),
            not_before_ms: 0,
            broken: false,
            resets: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0)
    }
}

impl Worker {
    /// Works until it is stopped.
    pub(crate) fn run(mut self) {
        let mut parked = true;

        self.balloon.set_worker();
        loop {
            self.wake.reinit();
            let phase = self.balloon.phase();
            let sleep_ms = match phase {
                Phase::Run => {
                    if parked {
                        self.start();
                        parked = false;
                    }
                    self.round()
                }
                Phase::Park | Phase::Stop => {
                    if !parked {
                        self.empty();
                        parked = true;
                    }
                    if phase == Phase::Stop {
                        break;
                    }
                    self.balloon.parked.complete_all();
                    IDLE_MS
                }
            };
            if sleep_ms > 0 {
                let timeout = msecs_to_jiffies(u32::try_from(sleep_ms).unwrap_or(u32::MAX));
                // Whether the time is over or somebody woke us up: look again.
                let _ = self.wake.wait_for_completion_interruptible_timeout(timeout);
            }
        }
        self.balloon.parked.complete_all();
    }

    /// Begins, or goes on after a pause. In a pause the device may have been reset.
    fn start(&mut self) {
        let resets = self.balloon.resets.load(Relaxed);
        self.progress.actual = None;
        if self.progress.resets.replace(resets) == Some(resets) {
            return;
        }
        self.progress.broken = false;
        if let Err(error) = self.release.restart() {
            self.complain(error);
        }
        if let Some(statistics) = &mut self.statistics {
            if let Err(error) = statistics.start() {
                pr_warn!("no statistics for the host: {error:?}\n");
            }
        }
    }

    /// Returns all pages.
    fn empty(&mut self) {
        let blocks = self.balloon.with(|state| state.pools.remove_all());

        self.take_back(blocks);
        self.tell();
        self.write_actual();
    }

    /// Tells the host of pages that the guest wants to use again.
    fn tell(&mut self) {
        let (untold, number) = self.balloon.take_untold();

        if untold.pages() > 0 {
            self.take_back(untold);
        }
        self.balloon.set_told(number);
    }

    /// Takes what the host was done with after its time was over.
    fn collect_late(&mut self) {
        if !self.release.is_stuck() {
            return;
        }
        let mut done = PageBlockList::new();

        self.release.collect(&mut done);
        self.balloon.keep(Pool::Static, done);
        if !self.release.is_stuck() {
            pr_info!("the host takes pages again\n");
            self.progress.broken = false;
        }
    }

    fn take_back(&mut self, blocks: PageBlockList) {
        match self.release.take_back(blocks) {
            Ok(told) => self.balloon.counters.deflated_pages.add(told),
            Err(error) => self.complain(error),
        }
    }

    /// Does one thing, and returns how long to sleep before the next, in milliseconds.
    fn round(&mut self) -> u64 {
        self.collect_late();
        self.tell();
        self.serve_statistics();
        self.read_target();
        self.reuse();

        let sleep_ms = match self.balloon.step() {
            Step::Rest => {
                self.progress.backoff = Backoff::new();
                IDLE_MS
            }
            Step::Return(pool, pages) => {
                self.return_pages(pool, pages);
                0
            }
            Step::Take(pool, pages) => self.try_to_take(pool, pages),
        };
        self.write_actual();
        let reuse_ms = self.progress.timer.remaining_ms(self.progress.now_ms());
        let overdue_ms = if self.release.is_stuck() {
            OVERDUE_MS
        } else {
            u64::MAX
        };
        sleep_ms
            .min(overdue_ms)
            .min(reuse_ms.map_or(u64::MAX, |ms| ms.max(1)))
    }

    fn serve_statistics(&mut self) {
        let Some(statistics) = &mut self.statistics else {
            return;
        };

        if matches!(statistics.serve(), Ok(true)) {
            self.balloon.counters.statistics.add(1);
        }
    }

    /// SHRINK by the host: the device wants another number of pages than before.
    fn read_target(&mut self) {
        let wanted = self
            .config
            .with(|config| config.read::<u32>(CONFIG_NUM_PAGES))
            .ok();

        if let Some(wanted) = wanted.filter(|_| wanted != self.progress.wanted) {
            self.progress.wanted = Some(wanted);
            self.progress.not_before_ms = 0;
            self.balloon.shrink(u64::from(wanted));
        }
    }

    /// Lowers the target of the timed pool when its time has come.
    fn reuse(&mut self) {
        let now_ms = self.progress.now_ms();
        let (reuse, generation, pressure, has_timed) = self.balloon.with(|state| {
            let pressure = core::mem::take(&mut state.pressure);
            let has_timed = state.targets.has_timed();
            (state.reuse, state.reuse_generation, pressure, has_timed)
        });

        if generation != self.progress.reuse_generation {
            self.progress.reuse_generation = generation;
            self.progress.timer.restart(reuse, now_ms);
        }
        if !has_timed {
            self.progress.timer.stop();
        }
        let pages = self.progress.timer.due_pages(reuse, now_ms);
        if pages > 0 {
            self.balloon.with(|state| state.targets.reuse(pages));
        }
        if pressure {
            self.wait_for_better_times();
        }
    }

    /// Puts off taking pages, each time for longer.
    fn wait_for_better_times(&mut self) {
        let wait_ms = self.progress.backoff.next_ms();

        self.progress.not_before_ms = self.progress.now_ms().saturating_add(wait_ms);
    }

    fn return_pages(&mut self, pool: Pool, pages: u64) {
        let start = Instant::<Monotonic>::now();
        let blocks = self.balloon.with(|state| state.pools.remove(pool, pages));

        self.balloon
            .counters
            .returned_pages
            .add(blocks.pages() as u64);
        self.take_back(blocks);
        self.balloon.counters.return_us.add(elapsed_us(start));
    }

    /// Takes pages if it is time for that, and returns how long to sleep.
    fn try_to_take(&mut self, pool: Pool, pages: u64) -> u64 {
        let left_ms = self
            .progress
            .not_before_ms
            .saturating_sub(self.progress.now_ms());
        if left_ms > 0 {
            return left_ms;
        }
        let start = Instant::<Monotonic>::now();
        self.balloon.begin_taking();
        let taken = self.take(pool, pages.min(ROUND_PAGES));
        self.balloon.end_taking();
        self.balloon.counters.take_us.add(elapsed_us(start));
        let Err(stop) = taken else {
            self.progress.backoff = Backoff::new();
            return 0;
        };

        let counters = &self.balloon.counters;
        match stop {
            Stop::Floor => counters.stops_at_floor.add(1),
            Stop::NoPages => counters.stops_without_pages.add(1),
            Stop::Host(error) => {
                counters.stops_by_host.add(1);
                self.complain(error);
            }
        }
        self.wait_for_better_times();
        self.progress
            .not_before_ms
            .saturating_sub(self.progress.now_ms())
            .max(1)
    }

    /// Takes `wanted` pages from the guest and gives them to the host.
    fn take(&mut self, pool: Pool, wanted: u64) -> Result<(), Stop> {
        if self.progress.broken || self.release.is_stuck() {
            return Err(Stop::Host(EIO));
        }
        let balloon = self.balloon.clone();
        let available = MemInfo::now().available_pages as u64;
        let room = target::allowed(u64::MAX, available, balloon.options.floor_pages);
        let budget = wanted.min(room);
        let max_order = self.release.max_order(balloon.options.max_order);
        let mut source = Source::new(&balloon, max_order, room);
        let mut done = PageBlockList::new();

        let filled = self.fill(&mut source, budget, &mut done);
        let finished = match filled {
            // The host is not waited for twice.
            Err(Stop::Host(_)) => Ok(()),
            _ => self.release.finish(&mut done).map_err(Stop::Host),
        };
        self.release.cancel();
        balloon.keep(pool, done);
        filled.and(finished)?;
        if budget < wanted {
            return Err(Stop::Floor);
        }
        Ok(())
    }

    fn fill(
        &mut self,
        source: &mut Source<'_>,
        budget: u64,
        done: &mut PageBlockList,
    ) -> Result<(), Stop> {
        let mut left = budget;
        let (mut blocks, mut reported, mut inflated) = (0, 0, 0);
        let mut result = Ok(());

        while left > 0 && inflated < ROUND_SINGLE_PAGES {
            let Some(block) = source.next(left) else {
                // Who interrupts has changed something: look again.
                if !self.balloon.is_interrupted() {
                    result = Err(Stop::NoPages);
                }
                break;
            };
            let pages = block.pages() as u64;
            left -= pages;
            if self.release.is_reported(block.order()) {
                reported += pages;
                blocks += 1;
            } else {
                inflated += pages;
            }
            if let Err(error) = self.release.send(block, done) {
                result = Err(Stop::Host(error));
                break;
            }
        }
        let counters = &self.balloon.counters;
        counters.reported_pages.add(reported);
        counters.reported_blocks.add(blocks);
        counters.inflated_pages.add(inflated);
        result
    }

    /// Tells the device how many pages the pools hold.
    fn write_actual(&mut self) {
        let held = self.balloon.held().total();
        let actual = u32::try_from(held).unwrap_or(u32::MAX);

        if self.progress.actual != Some(actual) {
            let written = self
                .config
                .with(|config| config.write(CONFIG_ACTUAL, actual));
            if written.is_ok() {
                self.progress.actual = Some(actual);
            }
        }
    }

    /// Says once that the host does not do its part.
    fn complain(&mut self, error: Error) {
        if !self.progress.broken {
            pr_err!("the host does not take pages anymore: {error:?}\n");
            self.progress.broken = true;
        }
    }
}
