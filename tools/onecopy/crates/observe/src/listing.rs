// SPDX-License-Identifier: GPL-2.0

//! One guest as a list shows it.

use std::time::Duration;

use onecopy_system::guests::Record;
use onecopy_system::ranges::Range;
use onecopy_system::RangeUsage;
use onecopy_system::Running;

use crate::guest;

/// What a list says of a guest: of a [`GuestSample`](crate::GuestSample), what takes little time to find
/// out, since there may be many guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The guest.
    pub record: Record,
    /// As [`GuestSample::state`](crate::GuestSample::state).
    pub state: String,
    /// What the ranges of its saved system cost; none if it is silent.
    pub ranges: Vec<RangeUsage>,
    /// Why it is silent.
    pub error: Option<String>,
}

impl Listing {
    /// Asks a guest.
    pub(crate) fn of(running: &Running, ranges: &[Range], timeout: Duration) -> Self {
        let record = running.record();
        match running.glance(timeout) {
            Ok(glance) => Self {
                record: record.clone(),
                state: guest::state(record, &glance.state).to_owned(),
                ranges: RangeUsage::divide(&glance.blocks, ranges),
                error: None,
            },
            Err(error) => Self::unknown(record, guest::chain(&error)),
        }
    }

    /// Returns a guest of which nothing is known but its record.
    pub(crate) fn unknown(record: &Record, reason: String) -> Self {
        Self {
            record: record.clone(),
            state: guest::state(record, guest::SILENT).to_owned(),
            ranges: Vec::new(),
            error: guest::failure(record, reason),
        }
    }
}
