// SPDX-License-Identifier: GPL-2.0

//! The verbs that show what there is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onecopy_observe::screen::Column;

/// Show guests and what they share, updated live.
///
/// For each guest: its share of processors, what exists only because of it (unique), what it has
/// together with others (shared), pages that it no longer shares, the proportional size of its QEMU
/// (PSS), and what its balloon leaves. Keys: q quits, the arrows sort and choose, r reverses, / filters.
/// The chosen guest is shown by range of memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 also when guests are silent; 1 without a terminal, unless --once is given.

Examples:
  onecopy top
  onecopy top --interval 5 --sort unshared --record /var/log/onecopy.jsonl
  onecopy top --once --json")]
pub(crate) struct TopArgs {
    /// Seconds between two samples
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Show one sample as text, or as JSON, and end
    #[arg(long, required_if_eq("json", "true"))]
    pub(crate) once: bool,

    /// Add each sample to this file, one line of JSON each; see the verb report
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Sort by name, cpu, memory, unique, shared, unshared, pss or balloon
    #[arg(long, value_name = "COLUMN", default_value = "unique")]
    pub(crate) sort: Column,

    /// Only guests whose name or system holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) filter: String,
}

/// Print metrics for Prometheus.
///
/// The text format 0.0.4: serve it, or let the node exporter read it as a textfile.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy metrics
  onecopy metrics --textfile /var/lib/prometheus/node-exporter/onecopy.prom
  onecopy metrics --json")]
pub(crate) struct MetricsArgs {
    /// Replace this file in one step instead of printing
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub(crate) textfile: Option<PathBuf>,
}

/// Write a report with plots.
///
/// One HTML file that needs nothing else: memory by number of guests and over time, sharing by range,
/// what guests were told by SHRINK, and all guests. Without --from it shows the present moment.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy report -o now.html
  onecopy report -o day.html --from /var/log/onecopy.jsonl
  onecopy report -o day.html --from /var/log/onecopy.jsonl --shrinks /var/log/vmrm.jsonl --json")]
pub(crate) struct ReportArgs {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Show what was recorded in this file, by the verb top; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Vec<PathBuf>,

    /// What guests were told: the output of vmrm run --json, or lines of JSON with time, guest and bytes; may be
    /// given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) shrinks: Vec<PathBuf>,
}

/// Show where memory is: of the host, of what guests share, and of each guest.
///
/// Shared memory is pages of files that guests map, each counted once; mapped is what they would take if
/// each had its own. Private is what exists only because of one guest, in guest memory, and unshared is what of
/// that was shared when the guest started. Given is what guests have given back by their balloons.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy query memory
  onecopy query memory --json")]
pub(crate) struct QueryMemoryArgs {}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    match seconds {
        Some(seconds) if (0.1..=86_400.0).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("0.1 to 86400 seconds are expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_may_be_a_part_of_a_second() {
        assert_eq!(parse_interval("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "1e9", ""] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
