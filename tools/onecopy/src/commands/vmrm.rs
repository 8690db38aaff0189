// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm`

pub(in crate::commands) mod check;

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use anyhow::Context;
use onecopy_vmrm::config::Config;
use onecopy_vmrm::config::ConfigError;
use onecopy_vmrm::event::Delivery;
use onecopy_vmrm::event::Event;
use onecopy_vmrm::policy::Mode;
use onecopy_vmrm::service::Options;
use onecopy_vmrm::service::Service;
use onecopy_vmrm::service::Wish;
use onecopy_vmrm::simulate::Simulator;
use onecopy_vmrm::trace::Trace;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;

use crate::cli::VmrmRunArgs;
use crate::cli::VmrmSimulateArgs;
use crate::outcome::Managed;

/// The configuration unless something else is said.
const DEFAULT_CONFIG: &str = "/etc/onecopy/vmrm.toml";

/// What signals want.
#[derive(Debug)]
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn watch() -> io::Result<Self> {
        let signals = Self {
            stop: Arc::default(),
            reload: Arc::default(),
        };
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&signals.stop))?;
        }
        signal_hook::flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        Ok(signals)
    }

    fn wish(&self) -> Wish {
        if self.stop.load(Ordering::Relaxed) {
            Wish::Stop
        } else if self.reload.swap(false, Ordering::Relaxed) {
            Wish::Reload
        } else {
            Wish::GoOn
        }
    }
}

/// Manages guests, once or until a signal.
pub(super) fn run(args: &VmrmRunArgs, run: &Path, json: bool) -> anyhow::Result<Managed> {
    let path = args.config.config.as_deref();
    // From here on a signal ends us in order.
    let signals = Signals::watch()?;
    let options = Options {
        dry_run: args.dry_run,
        record: args.record.clone(),
    };
    let mut service = Service::open(read(path)?, run, options)?;
    let mut say = |event: &Event<'_>| write(event, json);
    if args.once {
        let is_complete = service.once(&mut say)?;
        return Ok(Managed { is_complete });
    }
    service.run(&mut || signals.wish(), &mut || read(path), &mut say)?;
    Ok(Managed { is_complete: true })
}

/// Replays a trace.
pub(super) fn simulate(args: &VmrmSimulateArgs, json: bool) -> anyhow::Result<()> {
    match replay(args, json) {
        // Nothing but our output can be that: who reads no further has seen what he wanted.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        replayed => replayed,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error: Option<&io::Error> = error.downcast_ref();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn replay(args: &VmrmSimulateArgs, json: bool) -> anyhow::Result<()> {
    let config = read(args.config.config.as_deref())?;
    let place = || format!("Cannot replay {}", args.trace.display());
    let file = File::open(&args.trace).with_context(place)?;
    let mut simulator = Simulator::new(&config);
    for recorded in Trace::open(BufReader::new(file)).with_context(place)? {
        let (sample, decision) = simulator.step(&recorded.with_context(place)?);
        if decision.mode != Mode::Hold {
            let event = Event::mode(sample.unix_ms, &decision, &sample.host);
            write(&event, json)?;
        }
        for order in &decision.orders {
            let event = Event::Shrink {
                unix_ms: sample.unix_ms,
                order,
                delivery: &Delivery::NotSent,
                host: &sample.host,
            };
            write(&event, json)?;
        }
    }
    write(&Event::Summary(simulator.summary()), json)?;
    Ok(())
}

/// Writes a line at once: somebody may be waiting for it.
fn write(event: &Event<'_>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, event)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{event}")?;
    }
    out.flush()
}

/// Reads the configuration that was named; or the usual one, if there is one.
fn read(path: Option<&Path>) -> Result<Config, ConfigError> {
    match path {
        Some(path) => Config::read(path),
        None => match Config::read(Path::new(DEFAULT_CONFIG)) {
            Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Config::default())
            }
            read => read,
        },
    }
}

/// Returns the file that was read, if there is one.
fn source(path: Option<&Path>) -> Option<PathBuf> {
    let path = path.unwrap_or(Path::new(DEFAULT_CONFIG));
    path.exists().then(|| path.to_owned())
}
