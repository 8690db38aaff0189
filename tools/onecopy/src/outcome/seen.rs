// SPDX-License-Identifier: GPL-2.0

//! Samples and what is made of them: `top`, `metrics`, `report`.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_observe::screen;
use onecopy_observe::screen::View;
use onecopy_observe::Sample;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use schemars::JsonSchema;
use serde::Serialize;

/// The width of what is shown without a terminal, in characters.
const WIDTH: u16 = 132;

/// What `top` has shown.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Everything that is to be shown was on the terminal.
    Nothing,
    /// One sample as text.
    Once(Box<View>),
    /// One sample as JSON.
    Json(Sample),
}

/// What `metrics` has measured.
#[derive(Debug)]
pub(crate) enum Measured {
    /// It is in a file.
    Written,
    /// As text for Prometheus.
    Text(String),
    /// As JSON.
    Json(Sample),
}

/// A report that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reported {
    /// The report.
    pub(crate) file: PathBuf,
    /// How many samples are in it.
    pub(crate) samples: usize,
    /// How many guests are.
    pub(crate) guests: usize,
    /// How many requests by SHRINK are.
    pub(crate) shrinks: usize,
}

impl Seen {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            // JSON is written as such.
            Self::Nothing | Self::Json(_) => Ok(()),
            Self::Once(view) => {
                let area = Rect::new(0, 0, WIDTH, screen::height(view));
                let mut buffer = Buffer::empty(area);
                screen::draw(view, area, &mut buffer);
                write!(out, "{}", screen::text(&buffer))
            }
        }
    }
}

impl Measured {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Written | Self::Json(_) => Ok(()),
            Self::Text(text) => write!(out, "{text}"),
        }
    }
}

impl Reported {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let plural = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            _ => format!("{count} {what}s"),
        };
        writeln!(
            out,
            "{}: {}, {}, {}",
            self.file.display(),
            plural(self.samples, "sample"),
            plural(self.guests, "guest"),
            plural(self.shrinks, "SHRINK")
        )
    }
}
