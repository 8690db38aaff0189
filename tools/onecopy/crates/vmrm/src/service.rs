// SPDX-License-Identifier: GPL-2.0

//! The manager at work: it looks, decides, and tells the guests, round after round.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_directory::try_lock;
use onecopy_directory::Sharing;
use onecopy_system::Guests;
use onecopy_system::MemoryQuery;
use onecopy_system::Running;

use crate::config::Config;
use crate::config::ConfigError;
use crate::event::Delivery;
use crate::event::Event;
use crate::notify::Notifier;
use crate::policy::decide;
use crate::policy::Mode;
use crate::policy::Order;
use crate::policy::State;
use crate::pressure::Pressure;
use crate::pressure::PressureError;
use crate::sample::Host;
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

/// Why the manager does not work.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It cannot be known which guests run.
    #[error(transparent)]
    Guests(#[from] onecopy_system::Error),
    /// The memory of the host is not known.
    #[error(transparent)]
    Pressure(#[from] PressureError),
    /// Another one manages the same guests.
    #[error("Another vmrm manages the guests of {}", .run.display())]
    Busy {
        /// The run directory.
        run: PathBuf,
    },
    /// The lock of the run directory cannot be had.
    #[error("Cannot lock {}", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The trace cannot be written.
    #[error("Cannot record to {}", .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The service manager cannot be told anything.
    #[error("Cannot use the socket that NOTIFY_SOCKET names")]
    Notify(#[source] io::Error),
    /// Nobody takes what there is to say.
    #[error("Cannot write the log")]
    Say(#[source] io::Error),
}

type Result<T> = std::result::Result<T, ServiceError>;

/// Takes what there is to say.
pub type Say<'a> = dyn FnMut(&Event<'_>) -> io::Result<()> + 'a;

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

/// What was said already.
#[derive(Debug, Default)]
struct Said {
    is_busy: bool,
    silent: BTreeMap<String, String>,
    unknown: BTreeSet<String>,
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
            match self.round(say) {
                Ok(_) => {}
                Err(error @ ServiceError::Say(_)) => return Err(error),
                Err(error) if is_first => return Err(error),
                Err(error) => self.blind(&error, say)?,
            }
            is_first = false;
            match self.wait(start, wish) {
                Wish::Stop => break,
                Wish::Reload => self.reload(reload(), say)?,
                Wish::GoOn => {}
            }
        }
        self.notifier.stopping();
        Ok(())
    }

    /// Does one round, when guests have had the time to say something. Returns whether everybody who
    /// is managed or named could be asked and told.
    ///
    /// # Errors
    ///
    /// When nothing could be decided.
    pub fn once(&mut self, say: &mut Say<'_>) -> Result<bool> {
        let start = Instant::now();
        let seen = loop {
            let seen = self.look()?;
            if !seen.is_early || start.elapsed() >= FIRST_STATISTICS {
                break seen;
            }
            thread::sleep(TICK);
        };
        self.manage(seen, say)
    }

    /// Does one round.
    ///
    /// # Errors
    ///
    /// As [`Self::once`].
    pub fn round(&mut self, say: &mut Say<'_>) -> Result<bool> {
        let seen = self.look()?;
        self.manage(seen, say)
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
    fn manage(&mut self, seen: Seen, say: &mut Say<'_>) -> Result<bool> {
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
        self.record(&sample, say)?;
        let is_complete = self.say_who_is_missing(&names, say)?;

        let (state, decision) = decide(&self.config, &self.state, &sample);
        self.state = state;
        let summary = Event::mode(sample.unix_ms, &decision, &sample.host);
        self.notifier.ready(&summary.to_string());
        let is_busy = decision.mode != Mode::Hold;
        if is_busy || self.said.is_busy {
            say(&summary).map_err(ServiceError::Say)?;
        }
        self.said.is_busy = is_busy;
        let is_delivered = self.tell(&decision.orders, &running, &sample, say)?;
        Ok(is_complete && is_delivered)
    }

    /// Tells guests what they are to give. Returns whether all could be told.
    fn tell(
        &mut self,
        orders: &[Order],
        running: &BTreeMap<String, Running>,
        sample: &Sample,
        say: &mut Say<'_>,
    ) -> Result<bool> {
        let is_dry = self.options.dry_run;
        let notifier = &self.notifier;
        let deliveries = each(orders, |order| {
            notifier.alive();
            if is_dry {
                Delivery::NotSent
            } else {
                deliver(order, running.get(&order.guest))
            }
        });
        let mut is_delivered = true;
        for (order, delivery) in orders.iter().zip(deliveries) {
            let delivery = delivery.unwrap_or(Delivery::NotSent);
            if delivery != Delivery::Sent {
                self.state.undo(order);
            }
            is_delivered &= is_dry || delivery == Delivery::Sent;
            let host: &Host = &sample.host;
            let event = Event::Shrink {
                unix_ms: sample.unix_ms,
                order,
                delivery: &delivery,
                host,
            };
            say(&event).map_err(ServiceError::Say)?;
        }
        Ok(is_delivered)
    }

    /// Says who does not answer or does not run, once. Returns whether nobody is missing.
    fn say_who_is_missing(&mut self, names: &[String], say: &mut Say<'_>) -> Result<bool> {
        let silent: BTreeMap<String, String> = self
            .watch
            .silent()
            .iter()
            .map(|(name, silence)| (name.clone(), silence.error.clone()))
            .collect();
        let named = self.config.named_guests().into_iter();
        let unknown: BTreeSet<String> = named
            .filter(|name| !names.iter().any(|running| running == name))
            .map(str::to_owned)
            .collect();
        let mut events = Vec::new();
        for (guest, error) in &silent {
            if self.said.silent.get(guest) != Some(error) {
                events.push(Event::Silent { guest, error });
            }
        }
        let answer = |guest: &&String| !silent.contains_key(*guest) && names.contains(guest);
        let answering = self.said.silent.keys().filter(answer);
        events.extend(answering.map(|guest| Event::Answers { guest }));
        let missing = unknown.difference(&self.said.unknown);
        events.extend(missing.map(|guest| Event::Unknown { guest }));
        let found = self.said.unknown.difference(&unknown);
        events.extend(found.map(|guest| Event::Known { guest }));
        for event in &events {
            say(event).map_err(ServiceError::Say)?;
        }
        let is_complete = silent.is_empty() && unknown.is_empty();
        self.said.silent = silent;
        self.said.unknown = unknown;
        Ok(is_complete)
    }

    fn blind(&self, error: &ServiceError, say: &mut Say<'_>) -> Result<()> {
        let error = chain(error);
        self.notifier.status(&error);
        say(&Event::Blind { error: &error }).map_err(ServiceError::Say)
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

    fn reload(
        &mut self,
        config: std::result::Result<Config, ConfigError>,
        say: &mut Say<'_>,
    ) -> Result<()> {
        let opened = config.map_err(|error| chain(&error)).and_then(|config| {
            let pressure = Pressure::open(&config.root, config.cgroup.as_deref());
            let pressure = pressure.map_err(|error| chain(&error))?;
            Ok((config, pressure))
        });
        match opened {
            Ok((config, pressure)) => {
                self.config = config;
                self.pressure = pressure;
                say(&Event::Reloaded)
            }
            Err(error) => say(&Event::NotReloaded { error: &error }),
        }
        .map_err(ServiceError::Say)
    }

    /// Records a round. A disk that is full must not keep guests from being managed.
    fn record(&mut self, sample: &Sample, say: &mut Say<'_>) -> Result<()> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        if let Err(error) = recorder.record(sample) {
            self.recorder = None;
            let error = error.to_string();
            say(&Event::NotRecorded { error: &error }).map_err(ServiceError::Say)?;
        }
        Ok(())
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

/// Makes sure that there is no other manager; it ends with the file.
fn lock(run: &Path) -> Result<File> {
    let path = run.join(LOCK);
    let open = || {
        std::fs::create_dir_all(run)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true).open(&path)
    };
    let failed = |source| ServiceError::Lock {
        path: path.clone(),
        source,
    };
    let file = open().map_err(failed)?;
    match try_lock(&file, Sharing::Exclusive) {
        Ok(true) => Ok(file),
        Ok(false) => Err(ServiceError::Busy {
            run: run.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}
