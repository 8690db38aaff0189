// SPDX-License-Identifier: GPL-2.0

//! Commands about balloons and what their guests say of their memory.

use serde::de::IgnoredAny;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use super::Command;

/// The property of a balloon that says how often QEMU asks the guest for statistics, in seconds; 0
/// for never. It is set by [`super::QomSet`].
pub const STATS_POLLING_INTERVAL: &str = "guest-stats-polling-interval";

/// Sets the memory that the guest shall have; the balloon driver of the guest does what it can.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Balloon {
    /// The memory in bytes.
    pub value: u64,
}
command!(Balloon, "balloon", IgnoredAny);

/// Asks how much memory the guest has, by what its balloon driver says.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryBalloon {}
command!(QueryBalloon, "query-balloon", BalloonInfo);

/// Answer of [`QueryBalloon`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BalloonInfo {
    /// The memory in bytes.
    pub actual: u64,
}

/// Asks for the statistics that the guest last said.
#[derive(Debug, Clone, Serialize)]
pub struct QueryGuestStats {
    path: String,
    property: &'static str,
}
command!(QueryGuestStats, "qom-get", GuestStats);

impl QueryGuestStats {
    /// Asks the balloon at this path, for example `/machine/peripheral/balloon0`.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            property: "guest-stats",
        }
    }
}

/// Answer of [`QueryGuestStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GuestStats {
    /// When the guest said it, in seconds since 1970; 0 for never.
    pub last_update: u64,
    /// What it said.
    pub stats: GuestStatValues,
}

/// What a guest says of its memory; nothing for what it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct GuestStatValues {
    /// What could be had without swapping, in bytes.
    #[serde(rename = "stat-available-memory", deserialize_with = "said")]
    pub available_bytes: Option<u64>,
    /// What is not used for anything, in bytes.
    #[serde(rename = "stat-free-memory", deserialize_with = "said")]
    pub free_bytes: Option<u64>,
    /// What there is, in bytes.
    #[serde(rename = "stat-total-memory", deserialize_with = "said")]
    pub total_bytes: Option<u64>,
}

/// QEMU says -1, as a 64-bit number, for what it was not told.
fn said<'a, D: Deserializer<'a>>(from: D) -> Result<Option<u64>, D::Error> {
    let value = u64::deserialize(from)?;
    Ok((value != u64::MAX).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_did_not_say_is_nothing() {
        let stats: GuestStats = serde_json::from_str(
            r#"{"stats": {"stat-swap-out": 0, "stat-available-memory": 4096,
                "stat-free-memory": 18446744073709551615, "stat-total-memory": 8192},
                "last-update": 1700000000}"#,
        )
        .unwrap();
        assert_eq!(stats.last_update, 1_700_000_000);
        assert_eq!(stats.stats.available_bytes, Some(4096));
        assert_eq!(stats.stats.free_bytes, None);
        assert_eq!(stats.stats.total_bytes, Some(8192));
    }

    #[test]
    fn statistics_are_asked_for_as_a_property() {
        let query = QueryGuestStats::new("/machine/peripheral/balloon0");
        let expected = serde_json::json!({
            "path": "/machine/peripheral/balloon0",
            "property": "guest-stats",
        });
        assert_eq!(serde_json::to_value(&query).unwrap(), expected);
    }
}
