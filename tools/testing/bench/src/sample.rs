// SPDX-License-Identifier: GPL-2.0

//! What guests cost at one moment.

use std::path::Path;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_machine::accounting::Residency;
use onecopy_machine::accounting::Sizes;
use onecopy_machine::accounting::Usage;

use crate::guest::Guest;

/// The cost of one guest, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Guest memory, segment included.
    pub(crate) memory: Sizes,
    /// The whole QEMU process.
    pub(crate) process: Sizes,
    /// The mapping of the image, where there is one.
    pub(crate) segment: Sizes,
}

impl Cost {
    fn of(usage: &Usage, image: &Path) -> Self {
        let memory = usage.guest();
        let mut process = memory;
        process += usage.overhead;
        let segment = usage.of_file(image).map(|block| block.sizes);
        Self {
            memory,
            process,
            segment: segment.unwrap_or_default(),
        }
    }
}

/// The cost of all guests that run at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// One for each guest, in the order of their start.
    pub(crate) guests: Vec<Cost>,
    /// Bytes of the image in the host's page cache, and of what else the guests share.
    pub(crate) host_cache_bytes: u64,
}

impl Sample {
    /// Measures guests that use `files`, the first of which is the image.
    pub(crate) fn take(guests: &mut [Guest], files: &[PathBuf]) -> Result<Self> {
        let image = files.first().context("the guests have no image")?;
        let costs = guests
            .iter_mut()
            .map(|guest| Ok(Cost::of(&guest.machine().usage()?, image)))
            .collect::<Result<_>>()?;
        let mut host_cache_bytes = 0;
        for file in files {
            let residency = Residency::of_file(file)
                .with_context(|| format!("cannot measure the page cache of {}", file.display()))?;
            host_cache_bytes += residency.resident_bytes;
        }
        Ok(Self {
            guests: costs,
            host_cache_bytes,
        })
    }

    /// Returns the mean of a figure over the guests, in MiB.
    pub(crate) fn mean_mib(&self, figure: impl Fn(&Cost) -> u64) -> f64 {
        let sum: u64 = self.guests.iter().map(figure).sum();
        mib(sum) / self.guests.len().max(1) as f64
    }

    /// Returns what all guests together take of the host: memory that is theirs alone, and the
    /// files that they share in the page cache.
    pub(crate) fn total_bytes(&self) -> u64 {
        let unique: u64 = self
            .guests
            .iter()
            .map(|cost| cost.process.anonymous_bytes)
            .sum();
        unique + self.host_cache_bytes
    }
}

/// Returns, for each guest from the second on, by how many percent of the program bytes that it
/// touched the host's memory for programs has grown because of it.
///
/// # Errors
///
/// When the page cache of the image became smaller, or a guest has touched nothing: then something
/// else was measured.
pub(crate) fn growth(samples: &[Sample]) -> Result<Vec<f64>> {
    let mut percents = Vec::new();
    for (before, after) in samples.iter().zip(samples.iter().skip(1)) {
        let guest = after
            .guests
            .last()
            .context("a sample without guests")?
            .segment;
        let cache_bytes = after
            .host_cache_bytes
            .checked_sub(before.host_cache_bytes)
            .with_context(|| {
                format!(
                    "the host dropped a part of the segment meanwhile, {} of {} bytes are left in its page \
                     cache; measure again",
                    after.host_cache_bytes, before.host_cache_bytes
                )
            })?;
        ensure!(guest.rss_bytes > 0, "a guest has not touched the segment");
        let grown_bytes = cache_bytes + guest.anonymous_bytes;
        percents.push(100.0 * grown_bytes as f64 / guest.rss_bytes as f64);
    }
    Ok(percents)
}

/// Returns what the descriptors of a segment's pages take of the RAM of each guest that has it
/// attached: 64 bytes (`struct page` on x86-64) for each page of 4 KiB. Computed, not measured.
pub(crate) fn struct_page_bytes(segment_bytes: u64) -> u64 {
    segment_bytes / 4096 * 64
}

/// Converts bytes.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_what_the_last_guest_adds() {
        let touched = |rss_bytes, anonymous_bytes| Cost {
            segment: Sizes {
                rss_bytes,
                anonymous_bytes,
                ..Sizes::default()
            },
            ..Cost::default()
        };
        let sample = |guests: &[Cost], host_cache_bytes| Sample {
            guests: guests.to_vec(),
            host_cache_bytes,
        };
        let [first, second] = [touched(4000, 0), touched(2000, 20)];
        let samples = [sample(&[first], 5000), sample(&[first, second], 5010)];
        assert_eq!(growth(&samples).unwrap(), [1.5]);
        let shrunk = [sample(&[first], 5000), sample(&[first, second], 4999)];
        assert!(growth(&shrunk).is_err());
        let untouched = [sample(&[first], 1), sample(&[first, touched(0, 0)], 1)];
        assert!(growth(&untouched).is_err());
    }

    #[test]
    fn descriptors_take_two_mib_for_each_128_mib() {
        assert_eq!(struct_page_bytes(128 << 20), 2 << 20);
    }

    #[test]
    fn totals_hold_the_image_once_and_each_guests_own_memory() {
        let own = |bytes| Cost {
            process: Sizes {
                anonymous_bytes: bytes,
                ..Sizes::default()
            },
            ..Cost::default()
        };
        let sample = Sample {
            guests: vec![own(3 << 20), own(5 << 20)],
            host_cache_bytes: 7 << 20,
        };
        assert_eq!(sample.total_bytes(), 15 << 20);
        let mean = sample.mean_mib(|cost| cost.process.anonymous_bytes);
        assert!((mean - 4.0).abs() < 1e-9);
    }
}
