// SPDX-License-Identifier: GPL-2.0

//! A sample in the text format of Prometheus, version 0.0.4.
//!
//! This is what its node exporter takes as a textfile, and its server over HTTP.

use std::fmt::Display;
use std::fmt::Write;

use crate::GuestSample;
use crate::Sample;
use crate::Stall;
use crate::Totals;

/// Writes all metrics of a sample.
pub fn metrics(sample: &Sample) -> String {
    let mut text = Text::default();
    host(&mut text, sample);
    totals(&mut text, sample);
    guests(&mut text, &sample.guests);
    ranges(&mut text, &sample.guests);
    files(&mut text, sample);
    text.0
}

/// What a metric may do over time.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// Names and values of labels.
type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The text that has been written.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    /// Writes a metric with its values; one without values is left out.
    fn family<'a, V: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        for (labels, value) in values {
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            if labels.is_empty() {
                self.line(format_args!("{name} {value}"));
            } else {
                self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
            }
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Gauge, help, [(Vec::new(), value)]);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// Escapes what would end a label's value.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text
}

fn host(text: &mut Text, sample: &Sample) {
    let host = &sample.host;
    for (name, help, value) in [
        (
            "onecopy_host_memory_total_bytes",
            "Memory of the host.",
            host.memory_total_bytes,
        ),
        (
            "onecopy_host_memory_available_bytes",
            "Memory of the host that can be had without swapping.",
            host.memory_available_bytes,
        ),
        (
            "onecopy_host_swap_free_bytes",
            "Swap space of the host that is not in use.",
            host.swap_free_bytes,
        ),
    ] {
        text.gauge(name, help, value);
    }
    let pressure = host.memory_pressure.iter();
    let stalls = pressure.flat_map(|pressure| [("some", pressure.some), ("full", pressure.full)]);
    text.family(
        "onecopy_host_memory_stall_seconds_total",
        Kind::Counter,
        "For how long some or all processes of the host have waited for memory.",
        stalls.map(|(kind, stall): (_, Stall)| (vec![("kind", kind)], stall.total_seconds)),
    );
}

fn totals(text: &mut Text, sample: &Sample) {
    let totals = Totals::of(sample);
    for (name, help, value) in [
        (
            "onecopy_guests",
            "Guests that were started from saved systems.",
            totals.guests as u64,
        ),
        (
            "onecopy_guests_silent",
            "Guests whose QEMU has not answered in time.",
            totals.silent as u64,
        ),
        (
            "onecopy_shared_bytes",
            "Resident pages of files that guests map, each once.",
            totals.shared_bytes,
        ),
        (
            "onecopy_saved_bytes",
            "What guests would take in addition if each had these pages for itself.",
            totals.saved_bytes(),
        ),
    ] {
        text.gauge(name, help, value);
    }
    text.family(
        "onecopy_sample_timestamp_seconds",
        Kind::Gauge,
        "When this was measured, since 1970.",
        [(Vec::new(), sample.time_unix_ms as f64 / 1e3)],
    );
}

