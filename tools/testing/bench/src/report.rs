// SPDX-License-Identifier: GPL-2.0

//! Results, as a table for people and as a file for programs.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

use crate::host::Host;
use crate::table::Table;

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Small ones.
    Lower,
    /// Large ones.
    Higher,
}

/// What a figure must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    /// Less than this.
    Below(f64),
    /// Exactly nothing.
    Zero,
    /// Not more than so many times the peer's.
    RatioAtMost(f64),
    /// At least so many times the peer's.
    RatioAtLeast(f64),
    /// At least this.
    AtLeast(f64),
}

impl Bar {
    /// Returns a bar for which the other values are good.
    pub(crate) fn opposite(self) -> Self {
        match self.better() {
            Better::Lower => Self::AtLeast(0.0),
            Better::Higher => Self::Below(f64::INFINITY),
        }
    }

    /// Returns which values are good.
    fn better(self) -> Better {
        match self {
            Self::Below(_) | Self::Zero | Self::RatioAtMost(_) => Better::Lower,
            Self::RatioAtLeast(_) | Self::AtLeast(_) => Better::Higher,
        }
    }
}

/// One figure. The field names are those of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// Unit of all values.
    pub(crate) unit: &'static str,
    /// Our value.
    pub(crate) ours: f64,
    /// Who does the same, if anybody.
    pub(crate) peer: Option<&'static str>,
    /// The peer's value.
    pub(crate) peer_value: Option<f64>,
    /// Ours divided by the peer's.
    pub(crate) ratio: Option<f64>,
    /// Which values are good.
    pub(crate) better: Better,
    /// Number of measurements that our value stands for.
    pub(crate) runs: usize,
    /// The smallest of them.
    pub(crate) min: f64,
    /// The largest of them.
    pub(crate) max: f64,
    /// What must be reached.
    #[serde(skip)]
    pub(crate) bar: Bar,
}

impl Figure {
    /// Makes a figure without a peer; its value is the largest of the measurements, or the smallest
    /// if large ones are good.
    pub(crate) fn worst_of(
        name: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        bar: Bar,
    ) -> Self {
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let ours = match bar.better() {
            Better::Lower => max,
            Better::Higher => min,
        };
        Self {
            name: name.into(),
            unit,
            ours,
            peer: None,
            peer_value: None,
            ratio: None,
            better: bar.better(),
            runs: values.len(),
            min,
            max,
            bar,
        }
    }

    /// Makes a figure without a peer; its value is the median of the measurements.
    pub(crate) fn median_of(
        name: &'static str,
        unit: &'static str,
        values: &[f64],
        bar: Bar,
    ) -> Self {
        Self {
            ours: median(values),
            ..Self::worst_of(name, unit, values, bar)
        }
    }

    /// Compares the medians of measurements that were taken in turn.
    pub(crate) fn against(
        name: &'static str,
        unit: &'static str,
        ours: &[f64],
        (peer, theirs): (&'static str, &[f64]),
        bar: Bar,
    ) -> Self {
        let value = median(ours);
        let peer_value = median(theirs);
        Self {
            ours: value,
            peer: Some(peer),
            peer_value: Some(peer_value),
            ratio: Some(value / peer_value),
            ..Self::worst_of(name, unit, ours, bar)
        }
    }

    /// Whether the figure reaches its bar.
    pub(crate) fn is_met(&self) -> bool {
        match self.bar {
            Bar::Below(limit) => self.ours < limit,
            Bar::Zero => self.ours == 0.0,
            Bar::RatioAtMost(limit) => self.ratio.is_some_and(|ratio| ratio <= limit),
            Bar::RatioAtLeast(limit) => self.ratio.is_some_and(|ratio| ratio >= limit),
            Bar::AtLeast(limit) => self.min >= limit,
        }
    }

    fn row(&self) -> [String; 8] {
        let number = |value: f64| format!("{value:.*}", self.decimals());
        let bar = match self.bar {
            Bar::Below(limit) => format!("< {}", number(limit)),
            Bar::Zero => "0".to_owned(),
            Bar::RatioAtMost(limit) => format!("ratio <= {limit:.3}"),
            Bar::RatioAtLeast(limit) => format!("ratio >= {limit:.1}"),
            Bar::AtLeast(limit) => format!(">= {}", number(limit)),
        };
        [
            self.name.clone(),
            self.unit.to_owned(),
            number(self.ours),
            self.peer_value.map_or("-".to_owned(), number),
            self.ratio
                .map_or("-".to_owned(), |ratio| format!("{ratio:.4}")),
            format!("{}..{}", number(self.min), number(self.max)),
            bar,
            if self.is_met() { "met" } else { "MISSED" }.to_owned(),
        ]
    }

    fn decimals(&self) -> usize {
        match self.unit {
            "%" => 3,
            "ms" | "MiB" => 1,
            _ => 0,
        }
    }
}

/// Everything that a benchmark found out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Name of the benchmark.
    pub(crate) bench: &'static str,
    /// Commit of the tree.
    pub(crate) commit: String,
    /// What it was measured on.
    pub(crate) host: Host,
    /// The figures.
    pub(crate) results: Vec<Figure>,
}

