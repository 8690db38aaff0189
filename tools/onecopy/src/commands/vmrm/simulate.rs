// SPDX-License-Identifier: GPL-2.0

//! `onecopy vmrm simulate`

use std::fs::File;
use std::io::BufReader;

use anyhow::Context;
use onecopy_vmrm::event::Delivery;
use onecopy_vmrm::event::Event;
use onecopy_vmrm::policy::Mode;
use onecopy_vmrm::simulate::Simulator;
use onecopy_vmrm::trace::Trace;

use super::read;
use crate::cli::VmrmSimulateArgs;
use crate::outcome::Simulated;

/// Replays a trace.
pub(in crate::commands) fn run(args: &VmrmSimulateArgs) -> anyhow::Result<Simulated> {
    let config = read(args.config.config.as_deref())?;
    let place = || format!("Cannot replay {}", args.trace.display());
    let file = File::open(&args.trace).with_context(place)?;
    let mut simulator = Simulator::new(&config);
    let mut events = Vec::new();
    for recorded in Trace::open(BufReader::new(file)).with_context(place)? {
        let (sample, decision) = simulator.step(&recorded.with_context(place)?);
        let (unix_ms, host) = (sample.unix_ms, &sample.host);
        if decision.mode != Mode::Hold {
            events.push(Event::mode(unix_ms, &decision, host));
        }
        let orders = decision.orders.iter();
        events.extend(orders.map(|order| Event::shrink(unix_ms, order, Delivery::NotSent, host)));
    }
    events.push(Event::Summary(simulator.summary().clone()));
    Ok(Simulated { events })
}
