// SPDX-License-Identifier: GPL-2.0

//! What a command has done, and how that is shown.

mod boot;
mod segments;

use std::io;
use std::io::Write;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;

use crate::boot::End;
use crate::size;

pub(crate) use self::segments::InvalidSpace;
pub(crate) use self::segments::ListedSpace;
pub(crate) use self::segments::Segments;

/// The result of a command that was carried out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// `saveseg`
    Saved(Saved),
    /// `query seg`
    Segments(Segments),
    /// `boot`
    Booted(End),
}

/// A segment space that was saved.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) name: Name,
    pub(crate) generation: u64,
    pub(crate) members: usize,
    pub(crate) size_bytes: u64,
    pub(crate) path: PathBuf,
}

impl Outcome {
    /// Whether everything that was asked for is as it should be.
    pub(crate) fn is_success(&self) -> bool {
        match self {
            Self::Saved(_) => true,
            Self::Segments(segments) => segments.is_sound(),
            Self::Booted(end) => boot::is_success(end),
        }
    }

    /// Shows the outcome: results on `out`, complaints on `err`.
    pub(crate) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Saved(saved) => saved.render(out),
            Self::Segments(segments) => segments.render(out, err),
            Self::Booted(end) => boot::render(end, err),
        }
    }
}

impl Saved {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let plural = if self.members == 1 { "" } else { "s" };
        writeln!(
            out,
            "{} generation {}: {} member{plural}, {}, {}",
            self.name,
            self.generation,
            self.members,
            size::show(self.size_bytes),
            self.path.display()
        )
    }
}
