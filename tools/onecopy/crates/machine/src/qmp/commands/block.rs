// SPDX-License-Identifier: GPL-2.0

//! Commands about disks.

use serde::de::IgnoredAny;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::Command;

/// Opens a disk image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockdevAdd {
    /// Format of the image: the name of a block driver, for example `raw`.
    pub driver: String,
    /// Name by which devices refer to it.
    #[serde(rename = "node-name")]
    pub node_name: String,
    /// Properties of the driver.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
}
command!(BlockdevAdd, "blockdev-add", IgnoredAny);
