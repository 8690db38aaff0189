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
#[derive(Debug, Serialize)]
pub(crate) struct Reported {
    pub(crate) file: PathBuf,
    pub(crate) samples: usize,
    pub(crate) guests: usize,
    pub(crate) shrinks: usize,
    #[serde(skip)]
    pub(crate) json: bool,
}

impl Seen {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Once(view) => {
                let area = Rect::new(0, 0, WIDTH, screen::height(view));
                let mut buffer = Buffer::empty(area);
                screen::draw(view, area, &mut buffer);
                write!(out, "{}", screen::text(&buffer))
            }
            Self::Json(sample) => write_json(out, sample),
        }
    }
}

impl Measured {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Written => Ok(()),
            Self::Text(text) => write!(out, "{text}"),
            Self::Json(sample) => write_json(out, sample),
        }
    }
}

impl Reported {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return write_json(out, self);
        }
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

fn write_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
