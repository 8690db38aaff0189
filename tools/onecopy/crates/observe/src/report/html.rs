// SPDX-License-Identifier: GPL-2.0

//! The page around the plots.

use std::fmt::Write;

use crate::size::rounded;
use crate::time;
use crate::GuestSample;
use crate::History;
use crate::Sample;
use crate::Totals;

const STYLE: &str = "\
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: 0 }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.2rem }
p { color: #555; margin: 0.2rem 0 0.6rem }
svg { width: 100%; height: auto; border: 1px solid #ddd; border-radius: 6px; background: #fff }
.tiles { display: flex; flex-wrap: wrap; gap: 0.8rem; margin-top: 1rem }
.tile { border: 1px solid #ddd; border-radius: 6px; padding: 0.5rem 0.9rem; min-width: 8rem }
.tile strong { display: block; font-size: 1.3rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid #e5e5e5; white-space: nowrap }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.none { border: 1px dashed #ccc; border-radius: 6px; padding: 1rem; color: #777 }
";

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new(history: &History) -> Self {
        let mut page = Self {
            text: "<!DOCTYPE html>\n".to_owned(),
        };
        page.add(format_args!(
            "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>onecopy: what guests share</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <h1>What guests share</h1>\n<p>{}</p>",
            escaped(&period(history))
        ));
        page.tiles(history.samples.last());
        page
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{text}");
    }

    fn tiles(&mut self, sample: Option<&Sample>) {
        let Some(sample) = sample else { return };
        let totals = Totals::of(sample);
        let host = &sample.host;
        let stall = host
            .memory_pressure
            .map(|pressure| pressure.some.avg10_percent);
        self.add(format_args!("<div class=\"tiles\">"));
        for (name, value) in [
            ("guests", totals.guests.to_string()),
            ("unique to guests", rounded(totals.unique_bytes)),
            ("shared, once", rounded(totals.shared_bytes)),
            ("saved by sharing", rounded(totals.saved_bytes())),
            ("unshared", rounded(totals.unshared_bytes)),
            (
                "available on the host",
                rounded(host.memory_available_bytes),
            ),
            (
                "memory pressure, 10 s",
                stall.map_or_else(|| "unknown".to_owned(), |some| format!("{some:.1} %")),
            ),
        ] {
            self.add(format_args!(
                "<div class=\"tile\"><strong>{value}</strong>{name}</div>"
            ));
        }
        self.add(format_args!("</div>"));
    }

    /// Adds a plot with its title and explanation, or says why there is none.
    pub(super) fn plot(&mut self, title: &str, words: &str, svg: Option<String>, none: &str) {
        self.add(format_args!("<h2>{title}</h2>"));
        match svg {
            Some(svg) => self.add(format_args!("<p>{words}</p>\n{svg}")),
            None => self.add(format_args!("<div class=\"none\">{none}</div>")),
        }
    }

    pub(super) fn guests(&mut self, sample: Option<&Sample>) {
        let guests = sample
            .map(|sample| sample.guests.as_slice())
            .unwrap_or_default();
        if guests.is_empty() {
            return;
        }
        let titles = [
            "guest",
            "system",
            "state",
            "memory",
            "unique",
            "shared",
            "unshared",
            "PSS",
            "QEMU's own",
            "balloon leaves",
            "CPU seconds",
        ];
        self.table("Guests", &titles, 3, guests.iter().map(guest));
    }

    pub(super) fn files(&mut self, sample: Option<&Sample>) {
        let files = sample
            .map(|sample| sample.files.as_slice())
            .unwrap_or_default();
        if files.is_empty() {
            return;
        }
        let rows = files.iter().map(|file| {
            vec![
                file.kind.clone(),
                format!("{}.{}", file.name, file.generation),
                file.file.clone(),
                rounded(file.size_bytes),
                rounded(file.resident_bytes),
            ]
        });
        let titles = ["kind", "name", "file", "size", "in the page cache"];
        self.table("Saved files", &titles, 3, rows);
    }

    /// Adds a table; from the column `numbers` on it has numbers.
    fn table(
        &mut self,
        title: &str,
        titles: &[&str],
        numbers: usize,
        rows: impl Iterator<Item = Vec<String>>,
    ) {
        let class = |column: usize| {
            if column < numbers {
                ""
            } else {
                " class=\"number\""
            }
        };
        self.add(format_args!(
            "<h2>{title}</h2>\n<div class=\"scroll\"><table>\n<tr>"
        ));
        for (column, title) in titles.iter().enumerate() {
            self.add(format_args!("<th{}>{title}</th>", class(column)));
        }
        self.add(format_args!("</tr>"));
        for row in rows {
            self.add(format_args!("<tr>"));
            for (column, cell) in row.iter().enumerate() {
                self.add(format_args!("<td{}>{}</td>", class(column), escaped(cell)));
            }
            self.add(format_args!("</tr>"));
        }
        self.add(format_args!("</table></div>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.add(format_args!("</body>\n</html>"));
        self.text
    }
}

fn period(history: &History) -> String {
    let (Some(first), Some(last)) = (history.samples.first(), history.samples.last()) else {
        return "Nothing was recorded.".to_owned();
    };
    let last_time = time::utc(last.time_unix_ms);
    if history.samples.len() == 1 {
        return last_time;
    }
    let first_time = time::utc(first.time_unix_ms);
    let count = history.samples.len();
    format!("{first_time} to {last_time}, {count} samples. Numbers and tables are of the last one.")
}

fn guest(guest: &GuestSample) -> Vec<String> {
    let shown = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), rounded);
    let shared = (!guest.ranges.is_empty()).then(|| guest.shared_bytes());
    vec![
        guest.name.clone(),
        format!("{}.{}", guest.system, guest.generation),
        guest.state.clone(),
        rounded(guest.memory_bytes),
        shown(guest.unique_bytes),
        shown(shared.map(|shared| shared.0)),
        shown(shared.map(|shared| shared.1)),
        shown(guest.process.map(|process| process.pss_bytes)),
        shown(guest.overhead_bytes()),
        shown(guest.balloon_bytes),
        guest.process.map_or_else(
            || "-".to_owned(),
            |process| format!("{:.1}", process.cpu_seconds),
        ),
    ]
}

/// Escapes what HTML would take for its own.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
