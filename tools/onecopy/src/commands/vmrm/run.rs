// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm run`

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use onecopy_vmrm::event::Event;
use onecopy_vmrm::service::Options;
use onecopy_vmrm::service::Service;
use onecopy_vmrm::service::Wish;
use signal_hook::consts::SIGHUP;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;

use super::read;
use crate::cli::VmrmRunArgs;
use crate::outcome::Managed;

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

/// Manages guests: for one round, which is the outcome, or until a signal, while `log` takes what there is to
/// say.
pub(in crate::commands) fn run(
    args: &VmrmRunArgs,
    run: &Path,
    log: &mut dyn FnMut(&Event) -> io::Result<()>,
) -> anyhow::Result<Managed> {
    let path = args.config.config.as_deref();
    // From here on a signal ends us in order.
    let signals = Signals::watch()?;
    let options = Options {
        dry_run: args.dry_run,
        record: args.record.clone(),
    };
    let mut service = Service::open(read(path)?, run, options)?;
    if args.once {
        return Ok(Managed::Once(service.once()?));
    }
    service.run(&mut || signals.wish(), &mut || read(path), log)?;
    Ok(Managed::UntilSignal)
}
