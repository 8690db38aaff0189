// SPDX-License-Identifier: GPL-2.0

//! Memory that a guest gives back, and what it says of the rest.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_machine::accounting::anonymous_bytes;
use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::QmpError;
use serde_json::Value;

use crate::control::PERIPHERALS;
use crate::error::Error;
use crate::plug::BALLOON;
use crate::Result;
use crate::Running;

/// What QEMU calls the refusal of a command about a device that is not there.
const NO_DEVICE: [&str; 2] = ["DeviceNotActive", "DeviceNotFound"];

/// How a guest is asked for its memory.
#[derive(Debug, Clone, Copy)]
pub struct MemoryQuery {
    /// How often QEMU shall ask the guest for statistics; at least a second.
    pub interval: Duration,
    /// How old they may be.
    pub max_age: Duration,
    /// How long each answer of QEMU may take.
    pub timeout: Duration,
}

/// The memory of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestMemory {
    /// What the guest has given, in bytes.
    pub taken_bytes: u64,
    /// What its processes could still have, in bytes; nothing if it has not said so of late.
    pub available_bytes: Option<u64>,
    /// What it takes on the host, in bytes; nothing if it ends just now.
    pub resident_bytes: Option<u64>,
    /// When it said that, in seconds since 1970.
    pub said_unix_seconds: u64,
}

impl Running {
    /// Asks for the memory of a guest, and lets QEMU ask it for statistics from now on.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or the guest has no balloon.
    pub fn memory(&self, query: &MemoryQuery) -> Result<GuestMemory> {
        let path = format!("{PERIPHERALS}/{BALLOON}");
        let mut session = self.session(query.timeout)?;
        let no_balloon = |error| self.without_balloon(error);
        let actual = session
            .ask(&commands::QueryBalloon {})
            .map_err(no_balloon)?;
        let seconds = query.interval.as_secs().max(1);
        let property = commands::STATS_POLLING_INTERVAL.to_owned();
        let polling = session
            .ask(&commands::QomGet {
                path: path.clone(),
                property: property.clone(),
            })
            .map_err(no_balloon)?;
        if polling.as_u64() != Some(seconds) {
            session.ask(&commands::QomSet {
                path: path.clone(),
                property,
                value: Value::from(seconds),
            })?;
        }
        let stats = session.ask(&commands::QueryGuestStats::new(&path))?;
        drop(session);

        let age = now().saturating_sub(Duration::from_secs(stats.last_update));
        let is_fresh = stats.last_update > 0 && age <= query.max_age;
        let record = self.record();
        Ok(GuestMemory {
            taken_bytes: record.memory_bytes.saturating_sub(actual.actual),
            available_bytes: stats.stats.available_bytes.filter(|_| is_fresh),
            resident_bytes: record.qemu.and_then(|qemu| anonymous_bytes(qemu.pid).ok()),
            said_unix_seconds: stats.last_update,
        })
    }

    /// Tells a guest how much of its memory it is to give: `SHRINK`. It does what it can.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer, or the guest has no balloon.
    pub fn shrink(&self, bytes: u64, timeout: Duration) -> Result<()> {
        // QEMU refuses to leave nothing.
        let value = self.record().memory_bytes.saturating_sub(bytes).max(1);
        let mut session = self.session(timeout)?;
        session
            .ask(&commands::Balloon { value })
            .map_err(|error| self.without_balloon(error))?;
        Ok(())
    }

    /// Says what the refusal means.
    fn without_balloon(&self, error: Error) -> Error {
        match error {
            Error::Monitor {
                guest,
                source: QmpError::Refused { class, .. },
            } if NO_DEVICE.contains(&&*class) => Error::NoBalloon(guest),
            other => other,
        }
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
