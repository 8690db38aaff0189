// SPDX-License-Identifier: GPL-2.0

//! Commands about what can be plugged: processors, and what is taken back when a plug fails.

use serde::de::IgnoredAny;
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

/// Removes a back end object that nothing uses.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectDel {
    /// Object id.
    pub id: String,
}
command!(ObjectDel, "object-del", IgnoredAny);

/// Gives QEMU an open file, which it keeps for as long as it has a monitor; sent together with the
/// file, see [`crate::qmp::Client::execute_with`].
#[derive(Debug, Clone, Serialize)]
pub struct AddFd {
    /// A word by which it is known.
    pub opaque: String,
}
command!(AddFd, "add-fd", AddedFd);

/// Answer of [`AddFd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct AddedFd {
    /// The set that the file is in.
    #[serde(rename = "fdset-id")]
    pub fdset_id: i64,
}

/// Asks which open files QEMU was given.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryFdsets {}
command!(QueryFdsets, "query-fdsets", Vec<FdSet>);

/// A set of open files, answer of [`QueryFdsets`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FdSet {
    /// The set.
    #[serde(rename = "fdset-id")]
    pub fdset_id: i64,
    /// Its files.
    pub fds: Vec<GivenFd>,
}

/// An open file that QEMU was given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GivenFd {
    /// The word by which it is known, if one was said.
    pub opaque: Option<String>,
}

/// Lets QEMU close the files of a set.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RemoveFd {
    /// The set.
    #[serde(rename = "fdset-id")]
    pub fdset_id: i64,
}
command!(RemoveFd, "remove-fd", IgnoredAny);
