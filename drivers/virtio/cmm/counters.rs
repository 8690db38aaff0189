// SPDX-License-Identifier: GPL-2.0

//! What the balloon has done, for `/sys/kernel/debug/cmm/counters`.

use kernel::{
    debugfs::Writer,
    fmt,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Makes [`Counters`] with a counter for each name, and its text in that order.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The counters. They only grow.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter),+
        }

        impl Counters {
            fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{} {}", stringify!($name), self.$name.get())?;)+
                Ok(())
            }
        }
    };
}

counters! {
    /// Pages that the host took, in blocks of the reporting queue.
    reported_pages,
    /// Those blocks.
    reported_blocks,
    /// Pages that the host took, one number each, through the inflate queue.
    inflated_pages,
    /// Pages that the host was told of, through the deflate queue, when they came back.
    deflated_pages,
    /// Pages that came back because the target is lower.
    returned_pages,
    /// How long taking pages took, in microseconds.
    take_us,
    /// How long returning them took.
    return_us,
    /// How often the out-of-memory handler was called while the balloon had something.
    oom_calls,
    /// Pages that it gave back.
    oom_pages,
    /// Pages that reclaim got.
    reclaimed_pages,
    /// Pages that were given back because their memory goes offline.
    offline_pages,
    /// Pages that were passed over because the host cannot take them back, or CMA wants them.
    refused_pages,
    /// How often taking stopped because too little memory was available.
    stops_at_floor,
    /// How often it stopped because there was no free page.
    stops_without_pages,
    /// How often it stopped because the host did not answer.
    stops_by_host,
    /// How often the host asked for statistics.
    statistics,
}

/// A counter.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self(Atomic::new(0))
    }
}

impl Counter {
    /// Adds `number`.
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// The out-of-memory handler has freed `pages`.
    pub(crate) fn out_of_memory(&self, pages: u64) {
        if pages > 0 {
            self.oom_calls.add(1);
            self.oom_pages.add(pages);
        }
    }

    /// Reclaim got `pages`.
    pub(crate) fn reclaimed(&self, pages: u64) {
        self.reclaimed_pages.add(pages);
    }

    /// `pages` were given back because their memory goes offline.
    pub(crate) fn went_offline(&self, pages: u64) {
        self.offline_pages.add(pages);
    }
}

/// Returns the rate at which pages went, in MiB/s; 0 if that took no time.
fn mib_per_s(pages: u64, us: u64) -> u64 {
    // 256 pages are a mebibyte.
    pages
        .saturating_mul(1_000_000 / 64)
        .checked_div(us.saturating_mul(256 / 64))
        .unwrap_or(0)
}

/// The file with the counters of a balloon.
pub(crate) struct Shown(pub(crate) Arc<crate::balloon::Balloon>);

impl Writer for Shown {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.held();

        let counters = &self.0.counters;
        let taken = counters.reported_pages.get() + counters.inflated_pages.get();
        let returned = counters.returned_pages.get();

        counters.write(f)?;
        for (name, pages, us) in [
            ("take", taken, &counters.take_us),
            ("return", returned, &counters.return_us),
        ] {
            writeln!(f, "{name}_mib_per_s {}", mib_per_s(pages, us.get()))?;
        }
        writeln!(f, "held_static_pages {}", held.fixed)?;
        writeln!(f, "held_timed_pages {}", held.timed)
    }
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_counters)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_mebibytes_per_second() {
        assert_eq!(mib_per_s(256, 1_000_000), 1);
        assert_eq!(mib_per_s(256 * 768, 10_000), 76_800);
        assert_eq!(mib_per_s(255, 1_000_000), 0);
        assert_eq!(mib_per_s(0, 5), 0);
        assert_eq!(mib_per_s(5, 0), 0);
    }
}
