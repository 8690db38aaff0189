// SPDX-License-Identifier: GPL-2.0

//! Looking at the guests that run.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_system::guests::Record;
use onecopy_system::GuestMemory;
use onecopy_system::Guests;
use onecopy_system::MemoryQuery;
use onecopy_system::Running;

use crate::policy::Rules;
use crate::sample::Guest;

/// How many guests are asked at the same time.
const WORKERS: usize = 16;

/// How long an answer of QEMU may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// For how many rounds at most a guest that did not answer is left alone.
const MAX_PAUSE_ROUNDS: u32 = 12;

/// A guest that did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) error: String,
    /// In how many rounds it has been asked in vain.
    failures: u32,
    /// For how many rounds it is not asked.
    pause_rounds: u32,
    incarnation: u64,
}

/// The guests, as they are seen from the host.
#[derive(Debug)]
pub(crate) struct Watch {
    guests: Guests,
    silent: BTreeMap<String, Silence>,
    changes: BTreeMap<String, Change>,
}

/// When it was seen that a guest has given more or less than before.
#[derive(Debug, Clone, Copy)]
struct Change {
    incarnation: u64,
    taken_bytes: u64,
    unix_seconds: u64,
}

/// What was found in a round.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What is known of the guests that are managed.
    pub(crate) guests: Vec<Guest>,
    /// Ways to them.
    pub(crate) running: BTreeMap<String, Running>,
    /// The names of all guests that run.
    pub(crate) names: Vec<String>,
    /// Whether some may have statistics soon that have none yet.
    pub(crate) is_early: bool,
}

impl Watch {
    pub(crate) fn new(guests: Guests) -> Self {
        Self {
            guests,
            silent: BTreeMap::new(),
            changes: BTreeMap::new(),
        }
    }

    /// Returns the guests that do not answer, by name.
    pub(crate) fn silent(&self) -> &BTreeMap<String, Silence> {
        &self.silent
    }

    /// Asks all guests that are managed, and says after each one that there is progress.
    ///
    /// # Errors
    ///
    /// When it cannot be known which guests run.
    pub(crate) fn look(
        &mut self,
        rules: &impl Rules,
        query: &MemoryQuery,
        progress: &(impl Fn() + Sync),
    ) -> onecopy_system::Result<Seen> {
        let records = self.guests.list()?;
        let mut seen = Seen {
            names: records.iter().map(|r| r.guest.to_string()).collect(),
            ..Seen::default()
        };
        let managed: Vec<Record> = records
            .into_iter()
            .filter(|record| record.ready && rules.guest(record.guest.as_str()).is_some())
            .collect();
        self.forget(&managed);
        let asked: Vec<_> = managed
            .into_iter()
            .map(|record| (Running::listed(&self.guests, &record), self.is_due(&record)))
            .collect();
        let answers = each(&asked, |(running, is_due)| {
            let answer = is_due.then(|| running.memory(query));
            progress();
            answer
        });
        for ((running, _), answer) in asked.into_iter().zip(answers) {
            let record = running.record();
            let answer = answer.flatten();
            let memory = answer.and_then(|answer| self.note(record, answer));
            let memory = memory.map(|memory| self.consistent(record, memory));
            seen.is_early |= memory.is_some_and(|memory| memory.available_bytes.is_none());
            seen.guests.push(guest(record, memory));
            seen.running.insert(record.guest.to_string(), running);
        }
        Ok(seen)
    }

    /// Forgets guests that have ended.
    fn forget(&mut self, managed: &[Record]) {
        let incarnations = managed.iter().map(|r| (r.guest.as_str(), incarnation(r)));
        let incarnations: BTreeMap<&str, u64> = incarnations.collect();
        let is = |name: &str, incarnation| incarnations.get(name) == Some(&incarnation);
        self.silent
            .retain(|name, silence| is(name, silence.incarnation));
        self.changes
            .retain(|name, change| is(name, change.incarnation));
    }

    /// Leaves out what the guest said of its memory before it has given more or less: both together
    /// would count the difference twice.
    fn consistent(&mut self, record: &Record, mut memory: GuestMemory) -> GuestMemory {
        let taken_bytes = memory.taken_bytes;
        let before = self.changes.get(record.guest.as_str());
        let change = match before {
            Some(change) if change.taken_bytes == taken_bytes => *change,
            _ => Change {
                incarnation: incarnation(record),
                taken_bytes,
                // What was before the first look does not matter.
                unix_seconds: before.map_or(0, |_| unix_time().as_secs()),
            },
        };
        if memory.said_unix_seconds <= change.unix_seconds {
            memory.available_bytes = None;
        }
        self.changes.insert(record.guest.to_string(), change);
        memory
    }

    /// Whether a guest is asked in this round.
    fn is_due(&mut self, record: &Record) -> bool {
        match self.silent.get_mut(record.guest.as_str()) {
            Some(silence) if silence.pause_rounds > 0 => {
                silence.pause_rounds -= 1;
                false
            }
            _ => true,
        }
    }

    /// Remembers who answers and who does not: each time in vain doubles the pause.
    fn note(
        &mut self,
        record: &Record,
        answer: onecopy_system::Result<GuestMemory>,
    ) -> Option<GuestMemory> {
        let name = record.guest.to_string();
        match answer {
            Ok(memory) => {
                self.silent.remove(&name);
                Some(memory)
            }
            Err(error) => {
                let before = self.silent.get(&name).map_or(0, |silence| silence.failures);
                let silence = Silence {
                    error: chain(&error),
                    failures: before.saturating_add(1),
                    pause_rounds: (1 << before.min(4)).min(MAX_PAUSE_ROUNDS) - 1,
                    incarnation: incarnation(record),
                };
                self.silent.insert(name, silence);
                None
            }
        }
    }
}

/// Does the same for several things at a time. Nothing stands for what a thread failed to do.
pub(crate) fn each<T: Sync, U: Send>(
    things: &[T],
    work: impl Fn(&T) -> U + Sync,
) -> Vec<Option<U>> {
    let results: Vec<_> = things.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let turn = || {
            let index = next.fetch_add(1, Ordering::Relaxed);
            things.get(index).zip(results.get(index))
        };
        while let Some((thing, place)) = turn() {
            let result = work(thing);
            // Nobody fails while it has this.
            if let Ok(mut place) = place.lock() {
                *place = Some(result);
            }
        }
    };
    thread::scope(|scope| {
        // That of the caller is one of them.
        for _ in 1..WORKERS.min(things.len()) {
            scope.spawn(take_turns);
        }
        take_turns();
    });
    let results = results.into_iter().map(|place| place.into_inner().ok());
    results.map(Option::flatten).collect()
}

/// Says why something failed, and why that.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn guest(record: &Record, memory: Option<GuestMemory>) -> Guest {
    Guest {
        name: record.guest.to_string(),
        incarnation: incarnation(record),
        memory_bytes: record.memory_bytes,
        resident_bytes: memory.and_then(|memory| memory.resident_bytes),
        taken_bytes: memory.map(|memory| memory.taken_bytes),
        available_bytes: memory.and_then(|memory| memory.available_bytes),
    }
}

/// Returns the time since 1970.
pub(crate) fn unix_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Identifies the process: numbers of processes have at most 22 bits.
fn incarnation(record: &Record) -> u64 {
    let keeper = record.qemu.unwrap_or(record.keeper);
    (keeper.start_ticks << 22) | u64::from(keeper.pid)
}
