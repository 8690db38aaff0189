// SPDX-License-Identifier: GPL-2.0

//! Tests of [`super`].

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
