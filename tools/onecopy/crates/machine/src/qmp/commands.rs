// SPDX-License-Identifier: GPL-2.0

//! The commands that we use, with QEMU's names for them and for their fields.

use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

/// A command: it serialises to its arguments.
pub trait Command: Serialize {
    /// QEMU's name of the command.
    const NAME: &'static str;
    /// What QEMU returns.
    type Ok: DeserializeOwned;
}

macro_rules! command {
    ($type:ident, $name:literal, $ok:ty) => {
        impl Command for $type {
            const NAME: &'static str = $name;
            type Ok = $ok;
        }
    };
}

mod balloon;
mod block;
mod chardev;
mod hotplug;
mod migration;
mod network;
mod processor;

pub use self::balloon::Balloon;
pub use self::balloon::BalloonInfo;
pub use self::balloon::GuestStatValues;
pub use self::balloon::GuestStats;
pub use self::balloon::QueryBalloon;
pub use self::balloon::QueryGuestStats;
pub use self::balloon::STATS_POLLING_INTERVAL;
pub use self::block::BlockdevAdd;
pub use self::chardev::ChardevAdd;
pub use self::hotplug::AddFd;
pub use self::hotplug::AddedFd;
pub use self::hotplug::FdSet;
pub use self::hotplug::GivenFd;
pub use self::hotplug::HotpluggableCpu;
pub use self::hotplug::ObjectDel;
pub use self::hotplug::QueryFdsets;
pub use self::hotplug::QueryHotpluggableCpus;
pub use self::hotplug::RemoveFd;
pub use self::migration::Capability;
pub use self::migration::Migrate;
pub use self::migration::MigrateCancel;
pub use self::migration::MigrateIncoming;
pub use self::migration::MigrateSetCapabilities;
pub use self::migration::Migration;
pub use self::migration::QueryMigrate;
pub use self::network::NetdevAdd;
pub use self::network::QueryQmpSchema;
pub use self::network::SchemaEntity;
pub use self::network::SchemaMember;
pub use self::network::SchemaVariant;
pub use self::processor::CpuInfo;
pub use self::processor::CpuidWord;
pub use self::processor::QueryCpusFast;

/// Ends the negotiation that opens a QMP session.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QmpCapabilities {}
command!(QmpCapabilities, "qmp_capabilities", IgnoredAny);

/// Asks whether the guest runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryStatus {}
command!(QueryStatus, "query-status", Status);

/// Answer of [`QueryStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether the processors run.
    pub running: bool,
    /// QEMU's run state, for example `running`, `paused` or `prelaunch`.
    pub status: String,
}

/// Stops the processors.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Stop {}
command!(Stop, "stop", IgnoredAny);

/// Lets the processors run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cont {}
command!(Cont, "cont", IgnoredAny);

/// Ends QEMU.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Quit {}
command!(Quit, "quit", IgnoredAny);

/// Presses the guest's power button.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SystemPowerdown {}
command!(SystemPowerdown, "system_powerdown", IgnoredAny);

/// Wakes a guest that has suspended itself to RAM.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SystemWakeup {}
command!(SystemWakeup, "system_wakeup", IgnoredAny);

/// Asks for QEMU's version.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryVersion {}
command!(QueryVersion, "query-version", VersionInfo);

/// Answer of [`QueryVersion`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VersionInfo {
    /// The three numbers.
    pub qemu: VersionTriple,
    /// What the distribution adds.
    pub package: String,
}

/// QEMU's version number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct VersionTriple {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Micro number.
    pub micro: u32,
}

/// Plugs a device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceAdd {
    /// Name of the driver.
    pub driver: String,
    /// Device id.
    pub id: String,
    /// Id of the bus to plug into, for example of a PCIe root port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<String>,
    /// Properties of the driver.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
}
command!(DeviceAdd, "device_add", IgnoredAny);

/// Unplugs a device; the guest has to agree, and may take its time.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceDel {
    /// Device id.
    pub id: String,
}
command!(DeviceDel, "device_del", IgnoredAny);

/// Creates a back end object.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectAdd {
    /// Type of the object, for example `memory-backend-file`.
    #[serde(rename = "qom-type")]
    pub qom_type: String,
    /// Object id.
    pub id: String,
    /// Properties of the type.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
}
command!(ObjectAdd, "object-add", IgnoredAny);

/// Reads a property of an object.
#[derive(Debug, Clone, Serialize)]
pub struct QomGet {
    /// The path of the object, for example `/machine/peripheral/balloon0`.
    pub path: String,
    /// The name of the property.
    pub property: String,
}
command!(QomGet, "qom-get", Value);

/// Sets a property of an object.
#[derive(Debug, Clone, Serialize)]
pub struct QomSet {
    /// The path of the object.
    pub path: String,
    /// The name of the property.
    pub property: String,
    /// The new value.
    pub value: Value,
}
command!(QomSet, "qom-set", IgnoredAny);

/// Lists the properties of an object; its children are properties too.
#[derive(Debug, Clone, Serialize)]
pub struct QomList {
    /// The path of the object, for example `/machine/peripheral`.
    pub path: String,
}
command!(QomList, "qom-list", Vec<ObjectProperty>);

/// Answer of [`QomList`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ObjectProperty {
    /// Its name.
    pub name: String,
    /// Its type, for example `child<virtio-balloon-pci>`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Writes guest-physical memory to a file.
#[derive(Debug, Clone, Serialize)]
pub struct Pmemsave {
    /// First address.
    #[serde(rename = "val")]
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Path of the file, which is replaced.
    pub filename: String,
}
command!(Pmemsave, "pmemsave", IgnoredAny);

/// Runs a command of the human monitor; for what QMP does not offer.
#[derive(Debug, Clone, Serialize)]
pub struct HumanMonitorCommand {
    /// The line as a human would type it.
    #[serde(rename = "command-line")]
    pub command_line: String,
}
command!(HumanMonitorCommand, "human-monitor-command", String);

/// Asks which memory devices are plugged.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryMemoryDevices {}
command!(
    QueryMemoryDevices,
    "query-memory-devices",
    Vec<MemoryDevice>
);

/// One plugged memory device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MemoryDevice {
    /// Kind of the device, for example `virtio-pmem`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where and how large it is.
    pub data: MemoryDeviceInfo,
}

/// Details of a memory device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MemoryDeviceInfo {
    /// Device id.
    pub id: Option<String>,
    /// QOM path of the memory back end.
    pub memdev: String,
    /// Guest-physical address in bytes.
    #[serde(alias = "addr", alias = "memaddr")]
    pub address: u64,
    /// Size in bytes.
    #[serde(rename = "size")]
    pub size_bytes: u64,
}
