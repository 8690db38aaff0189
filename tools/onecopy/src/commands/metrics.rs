// SPDX-License-Identifier: GPL-2.0

//! `onecopy metrics`

use anyhow::Context;
use onecopy_directory::replace;
use onecopy_directory::Manner;
use onecopy_observe::Collector;

use crate::cli::MetricsArgs;
use crate::outcome::Measured;

pub(super) fn run(
    args: &MetricsArgs,
    mut collector: Collector,
    json: bool,
) -> anyhow::Result<Measured> {
    let sample = collector.sample()?;
    let Some(path) = &args.textfile else {
        return Ok(if json {
            Measured::Json(sample)
        } else {
            Measured::Text(onecopy_observe::metrics(&sample))
        });
    };
    let text = onecopy_observe::metrics(&sample);
    replace(path, text.as_bytes(), Manner::PUBLIC)
        .with_context(|| format!("Cannot write {}", path.display()))?;
    Ok(Measured::Written)
}