fn guests(text: &mut Text, guests: &[GuestSample]) {
    let generations: Vec<_> = guests.iter().map(|g| g.generation.to_string()).collect();
    let up = guests.iter().zip(&generations).map(|(guest, generation)| {
        let labels = vec![
            ("guest", guest.name.as_str()),
            ("system", guest.system.as_str()),
            ("generation", generation.as_str()),
        ];
        (labels, u64::from(guest.state == "running"))
    });
    text.family(
        "onecopy_guest_up",
        Kind::Gauge,
        "Whether the guest has its identity, and runs.",
        up,
    );
    type Value = fn(&GuestSample) -> Option<u64>;
    let gauges: [(&str, &str, Value); 5] = [
        (
            "onecopy_guest_memory_bytes",
            "Memory of the guest, as it was started.",
            |guest| Some(guest.memory_bytes),
        ),
        (
            "onecopy_guest_balloon_bytes",
            "What the balloon leaves of the memory, for guests with one.",
            |guest| guest.balloon_bytes,
        ),
        (
            "onecopy_guest_unique_bytes",
            "Guest memory that exists only because of this guest.",
            |guest| guest.unique_bytes,
        ),
        (
            "onecopy_guest_pss_bytes",
            "Resident pages of QEMU, each divided by the number of processes that map it.",
            |guest| Some(guest.process?.pss_bytes),
        ),
        (
            "onecopy_guest_overhead_bytes",
            "What QEMU has for itself beside guest memory.",
            GuestSample::overhead_bytes,
        ),
    ];
    for (name, help, value) in gauges {
        let values = guests.iter().filter_map(|guest| {
            let labels = vec![("guest", guest.name.as_str())];
            Some((labels, value(guest)?))
        });
        text.family(name, Kind::Gauge, help, values);
    }
    let seconds = guests.iter().filter_map(|guest| {
        let labels = vec![("guest", guest.name.as_str())];
        Some((labels, guest.process?.cpu_seconds))
    });
    text.family(
        "onecopy_guest_cpu_seconds_total",
        Kind::Counter,
        "For how long QEMU's threads have run on processors.",
        seconds,
    );
}

fn ranges(text: &mut Text, guests: &[GuestSample]) {
    type Value = fn(&crate::RangeSample) -> u64;
    let gauges: [(&str, &str, Value); 3] = [
        (
            "onecopy_guest_range_shared_bytes",
            "Resident pages of the saved file in a range of memory, which all guests have together.",
            |range| range.shared_bytes,
        ),
        (
            "onecopy_guest_range_private_bytes",
            "What exists in a range of memory only because of this guest.",
            |range| range.private_bytes,
        ),
        (
            "onecopy_guest_range_unshared_bytes",
            "What the guest does not share any more of a shared range.",
            |range| range.unshared_bytes,
        ),
    ];
    for (name, help, value) in gauges {
        let values = guests.iter().flat_map(|guest| {
            guest.ranges.iter().map(move |range| {
                let labels = vec![
                    ("guest", guest.name.as_str()),
                    ("range", range.range.as_str()),
                    ("type", range.kind.as_str()),
                ];
                (labels, value(range))
            })
        });
        text.family(name, Kind::Gauge, help, values);
    }
    let attached = guests.iter().flat_map(|guest| {
        guest.attached.iter().map(|file| {
            let labels = vec![("guest", guest.name.as_str()), ("file", file.file.as_str())];
            (labels, file.shared_bytes)
        })
    });
    text.family(
        "onecopy_guest_attached_shared_bytes",
        Kind::Gauge,
        "Resident pages that the guest maps of a segment space or another file.",
        attached,
    );
}

