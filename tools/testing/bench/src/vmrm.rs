// SPDX-License-Identifier: GPL-2.0

//! The benchmark of what looks after many guests.
//!
//! - [`decide`]: how long a decision of the resource manager takes for a thousand guests.
//! - [`listed`]: how long it takes to list a hundred.
//! - [`squeeze`]: guests below one cgroup use more memory than it may have, one after the other. Who
//!   may not make a [`group`] here does that in an inner host ([`host`]), which needs no rights.

mod decide;
mod group;
mod host;
mod listed;
pub(crate) mod squeeze;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::balloon;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Host as GuestHost;

use self::group::Group;
use self::squeeze::Ended;
use crate::command::Options;
use crate::host::commit;
use crate::host::Host;
use crate::paths;
use crate::report::Bar;
use crate::report::Figure;
use crate::report::Report;

/// A decision, and a list of guests, may take so long, in milliseconds.
const DECISION_MS: f64 = 50.0;
const LIST_MS: f64 = 500.0;

const NOBODY: &str = "no manager";

/// Measures, prints the table and writes `vmrm.json`.
///
/// # Errors
///
/// When something could not be measured, or, with `check`, a figure misses its bar.
pub(crate) fn run(options: &Options, check: bool, inner: bool) -> Result<()> {
    let kernel = paths::kernel(options)?;
    let output = paths::output(options)?;
    let host = GuestHost::find(options.accel)?;
    let decisions = decide::measure()?;
    let directory = tempfile::Builder::new().prefix("onecopy-vmrm-").tempdir()?;
    let modules = [balloon::CMM.to_owned()];
    let saved = SavedSystem::save(directory.path(), &host, &kernel, &modules, false)?;
    let lists = listed::measure(&saved)?;
    let squeezes = match Group::create(squeeze::LIMIT_MIB << 20) {
        Ok(group) if !inner => squeeze::all(&saved, &kernel, group, directory.path())?,
        Ok(_) => host::run(&host, &kernel, &output)?,
        Err(reason) => {
            println!("squeeze: in an inner host, since {reason:#}");
            host::run(&host, &kernel, &output)?
        }
    };
    let report = Report {
        bench: "vmrm",
        commit: commit(),
        host: Host::examine(&host.qemu, host.accel, &kernel.image())?,
        results: figures(&decisions, &lists, &squeezes)?,
    };
    let remark = format!(
        "decisions for {} guests; lists of {}; squeezes of {} guests that use {} MiB each, one after the other, \
         below a limit of {} MiB",
        decide::GUESTS,
        listed::GUESTS,
        squeeze::GUESTS,
        squeeze::TOUCHED_MIB,
        squeeze::LIMIT_MIB
    );
    report.publish(&output, &remark, check)
}

fn figures(decisions: &[f64], lists: &[f64], squeezes: &[Ended]) -> Result<Vec<Figure>> {
    let values = |managed, value: fn(&Ended) -> u32| -> Vec<f64> {
        let ended = squeezes.iter().filter(|ended| ended.managed == managed);
        ended.map(|ended| f64::from(value(ended))).collect()
    };
    let kills = values(true, |ended| ended.kills);
    let kills_without = values(false, |ended| ended.kills);
    let alive = values(true, |ended| ended.alive);
    let alive_without = values(false, |ended| ended.alive);
    ensure!(!kills.is_empty(), "no squeeze was measured");
    let without_manager = |figure: Figure, values: &[f64]| -> Result<Figure> {
        // The best that it came to.
        let best = Figure::worst_of("", "", values, figure.bar.opposite());
        let best = Some(best.ours).filter(|value| value.is_finite());
        let best = best.context("no squeeze without a manager was measured")?;
        Ok(Figure {
            peer: Some(NOBODY),
            peer_value: Some(best),
            ratio: (best != 0.0).then(|| figure.ours / best),
            ..figure
        })
    };
    let all = f64::from(squeeze::GUESTS);
    Ok(vec![
        Figure::worst_of("decision", "ms", decisions, Bar::Below(DECISION_MS)),
        Figure::median_of("list", "ms", lists, Bar::Below(LIST_MS)),
        without_manager(
            Figure::worst_of("oom_kills", "guests", &kills, Bar::Zero),
            &kills_without,
        )?,
        without_manager(
            Figure::worst_of("guests_alive", "guests", &alive, Bar::AtLeast(all)),
            &alive_without,
        )?,
        // Otherwise the squeeze was none.
        Figure::worst_of(
            "oom_kills_without",
            "guests",
            &kills_without,
            Bar::AtLeast(1.0),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(managed: bool, kills: u32) -> Ended {
        Ended {
            managed,
            kills,
            alive: squeeze::GUESTS - kills,
        }
    }

    #[test]
    fn a_manager_that_lets_one_guest_be_killed_misses_its_bar() {
        let squeezes = [
            ended(true, 0),
            ended(false, 3),
            ended(true, 1),
            ended(false, 2),
        ];
        let figures = figures(&[1.0, 2.0], &[1.0], &squeezes).unwrap();
        let missed = |name| !figures.iter().find(|f| f.name == name).unwrap().is_met();
        assert!(missed("oom_kills") && missed("guests_alive"));
        assert!(!missed("decision") && !missed("oom_kills_without"));
        let kills = &figures[2];
        assert_eq!(
            (kills.ours, kills.peer_value, kills.ratio),
            (1.0, Some(2.0), Some(0.5))
        );
    }

    #[test]
    fn a_squeeze_without_victims_proves_nothing() {
        let found = figures(&[1.0], &[1.0], &[ended(true, 0), ended(false, 0)]).unwrap();
        assert!(!found[4].is_met());
        assert!(figures(&[1.0], &[1.0], &[ended(false, 2)]).is_err());
        assert!(figures(&[1.0], &[1.0], &[ended(true, 0)]).is_err());
    }
}
