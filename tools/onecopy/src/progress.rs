// SPDX-License-Identifier: GPL-2.0

//! Progress on a terminal; silence elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;
use onecopy_store::Progress;
use onecopy_store::Stage;

/// A line at the bottom of the terminal that says how far a store operation is.
pub(crate) struct Line {
    bar: ProgressBar,
    shown: Option<(Stage, Option<onecopy_format::segment_space::Name>)>,
}

impl Line {
    /// Makes the line, hidden when standard error is not a terminal.
    pub(crate) fn new() -> Self {
        let visible = std::io::stderr().is_terminal();
        let bar = if visible {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        Self { bar, shown: None }
    }

    /// Shows the progress.
    pub(crate) fn show(&mut self, progress: Progress) {
        let part = (progress.stage, progress.member);
        if self.shown != Some(part) {
            self.shown = Some(part);
            self.start(progress);
        }
        self.bar.set_position(progress.done_bytes);
    }

    fn start(&self, progress: Progress) {
        let member = progress
            .member
            .map(|name| name.to_string())
            .unwrap_or_default();
        let verb = match progress.stage {
            Stage::Building => "making the image of",
            Stage::Copying => "copying",
            Stage::Hashing => "hashing",
            Stage::Publishing => "publishing",
        };
        self.bar.set_length(progress.total_bytes);
        self.bar.set_message(format!("{verb} {member}"));
        let template = if progress.total_bytes == 0 {
            "{spinner} {msg}"
        } else {
            "{spinner} {msg} [{bar:30}] {binary_bytes}/{binary_total_bytes}"
        };
        // The templates are constants, so a mistake in them shows at the first run.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
