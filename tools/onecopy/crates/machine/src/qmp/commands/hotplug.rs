// SPDX-License-Identifier: GPL-2.0

//! Commands about processors that can be plugged.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::Command;

/// Asks which processors there are and which can be plugged.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryHotpluggableCpus {}
command!(
    QueryHotpluggableCpus,
    "query-hotpluggable-cpus",
    Vec<HotpluggableCpu>
);

/// A place for a processor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HotpluggableCpu {
    /// The driver to plug.
    #[serde(rename = "type")]
    pub driver: String,
    /// The properties that say where: numbers of socket, core and thread.
    pub props: Map<String, Value>,
    /// The path of the processor that is there; nothing if the place is free.
    #[serde(rename = "qom-path")]
    pub qom_path: Option<String>,
}
