// SPDX-License-Identifier: GPL-2.0

//! What `doctor` has found.

use std::io;
use std::io::Write;

use onecopy_observe::doctor::Finding;
use onecopy_observe::doctor::Leftover;
use onecopy_observe::doctor::Severity;
use schemars::JsonSchema;
use serde::Serialize;

use super::style;

/// Everything that was examined.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Examined {
    /// What was looked at.
    pub(crate) findings: Vec<Finding>,
    /// What a crash has left.
    pub(crate) leftovers: Vec<Remains>,
    /// What could not be looked at.
    pub(crate) failed: Vec<String>,
}

/// What a crash has left, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Remains {
    /// A word for programs that read this, always the same.
    id: &'static str,
    /// What is left.
    what: String,
    /// Whether it was removed.
    removed: bool,
    /// Why it could not be removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Remains {
    /// Takes what was found, and what removing it has given, if that was tried.
    pub(crate) fn new(leftover: &Leftover, result: Option<Result<(), String>>) -> Self {
        Self {
            id: leftover.id(),
            what: leftover.to_string(),
            removed: result == Some(Ok(())),
            error: result.and_then(Result::err),
        }
    }
}

impl Examined {
    pub(super) fn is_sound(&self) -> bool {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        let has_failed = |remains: &Remains| remains.error.is_some();
        self.failed.is_empty()
            && !self.findings.iter().any(is_error)
            && !self.leftovers.iter().any(has_failed)
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for finding in &self.findings {
            let (word, style) = match finding.severity {
                Severity::Ok => ("ok", style::GOOD),
                Severity::Warning => ("warning", style::WATCH),
                Severity::Error => ("ERROR", style::BAD),
            };
            writeln!(out, "{style}{word:9}{style:#}{}", finding.what)?;
            for line in [&finding.meaning, &finding.remedy] {
                if !line.is_empty() {
                    writeln!(out, "         {line}")?;
                }
            }
        }
        for remains in &self.leftovers {
            let (word, style) = if remains.removed {
                ("removed", style::GOOD)
            } else {
                ("left", style::WATCH)
            };
            writeln!(out, "{style}{word:9}{style:#}{}", remains.what)?;
        }
        if self.leftovers.iter().any(|remains| !remains.removed) {
            writeln!(out, "         onecopy doctor --clean removes what is left.")?;
        } else if self.leftovers.is_empty() && self.failed.is_empty() {
            let style = style::GOOD;
            writeln!(out, "{style}{:9}{style:#}Nothing is left of a crash", "ok")?;
        }
        let errors = self
            .leftovers
            .iter()
            .filter_map(|remains| remains.error.as_ref());
        for error in self.failed.iter().chain(errors) {
            writeln!(err, "onecopy: {error}")?;
        }
        Ok(())
    }
}
