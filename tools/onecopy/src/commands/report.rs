// SPDX-License-Identifier: GPL-2.0

//! `onecopy report`

use std::collections::BTreeSet;

use anyhow::Context;
use onecopy_directory::replace;
use onecopy_directory::Manner;
use onecopy_observe::report;
use onecopy_observe::Collector;
use onecopy_observe::History;

use crate::cli::ReportArgs;
use crate::outcome::Reported;

pub(super) fn run(args: &ReportArgs, mut collector: Collector) -> anyhow::Result<Reported> {
    let mut history = History::default();
    for path in args.from.iter().chain(&args.shrinks) {
        history.read(path)?;
    }
    if args.from.is_empty() {
        history.samples.push(collector.sample()?);
    }
    let html = report(&history)?;
    replace(&args.output, html.as_bytes(), Manner::PUBLIC)
        .with_context(|| format!("Cannot write {}", args.output.display()))?;
    let guests: BTreeSet<_> = history
        .samples
        .iter()
        .flat_map(|sample| sample.guests.iter().map(|guest| guest.name.as_str()))
        .collect();
    Ok(Reported {
        file: args.output.clone(),
        samples: history.samples.len(),
        guests: guests.len(),
        shrinks: history.shrinks.len(),
    })
}
