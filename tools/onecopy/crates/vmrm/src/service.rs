// SPDX-License-Identifier: GPL-2.0

//! The manager at work: it looks, decides, and tells the guests, round after round.

mod error;
mod said;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::try_lock;
use onecopy_directory::Directory;
use onecopy_directory::Sharing;
use onecopy_system::Guests;
use onecopy_system::MemoryQuery;
use onecopy_system::Running;

pub use self::error::ServiceError;
use self::said::Said;
use crate::config::Config;
use crate::config::ConfigError;
use crate::event::Delivery;
use crate::event::Event;
use crate::notify::Notifier;
use crate::policy::decide;
use crate::policy::Order;
use crate::policy::State;
use crate::pressure::Pressure;
use crate::sample::Sample;
use crate::trace::Recorder;
use crate::watch::chain;
use crate::watch::each;
use crate::watch::unix_time;
use crate::watch::Seen;
use crate::watch::Watch;
use crate::watch::ANSWER_TIMEOUT;

/// The file in the run directory that one manager has locked.
const LOCK: &str = ".vmrm.lock";

/// How often wishes are looked at, and how often the service manager hears that there is progress.
const TICK: Duration = Duration::from_millis(100);
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often guests are asked for statistics.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a single round waits for statistics of guests that were never asked for them.
const FIRST_STATISTICS: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, ServiceError>;

/// Takes what there is to say.
pub type Say<'a> = dyn FnMut(&Event) -> io::Result<()> + 'a;

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    /// What there is to say, in order.
    pub events: Vec<Event>,
    /// Whether everybody who is managed or named could be asked and told.
    pub is_complete: bool,
}

/// How the manager works.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Guests are not told anything.
    pub dry_run: bool,
    /// Where rounds are recorded.
    pub record: Option<PathBuf>,
}

/// What is wanted of a manager that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing else.
    GoOn,
    /// That it reads its configuration again.
    Reload,
    /// That it ends.
    Stop,
}

/// The manager of the guests below one run directory.
#[derive(Debug)]
pub struct Service {
    config: Config,
    options: Options,
    pressure: Pressure,
    watch: Watch,
    state: State,
    notifier: Notifier,
    recorder: Option<Recorder<File>>,
    said: Said,
    _lock: Option<File>,
}

impl Service {
    /// Prepares everything. Only one manager works on a run directory, unless it only looks on.
    ///
    /// # Errors
    ///
    /// When there is another one, or something cannot be used.
    pub fn open(config: Config, run: &Path, options: Options) -> Result<Self> {
        let pressure = Pressure::open(&config.root, config.cgroup.as_deref())?;
        let lock = (!options.dry_run).then(|| lock(run)).transpose()?;
        let record = |path: &PathBuf| {
            Recorder::open(path).map_err(|source| ServiceError::Record {
                path: path.clone(),
                source,
            })
        };
        let recorder = options.record.as_ref().map(record).transpose()?;
        Ok(Self {
            pressure,
            config,
            options,
            watch: Watch::new(Guests::open(run)),
            state: State::default(),
            notifier: Notifier::from_environment().map_err(ServiceError::Notify)?,
            recorder,
            said: Said::default(),
            _lock: lock,
        })
    }

    /// Works until `wish` wants it to stop. What cannot be read is said and tried again in the next
    /// round, unless it is the first one.
    ///
    /// # Errors
    ///
    /// When the first round fails, or nobody takes what there is to say.
    pub fn run(
        &mut self,
        wish: &mut dyn FnMut() -> Wish,
        reload: &mut dyn FnMut() -> std::result::Result<Config, ConfigError>,
        say: &mut Say<'_>,
    ) -> Result<()> {
        let mut is_first = true;
        loop {
            let start = Instant::now();
            let events = match self.round() {
                Ok(round) => round.events,
                Err(error) if is_first => return Err(error),
                Err(error) => vec![self.blind(&error)],
            };
            for event in &events {
                say(event).map_err(ServiceError::Say)?;
            }
            is_first = false;
            match self.wait(start, wish) {
                Wish::Stop => break,
                Wish::Reload => say(&self.reload(reload())).map_err(ServiceError::Say)?,
                Wish::GoOn => {}
            }
        }
        self.notifier.stopping();
        Ok(())
    }

    /// Does one round, when guests have had the time to say something.
    ///
    /// # Errors
    ///
    /// When nothing could be decided.
    pub fn once(&mut self) -> Result<Round> {
        let start = Instant::now();
        let seen = loop {
            let seen = self.look()?;
            if !seen.is_early || start.elapsed() >= FIRST_STATISTICS {
                break seen;
            }
            thread::sleep(TICK);
        };
        self.manage(seen)
    }

    /// Does one round.
    ///
    /// # Errors
    ///
    /// As [`Self::once`].
    pub fn round(&mut self) -> Result<Round> {
        let seen = self.look()?;
        self.manage(seen)
    }

    fn look(&mut self) -> Result<Seen> {
        let query = MemoryQuery {
            interval: STATISTICS_INTERVAL,
            max_age: self.config.interval.saturating_mul(3) + FIRST_STATISTICS,
            timeout: ANSWER_TIMEOUT,
        };
        let notifier = &self.notifier;
        Ok(self
            .watch
            .look(&self.config, &query, &|| notifier.alive())?)
    }