fn files(text: &mut Text, sample: &Sample) {
    let generations: Vec<_> = sample
        .files
        .iter()
        .map(|file| file.generation.to_string())
        .collect();
    let labels = || {
        sample
            .files
            .iter()
            .zip(&generations)
            .map(|(file, generation)| {
                vec![
                    ("kind", file.kind.as_str()),
                    ("name", file.name.as_str()),
                    ("generation", generation.as_str()),
                    ("file", file.file.as_str()),
                ]
            })
    };
    text.family(
        "onecopy_file_size_bytes",
        Kind::Gauge,
        "Size of a file of a saved system or segment space.",
        labels().zip(sample.files.iter().map(|file| file.size_bytes)),
    );
    text.family(
        "onecopy_file_resident_bytes",
        Kind::Gauge,
        "What of the file is in the host's page cache.",
        labels().zip(sample.files.iter().map(|file| file.resident_bytes)),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::*;
    use crate::sample::tests::sample;

    /// The values of one metric by their labels, as the format says it: written without looking at
    /// the code above.
    #[derive(Debug, Default)]
    struct Parsed {
        kind: String,
        help: String,
        values: BTreeMap<BTreeMap<String, String>, f64>,
    }

    fn is_name(name: &str) -> bool {
        let first = name.chars().next();
        first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn parse_labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
        let mut labels = BTreeMap::new();
        while let Some((name, rest)) = text.split_once("=\"").filter(|_| !text.starts_with('}')) {
            assert!(is_name(name), "{name}");
            let mut value = String::new();
            let mut characters = rest.chars();
            loop {
                match characters.next().unwrap() {
                    '"' => break,
                    '\\' => match characters.next().unwrap() {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    other => value.push(other),
                }
            }
            assert_eq!(labels.insert(name.to_owned(), value), None);
            text = characters.as_str();
            text = text.strip_prefix(',').unwrap_or(text);
        }
        (labels, text.strip_prefix('}').unwrap())
    }

    fn parse(text: &str) -> BTreeMap<String, Parsed> {
        assert!(text.ends_with('\n'));
        let mut metrics: BTreeMap<String, Parsed> = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                let before = metrics.insert(name.to_owned(), Parsed::default());
                assert!(before.is_none(), "{name} comes twice");
                metrics.get_mut(name).unwrap().help = help.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                metrics.get_mut(name).unwrap().kind = kind.to_owned();
            } else {
                let end = line.find(['{', ' ']).unwrap();
                let (name, rest) = line.split_at(end);
                assert!(is_name(name), "{line}");
                let (labels, value) = match rest.strip_prefix('{') {
                    Some(rest) => parse_labels(rest),
                    None => (BTreeMap::new(), rest),
                };
                let value: f64 = value.strip_prefix(' ').unwrap().parse().unwrap();
                let metric = metrics.get_mut(name).unwrap();
                assert!(
                    ["gauge", "counter"].contains(&metric.kind.as_str()),
                    "{line}"
                );
                let before = metric.values.insert(labels, value);
                assert_eq!(before, None, "{line}");
            }
        }
        metrics
    }

    #[test]
    fn another_parser_reads_what_is_written() {
        let mut sample = sample(3);
        let odd = "a \"b\"\\c,d=\"x\n";
        if let Some(guest) = sample.guests.first_mut() {
            guest.attached.push(crate::AttachedSample {
                file: odd.to_owned(),
                shared_bytes: 7,
                proportional_bytes: 7,
                ..crate::AttachedSample::default()
            });
        }
        let metrics = parse(&metrics(&sample));
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels: BTreeMap<_, _> = labels
                .iter()
                .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
                .collect();
            metrics[name].values[&labels]
        };
        assert_eq!(value("onecopy_guests", &[]), 3.0);
        assert_eq!(value("onecopy_saved_bytes", &[]), f64::from(16 << 20) + 2.0);
        let labels = [("guest", "lx1"), ("file", odd)];
        assert_eq!(value("onecopy_guest_attached_shared_bytes", &labels), 7.0);
        let labels = [("guest", "lx2"), ("range", "1000-17FF SR"), ("type", "SR")];
        assert_eq!(value("onecopy_guest_range_unshared_bytes", &labels), 4096.0);
        assert_eq!(
            value(
                "onecopy_host_memory_stall_seconds_total",
                &[("kind", "some")]
            ),
            12.5
        );
        assert_eq!(metrics["onecopy_guest_balloon_bytes"].values.len(), 1);
    }

    #[test]
    fn names_say_their_units_and_counters_that_they_are() {
        for (name, metric) in parse(&metrics(&sample(2))) {
            assert!(metric.help.ends_with('.'), "{name}");
            assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
            let units: BTreeSet<_> = ["bytes", "seconds"].into();
            let unit = name.trim_end_matches("_total").rsplit('_').next().unwrap();
            let counts = [
                "onecopy_guests",
                "onecopy_guests_silent",
                "onecopy_guest_up",
            ];
            assert!(
                units.contains(unit) || counts.contains(&name.as_str()),
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let text = metrics(&Sample::default());
        assert!(!text.contains("onecopy_guest_"), "{text}");
        assert!(!text.contains("stall"), "{text}");
    }
}
