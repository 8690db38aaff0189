// SPDX-License-Identifier: GPL-2.0

//! `onecopy metrics`

use anyhow::Context;
use onecopy_observe::Collector;

use crate::cli::MetricsArgs;
use crate::files;
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
    files::replace(path, text.as_bytes())
        .with_context(|| format!("Cannot write {}", path.display()))?;
    Ok(Measured::Written)
}