    /// Decides what is to be done with the guests, and does it.
    fn manage(&mut self, seen: Seen) -> Result<Round> {
        let Seen {
            guests,
            running,
            names,
            ..
        } = seen;
        let sample = Sample {
            unix_ms: u64::try_from(unix_time().as_millis()).unwrap_or_default(),
            host: self.pressure.read()?,
            guests,
        };
        let mut events = Vec::from_iter(self.record(&sample));
        let is_nobody_missing = self.look_who_is_missing(&names, &mut events);

        let (state, decision) = decide(&self.config, &self.state, &sample);
        self.state = state;
        let summary = Event::mode(sample.unix_ms, &decision, &sample.host);
        self.notifier.ready(&summary.to_string());
        events.extend(self.said.is_worth_saying(decision.mode).then_some(summary));
        let deliveries = self.tell(&decision.orders, &running);
        let is_delivered =
            self.options.dry_run || deliveries.iter().all(|told| *told == Delivery::Sent);
        let orders = decision.orders.iter().zip(deliveries);
        let shrink =
            |(order, delivery)| Event::shrink(sample.unix_ms, order, delivery, &sample.host);
        events.extend(orders.map(shrink));
        Ok(Round {
            events,
            is_complete: is_nobody_missing && is_delivered,
        })
    }

    /// Tells guests what they are to give. Returns what became of each order.
    fn tell(&mut self, orders: &[Order], running: &BTreeMap<String, Running>) -> Vec<Delivery> {
        let is_dry = self.options.dry_run;
        let notifier = &self.notifier;
        let told = each(orders, |order| {
            notifier.alive();
            if is_dry {
                Delivery::NotSent
            } else {
                deliver(order, running.get(&order.guest))
            }
        });
        let told = told.into_iter();
        let deliveries: Vec<_> = told.map(|told| told.unwrap_or(Delivery::NotSent)).collect();
        for (order, delivery) in orders.iter().zip(&deliveries) {
            if *delivery != Delivery::Sent {
                self.state.undo(order);
            }
        }
        deliveries
    }

    /// Looks who does not answer or does not run. Returns whether nobody is missing.
    fn look_who_is_missing(&mut self, names: &[String], events: &mut Vec<Event>) -> bool {
        let silent = self.watch.silent().iter();
        let silent: BTreeMap<String, String> = silent
            .map(|(name, silence)| (name.clone(), silence.error.clone()))
            .collect();
        let named = self.config.named_guests().into_iter();
        let unknown = named.filter(|name| !names.iter().any(|running| running == name));
        let unknown = unknown.map(str::to_owned).collect();
        events.extend(self.said.changes(silent, unknown, names));
        self.said.is_nobody_missing()
    }

    fn blind(&self, error: &ServiceError) -> Event {
        let error = chain(error);
        self.notifier.status(&error);
        Event::Blind { error }
    }

    /// Waits for the next round, or for a wish.
    fn wait(&self, start: Instant, wish: &mut dyn FnMut() -> Wish) -> Wish {
        let mut alive = Instant::now();
        loop {
            let wished = wish();
            if wished != Wish::GoOn || start.elapsed() >= self.config.interval {
                return wished;
            }
            if alive.elapsed() >= ALIVE_INTERVAL {
                self.notifier.alive();
                alive = Instant::now();
            }
            thread::sleep(TICK);
        }
    }

    fn reload(&mut self, config: std::result::Result<Config, ConfigError>) -> Event {
        let opened = config.map_err(|error| chain(&error)).and_then(|config| {
            let pressure = Pressure::open(&config.root, config.cgroup.as_deref());
            let pressure = pressure.map_err(|error| chain(&error))?;
            Ok((config, pressure))
        });
        match opened {
            Ok((config, pressure)) => {
                self.config = config;
                self.pressure = pressure;
                Event::Reloaded
            }
            Err(error) => Event::NotReloaded { error },
        }
    }

    /// Records a round. A disk that is full must not keep guests from being managed.
    fn record(&mut self, sample: &Sample) -> Option<Event> {
        let error = self.recorder.as_mut()?.record(sample).err()?;
        self.recorder = None;
        let error = error.to_string();
        Some(Event::NotRecorded { error })
    }
}

fn deliver(order: &Order, running: Option<&Running>) -> Delivery {
    let Some(running) = running else {
        return Delivery::NotSent;
    };
    match running.shrink(order.to_bytes, ANSWER_TIMEOUT) {
        Ok(()) => Delivery::Sent,
        Err(error) => Delivery::Failed {
            error: chain(&error),
        },
    }
}

/// Makes sure that there is no other manager; it ends with the file. Others may have put something else in
/// its place, where the run directory is one like `/tmp`.
fn lock(run: &Path) -> Result<File> {
    let open = || {
        let directory = Directory::create(run)?;
        directory.check_ours(true)?;
        directory.lock_file(LOCK, 0o600)
    };
    let file = open().map_err(onecopy_system::Error::from)?;
    match try_lock(&file, Sharing::Exclusive) {
        Ok(true) => Ok(file),
        Ok(false) => Err(ServiceError::Busy {
            run: run.to_owned(),
        }),
        Err(source) => Err(ServiceError::Lock {
            path: run.join(LOCK),
            source,
        }),
    }
}
