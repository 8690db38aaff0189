// SPDX-License-Identifier: GPL-2.0

//! A sample, added up.

use crate::Sample;

/// What all guests share and cost together, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Guests.
    pub guests: usize,
    /// Those that have their identity.
    pub ready: usize,
    /// Those whose QEMU has not answered.
    pub silent: usize,
    /// Their memory, as the guests see it.
    pub memory_bytes: u64,
    /// What exists only because of one guest, in guest memory.
    pub unique_bytes: u64,
    /// Pages of files that guests map, each once.
    pub shared_bytes: u64,
    /// The same, each as often as guests map it: what they would take without sharing.
    pub mapped_bytes: u64,
    /// What guests do not share any more although the range is shared.
    pub unshared_bytes: u64,
    /// What the QEMU processes have beside guest memory.
    pub overhead_bytes: u64,
    /// The proportional size of the QEMU processes.
    pub pss_bytes: u64,
}

impl Totals {
    /// Adds up.
    pub fn of(sample: &Sample) -> Self {
        let mut totals = Self::default();
        for guest in &sample.guests {
            totals.guests += 1;
            totals.ready += usize::from(guest.state != "starting");
            totals.silent += usize::from(guest.state == "silent");
            totals.memory_bytes += guest.memory_bytes;
            totals.unique_bytes += guest.unique_bytes.unwrap_or_default();
            for range in &guest.ranges {
                totals.shared_bytes += range.proportional_bytes;
                totals.mapped_bytes += range.shared_bytes;
                totals.unshared_bytes += range.unshared_bytes;
            }
            for attached in &guest.attached {
                totals.shared_bytes += attached.proportional_bytes;
                totals.mapped_bytes += attached.shared_bytes;
            }
            if let Some(process) = guest.process {
                totals.pss_bytes += process.pss_bytes;
                totals.overhead_bytes += guest.overhead_bytes().unwrap_or_default();
            }
        }
        totals
    }

    /// Returns what sharing saves.
    pub fn saved_bytes(&self) -> u64 {
        self.mapped_bytes.saturating_sub(self.shared_bytes)
    }
}

impl crate::GuestSample {
    /// Returns what QEMU has for itself beside guest memory, if that is known.
    pub fn overhead_bytes(&self) -> Option<u64> {
        let anonymous_bytes = self.process?.anonymous_bytes;
        Some(anonymous_bytes.saturating_sub(self.unique_bytes?))
    }

    /// Returns what the guest has of files, and what it does not share any more.
    pub fn shared_bytes(&self) -> (u64, u64) {
        let ranges = self.ranges.iter();
        let attached = self.attached.iter().map(|attached| attached.shared_bytes);
        let shared = ranges
            .clone()
            .map(|range| range.shared_bytes)
            .chain(attached);
        let unshared = ranges.map(|range| range.unshared_bytes);
        (shared.sum(), unshared.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;

    #[test]
    fn shared_pages_count_once_and_silent_guests_do_not_count() {
        let mut sample = sample(4);
        let totals = Totals::of(&sample);
        assert_eq!((totals.guests, totals.ready, totals.silent), (4, 4, 0));
        assert_eq!(totals.shared_bytes, 8 << 20);
        assert_eq!(totals.mapped_bytes, 32 << 20);
        assert_eq!(totals.saved_bytes(), 24 << 20);
        assert_eq!(totals.unique_bytes, 4 * (3 << 20));
        assert_eq!(totals.overhead_bytes, 4 * (5 << 20));
        if let Some(guest) = sample.guests.first_mut() {
            guest.state = "silent".to_owned();
            guest.unique_bytes = None;
            guest.ranges.clear();
        }
        let totals = Totals::of(&sample);
        assert_eq!((totals.guests, totals.silent), (4, 1));
        assert_eq!(totals.overhead_bytes, 3 * (5 << 20));
    }
}
