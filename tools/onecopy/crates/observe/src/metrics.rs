// SPDX-License-Identifier: GPL-2.0

//! A sample in the text format of Prometheus, version 0.0.4.
//!
//! This is what its node exporter takes as a textfile, and its server over HTTP.

#[cfg(test)]
mod tests;
mod text;

use self::text::Kind;
use self::text::Text;
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
