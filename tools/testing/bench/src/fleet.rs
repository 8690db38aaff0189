// SPDX-License-Identifier: GPL-2.0

//! Several guests on one image, started one after the other and measured after each start.

use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_system::RangeUsage;

use crate::guest::Guest;
use crate::guest::JobResult;
use crate::guest::Setup;
use crate::image::drop_unmapped;
use crate::image::forget_cached;
use crate::sample::Sample;
use crate::tree;
use crate::way::Way;

/// What counts as the image in the host's page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cached {
    /// All that is there, also what the host has read ahead. It may drop that at any time.
    All,
    /// What guests have mapped. The rest is dropped after each guest's job, so that no guest finds
    /// more than what others before it have needed.
    Mapped,
}

/// What was found out about guests that all go the same way.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// How the guests got their kernel and their root.
    pub(crate) way: Way,
    /// The sample at index `n - 1` was taken when `n` guests had done their job and all ran.
    pub(crate) samples: Vec<Sample>,
    /// Time to the first program of each guest.
    pub(crate) first_program: Vec<Duration>,
    /// Bytes of file data in the page cache of each guest.
    pub(crate) file_cache_bytes: Vec<u64>,
    /// What each guest has of its saved kernel's text and read-only data; nothing of those that have
    /// booted.
    pub(crate) kernels: Vec<RangeUsage>,
    /// What the job printed in all guests alike.
    pub(crate) result: JobResult,
}

impl Fleet {
    /// Starts `count` guests, measures, and switches them off.
    ///
    /// The host's page cache holds nothing of the files that they share when the first one starts.
    ///
    /// # Errors
    ///
    /// When a guest fails, has no DAX where it must, has a result of its own, or when something
    /// could not be measured.
    pub(crate) fn run(setup: &Setup<'_>, way: Way, count: usize, cached: Cached) -> Result<Self> {
        let files = way.files(setup.image, setup.saved)?;
        files.iter().try_for_each(|file| forget_cached(file))?;
        let mut guests: Vec<Guest> = Vec::new();
        let mut samples = Vec::new();
        for number in 1..=count {
            let guest = Guest::start(setup, way, number)?;
            println!(
                "{:>4}: guest {number} has run its first program after {:.2} s and its job",
                way.label(),
                guest.first_program.as_secs_f64()
            );
            guests.push(guest);
            if cached == Cached::Mapped {
                files.iter().try_for_each(|file| drop_unmapped(file))?;
            }
            samples.push(Sample::take(&mut guests, &files)?);
        }
        let result = check_results(setup, &guests)?;
        let kernels = guests.iter().filter_map(|guest| guest.kernel(setup));
        let kernels = kernels.collect::<Result<_>>()?;
        let mut file_cache_bytes = Vec::new();
        for guest in &mut guests {
            file_cache_bytes.push(guest.file_cache_bytes()?);
        }
        check_file_cache(way, &result, &file_cache_bytes)?;
        let first_program = guests.iter().map(|guest| guest.first_program).collect();
        for guest in guests {
            guest.power_off()?;
        }
        Ok(Self {
            way,
            samples,
            first_program,
            file_cache_bytes,
            kernels,
            result,
        })
    }
}

/// Makes sure that all guests came to the same result, and the host too as far as it can.
fn check_results(setup: &Setup<'_>, guests: &[Guest]) -> Result<JobResult> {
    let result = &guests.first().context("there are no guests")?.result;
    for (number, guest) in (1..).zip(guests) {
        ensure!(
            guest.result == *result,
            "wrong result: guest {number} computed {:?}, guest 1 {result:?}",
            guest.result
        );
    }
    let expected = tree::digest(&setup.paths.root, &result.directories)?;
    ensure!(
        result.tree() == expected,
        "wrong result: the guests read {:?}, the host {expected:?}",
        result.tree()
    );
    ensure!(expected.files > 0, "the job has read nothing");
    Ok(result.clone())
}

/// Makes sure that guests without DAX have in their page cache what the job has read: if they do
/// not, then the question was asked wrongly, and 0 from the others means nothing.
fn check_file_cache(way: Way, result: &JobResult, file_cache_bytes: &[u64]) -> Result<()> {
    for bytes in file_cache_bytes {
        ensure!(
            way.is_dax() || *bytes >= result.bytes,
            "a guest has read {} bytes through its page cache, which holds only {bytes}",
            result.bytes
        );
    }
    Ok(())
}
