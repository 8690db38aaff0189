// SPDX-License-Identifier: GPL-2.0

//! `onecopy schema`

use crate::cli::SchemaArgs;
use crate::json;
use crate::json::SCHEMAS;
use crate::outcome::NoSchema;

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<String> {
    if args.verb.is_empty() {
        let names = SCHEMAS.iter().map(|(name, _)| format!("{name}\n"));
        return Ok(names.collect());
    }
    let verb = args.verb.join(" ");
    let schema = json::find(&verb).ok_or(NoSchema(verb))?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&schema)?))
}
