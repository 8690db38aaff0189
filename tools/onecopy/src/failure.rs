// SPDX-License-Identifier: GPL-2.0

//! A failure as it is said: to people in one line, to programs as an object of JSON.

use std::fmt;
use std::io;
use std::io::Write;

use anstyle::AnsiColor;
use anstyle::Style;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::json;
use crate::status::Status;

/// How the word is shown that a failure begins with.
const LABEL: Style = AnsiColor::Red.on_default().bold();

/// Why a command has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Failure {
    /// What has failed.
    pub(crate) error: String,
    /// Why, each cause followed by its own.
    pub(crate) causes: Vec<String>,
    /// The exit status of the command.
    pub(crate) exit_status: u8,
}

impl Failure {
    /// Takes an error and its causes. A failure of another process among them stands for itself and
    /// for what was behind it.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let texts = error.chain().flat_map(|cause| match cause.downcast_ref() {
            Some(Self { error, causes, .. }) => [std::slice::from_ref(error), causes].concat(),
            None => vec![cause.to_string()],
        });
        let mut texts = texts.into_iter();
        Self {
            error: texts.next().unwrap_or_default(),
            causes: texts.collect(),
            exit_status: Status::of(error).code(),
        }
    }

    /// Takes what is wrong with a command line: the first paragraph, without the advice behind it.
    pub(crate) fn of_usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let said = paragraph.strip_prefix("error: ").unwrap_or(paragraph);
        Self {
            error: said.trim_end().to_owned(),
            causes: Vec::new(),
            exit_status: Status::NotUnderstood.code(),
        }
    }

    /// Shows it, as JSON or in words.
    pub(crate) fn render(&self, err: &mut dyn Write, as_json: bool) -> io::Result<()> {
        if as_json {
            json::write(err, self)
        } else {
            writeln!(err, "{LABEL}onecopy:{LABEL:#} {self}")
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        self.causes
            .iter()
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_of_another_process_are_kept_apart_and_so_is_its_status() {
        let other = Failure {
            error: "a".to_owned(),
            causes: vec!["b".to_owned()],
            exit_status: 4,
        };
        let error = Err::<(), _>(other).context("x").unwrap_err();
        let failure = Failure::of(&error);
        assert_eq!(failure.error, "x");
        assert_eq!(failure.causes, ["a", "b"]);
        assert_eq!(failure.exit_status, 4);
        assert_eq!(failure.to_string(), format!("{error:#}"));
    }
}
