// SPDX-License-Identifier: GPL-2.0

//! Commands about character devices.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::Serialize;
use serde_json::json;
use serde_json::Value;

use super::Command;

/// Creates a character device.
#[derive(Debug, Clone, Serialize)]
pub struct ChardevAdd {
    /// Id, unique in the machine.
    pub id: String,
    /// What is behind it.
    pub backend: Value,
}
command!(ChardevAdd, "chardev-add", IgnoredAny);

impl ChardevAdd {
    /// A socket on which QEMU listens, without waiting for anybody to connect. It takes one client
    /// at a time.
    ///
    /// Returns [`None`] for a path that is not UTF-8, which QMP cannot carry.
    pub fn listening(id: &str, path: &Path) -> Option<Self> {
        let address = json!({ "type": "unix", "data": { "path": path.to_str()? } });
        let data = json!({ "addr": address, "server": true, "wait": false });
        Some(Self {
            id: id.to_owned(),
            backend: json!({ "type": "socket", "data": data }),
        })
    }
}
