// SPDX-License-Identifier: GPL-2.0

//! Takes samples.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_store::Store;
use onecopy_system::guests::Record;
use onecopy_system::ranges::Range;
use onecopy_system::GuestName;
use onecopy_system::Guests;
use onecopy_system::Process;
use onecopy_system::Running;
use onecopy_system::Systems;

use crate::files;
use crate::guest;
use crate::host;
use crate::pool;
use crate::FileSample;
use crate::GuestSample;
use crate::Listing;
use crate::Sample;

/// How long a guest may take to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the kernel may take, beyond that, to say what a process costs.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes samples of what is below one store and one run directory.
#[derive(Debug)]
pub struct Collector {
    store: Store,
    systems: Systems,
    guests: Guests,
    timeout: Duration,
    /// What is known of generations, which never change.
    ranges: BTreeMap<(PathBuf, String, u64), Arc<[Range]>>,
    /// Guests that are being asked: one that hangs is not asked again.
    asked: Arc<Mutex<BTreeSet<(GuestName, u32)>>>,
}

/// A question to a guest.
struct Question {
    running: Running,
    ranges: Result<Arc<[Range]>, String>,
}

/// What is asked of each guest.
struct Inquiry<T> {
    ask: fn(&Running, &[Range], Duration) -> T,
    /// What is known of one that has not answered, and why.
    unknown: fn(&Record, String) -> T,
}

const SAMPLE: Inquiry<GuestSample> = Inquiry {
    ask: guest::sample,
    unknown: guest::unknown,
};

const LISTING: Inquiry<Listing> = Inquiry {
    ask: Listing::of,
    unknown: Listing::unknown,
};

impl Collector {
    /// Makes a collector that waits for each guest for `timeout`.
    pub fn new(store: Store, systems: Systems, guests: Guests, timeout: Duration) -> Self {
        Self {
            store,
            systems,
            guests,
            timeout,
            ranges: BTreeMap::new(),
            asked: Arc::default(),
        }
    }

    /// Takes a sample of everything.
    ///
    /// # Errors
    ///
    /// When the run directory or `/proc` cannot be read.
    pub fn sample(&mut self) -> onecopy_system::Result<Sample> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_unix_ms = since.unwrap_or_default().as_millis();
        Ok(Sample {
            time_unix_ms: time_unix_ms.try_into().unwrap_or(u64::MAX),
            host: host::sample().map_err(io_error("read", "/proc/meminfo"))?,
            guests: self.guests()?,
            files: self.files()?,
        })
    }

    /// Asks all guests at once.
    ///
    /// # Errors
    ///
    /// When the run directory cannot be read.
    pub fn guests(&mut self) -> onecopy_system::Result<Vec<GuestSample>> {
        let records = self.guests.list()?;
        self.ask(&records, &SAMPLE)
    }

    /// Asks these guests for what a list shows.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn list(&mut self, records: &[Record]) -> onecopy_system::Result<Vec<Listing>> {
        self.ask(records, &LISTING)
    }

    fn ask<T: Send + 'static>(
        &mut self,
        records: &[Record],
        inquiry: &'static Inquiry<T>,
    ) -> onecopy_system::Result<Vec<T>> {
        let questions: Vec<_> = records.iter().map(|record| self.question(record)).collect();
        let (timeout, asked) = (self.timeout, Arc::clone(&self.asked));
        let answers = pool::map(questions, self.patience(records.len()), move |question| {
            answer(&question, inquiry, timeout, &asked)
        });
        let answers = answers.map_err(io_error("start threads for", "the guests"))?;
        let late = |record: &Record| {
            let reason = "The kernel does not say what its process costs";
            (inquiry.unknown)(record, reason.to_owned())
        };
        let all = answers.into_iter().zip(records);
        Ok(all
            .map(|(answer, record)| answer.unwrap_or_else(|| late(record)))
            .collect())
    }

    /// Looks at the saved files.
    fn files(&self) -> onecopy_system::Result<Vec<FileSample>> {
        let job = (self.store.clone(), self.systems.clone());
        let patience = self.timeout + KERNEL_TIMEOUT;
        let samples = pool::map(vec![job], patience, |(store, systems)| {
            files::sample(&store, &systems)
        });
        let samples = samples.map_err(io_error("start a thread for", "the saved files"))?;
        Ok(samples.into_iter().flatten().flatten().collect())
    }

    fn question(&mut self, record: &Record) -> Question {
        let key = (
            record.store.clone(),
            record.system.to_string(),
            record.generation,
        );
        let ranges = match self.ranges.get(&key) {
            Some(ranges) => Ok(Arc::clone(ranges)),
            None => Systems::open(&record.store)
                .generation(record.system, record.generation)
                .map(|generation| {
                    let ranges: Arc<[Range]> = generation.manifest().ranges.clone().into();
                    self.ranges.insert(key, Arc::clone(&ranges));
                    ranges
                })
                .map_err(|error| guest::chain(&error)),
        };
        Question {
            running: Running::of(&self.guests, record.clone()),
            ranges,
        }
    }

    /// Returns how long all together may take: as many as there are workers are asked at a time.
    fn patience(&self, guests: usize) -> Duration {
        let rounds = guests
            .div_ceil(pool::WORKERS)
            .try_into()
            .unwrap_or(u32::MAX);
        self.timeout.saturating_mul(rounds) + KERNEL_TIMEOUT
    }
}

fn answer<T>(
    question: &Question,
    inquiry: &Inquiry<T>,
    timeout: Duration,
    asked: &Mutex<BTreeSet<(GuestName, u32)>>,
) -> T {
    let record = question.running.record();
    let ranges = match &question.ranges {
        Ok(ranges) => ranges,
        Err(reason) => return (inquiry.unknown)(record, reason.clone()),
    };
    let key = (record.guest.clone(), record.qemu.map_or(0, pid));
    let lock = || asked.lock().unwrap_or_else(PoisonError::into_inner);
    if !lock().insert(key.clone()) {
        let reason = "It has not answered an earlier question yet";
        return (inquiry.unknown)(record, reason.to_owned());
    }
    let answer = (inquiry.ask)(&question.running, ranges, timeout);
    lock().remove(&key);
    answer
}

fn pid(process: Process) -> u32 {
    process.pid
}

fn io_error(
    doing: &'static str,
    what: &'static str,
) -> impl FnOnce(io::Error) -> onecopy_system::Error {
    onecopy_directory::failure(doing, Path::new(what))
}
