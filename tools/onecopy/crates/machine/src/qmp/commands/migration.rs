// SPDX-License-Identifier: GPL-2.0

//! Commands that save the state of a machine, and load it.

use serde::de::IgnoredAny;
use serde::Deserialize;
use serde::Serialize;

use super::Command;

/// One property of a migration.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Capability {
    /// QEMU's name of it, for example `x-ignore-shared`.
    pub capability: &'static str,
    /// Whether the migration has it.
    pub state: bool,
}

/// Sets properties of the next migration.
#[derive(Debug, Clone, Serialize)]
pub struct MigrateSetCapabilities {
    /// The properties; others stay.
    pub capabilities: Vec<Capability>,
}
command!(
    MigrateSetCapabilities,
    "migrate-set-capabilities",
    IgnoredAny
);

/// Starts to save the state.
#[derive(Debug, Clone, Serialize)]
pub struct Migrate {
    /// Where to, for example `file:/srv/state`.
    pub uri: String,
}
command!(Migrate, "migrate", IgnoredAny);

/// Ends the migration that is going on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MigrateCancel {}
command!(MigrateCancel, "migrate_cancel", IgnoredAny);

/// Starts to load the state, in a machine that was started to wait for one.
#[derive(Debug, Clone, Serialize)]
pub struct MigrateIncoming {
    /// Where from.
    pub uri: String,
}
command!(MigrateIncoming, "migrate-incoming", IgnoredAny);

/// Asks how far a migration is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct QueryMigrate {}
command!(QueryMigrate, "query-migrate", Migration);

/// Answer of [`QueryMigrate`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Migration {
    /// How far it is, for example `active`, `completed` or `failed`; nothing before the first.
    pub status: Option<String>,
    /// Why it failed.
    #[serde(rename = "error-desc")]
    pub error: Option<String>,
}

impl Migration {
    /// Returns whether it goes on.
    pub fn is_active(&self) -> bool {
        let status = self.status.as_deref().unwrap_or("none");
        !matches!(status, "none" | "completed" | "failed" | "cancelled")
    }

    /// Returns how it has ended; nothing while it goes on.
    pub fn outcome(self) -> Option<Result<(), String>> {
        match self.status.as_deref() {
            Some("completed") => Some(Ok(())),
            Some("failed" | "cancelled") => {
                let unknown = || "QEMU gives no reason".to_owned();
                Some(Err(self.error.unwrap_or_else(unknown)))
            }
            _ => None,
        }
    }
}