impl Report {
    /// Prints the table with a remark below it, and writes the file to the directory `output`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or, with `check`, a figure misses its bar.
    pub(crate) fn publish(&self, output: &Path, remark: &str, check: bool) -> Result<()> {
        println!("\n{}\n{remark}", table(&self.results));
        let path = output.join(format!("{}.json", self.bench));
        self.write(&path)?;
        println!("written to {}", path.display());

        let missed = missed(&self.results);
        ensure!(
            !check || missed.is_empty(),
            "these figures miss their bars: {}",
            missed.join(", ")
        );
        Ok(())
    }

    /// Writes the file.
    fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Returns the table of the figures.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut table = Table::new(2);
    table.row([
        "result", "unit", "ours", "peer", "ratio", "min..max", "bar", "",
    ]);
    for figure in figures {
        table.row(figure.row());
    }
    table.to_string()
}

/// Returns the names of the figures that miss their bars.
pub(crate) fn missed(figures: &[Figure]) -> Vec<&str> {
    let missed = figures.iter().filter(|figure| !figure.is_met());
    missed.map(|figure| figure.name.as_str()).collect()
}

/// Returns the middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        at(half)
    } else {
        (at(half.saturating_sub(1)) + at(half)) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "the other";

    fn reads(ours: &[f64], theirs: &[f64]) -> Figure {
        Figure::against(
            "read",
            "instructions",
            ours,
            (PEER, theirs),
            Bar::RatioAtMost(1.0),
        )
    }

    #[test]
    fn medians_are_compared() {
        let figure = reads(&[9.0, 1.0, 5.0], &[10.0, 40.0, 10.0]);
        assert_eq!((figure.ours, figure.peer_value), (5.0, Some(10.0)));
        assert_eq!((figure.ratio, figure.runs), (Some(0.5), 3));
        assert_eq!((figure.min, figure.max), (1.0, 9.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn bars_can_be_missed() {
        assert!(reads(&[5.0], &[5.0]).is_met());
        assert!(!reads(&[5.1], &[5.0]).is_met());
        assert!(!reads(&[], &[]).is_met());
        let figures = [reads(&[5.1], &[5.0]), reads(&[5.0], &[5.0])];
        assert_eq!(missed(&figures), ["read"]);
        let growth = |value| Figure::worst_of("growth", "%", &[0.1, value], Bar::Below(1.0));
        assert!(growth(0.99).is_met());
        assert!(!growth(1.0).is_met());
        assert!(!Figure::worst_of("cache", "KiB", &[0.0, 4.0], Bar::Zero).is_met());
        assert!(!Figure::worst_of("cache", "KiB", &[], Bar::Zero).is_met());
        let rate = |bar| Figure::against("rate", "MiB/s", &[20.0], (PEER, &[10.0]), bar);
        assert!(rate(Bar::RatioAtLeast(2.0)).is_met());
        assert!(!rate(Bar::RatioAtLeast(2.1)).is_met());
        let returned = |value| Figure::worst_of("x", "%", &[100.0, value], Bar::AtLeast(99.0));
        assert!(returned(99.0).is_met());
        assert!(!returned(98.9).is_met());
        assert_eq!(returned(99.5).ours, 99.5);
    }

    #[test]
    fn the_file_has_the_documented_fields() {
        let report = Report {
            bench: "x",
            commit: "c".to_owned(),
            host: Host {
                cpus: 2,
                accel: "tcg".to_owned(),
                qemu: "10.0.2".to_owned(),
                kernel: "7.3.4".to_owned(),
            },
            results: vec![
                reads(&[2.0], &[4.0]),
                Figure::worst_of("growth", "%", &[0.5], Bar::Below(1.0)),
            ],
        };
        let value = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!({
            "bench": "x", "commit": "c",
            "host": {"cpus": 2, "accel": "tcg", "qemu": "10.0.2", "kernel": "7.3.4"},
            "results": [
                {"name": "read", "unit": "instructions", "ours": 2.0, "peer": PEER,
                 "peer_value": 4.0, "ratio": 0.5, "better": "lower", "runs": 1, "min": 2.0,
                 "max": 2.0},
                {"name": "growth", "unit": "%", "ours": 0.5, "peer": null, "peer_value": null,
                 "ratio": null, "better": "lower", "runs": 1, "min": 0.5, "max": 0.5},
            ],
        });
        assert_eq!(value, expected);
        assert_eq!(missed(&report.results), Vec::<&str>::new());
    }
}
