// SPDX-License-Identifier: GPL-2.0

//! Guests: one that was started or ended, and the list of all.

use std::io;
use std::io::Write;
use std::iter;

use onecopy_observe::GuestSample;
use onecopy_observe::RangeSample;
use onecopy_store::Group;
use onecopy_system::guests::Record;
use onecopy_system::GuestName;
use onecopy_system::MacAddress;
use serde::Serialize;

use super::table::write_list;
use crate::keeper::Started;
use crate::size;

/// The size of a page, in bytes.
const PAGE_BYTES: u64 = 4096;

/// A guest that was ended.
#[derive(Debug)]
pub(crate) struct LoggedOff {
    pub(crate) guest: GuestName,
    pub(crate) by_itself: bool,
}

/// Why a console was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The user has left it.
    User,
    /// The guest has ended.
    Guest,
}

/// Everything that `query guests` has found.
#[derive(Debug, Serialize)]
pub(crate) struct GuestList {
    pub(crate) guests: Vec<ListedGuest>,
    #[serde(skip)]
    pub(crate) json: bool,
}

/// A guest.
#[derive(Debug, Serialize)]
pub(crate) struct ListedGuest {
    name: String,
    group: String,
    partition: Option<String>,
    system: String,
    generation: u64,
    pid: Option<u32>,
    state: String,
    memory_bytes: u64,
    cpus: u32,
    mac_addresses: Vec<MacAddress>,
    ranges: Vec<ListedUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct ListedUsage {
    range: String,
    shared_bytes: u64,
    private_bytes: u64,
    unshared_pages: u64,
}

impl Started {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: started from {} generation {}{}",
            self.guest,
            self.system,
            self.generation,
            match &self.partition {
                Some(partition) => format!(" in partition {partition}"),
                None => String::new(),
            }
        )
    }
}

impl LoggedOff {
    pub(super) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let how = if self.by_itself {
            "has switched itself off"
        } else {
            "was ended"
        };
        writeln!(out, "{}: {how}", self.guest)
    }
}

impl Left {
    pub(super) fn render(self, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::User => Ok(()),
            Self::Guest => writeln!(err, "onecopy: the guest has ended"),
        }
    }
}

impl GuestList {
    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_list(out, self, self.json, &self.rows())?;
        if self.json {
            // The errors are in there.
            return Ok(());
        }
        for guest in &self.guests {
            if let Some(error) = &guest.error {
                writeln!(err, "onecopy: {}: {error}", guest.name)?;
            }
        }
        Ok(())
    }

    /// There is a column for partitions if a guest runs in one, and for trust groups if one has one of its own.
    fn rows(&self) -> Vec<Vec<String>> {
        let title = [
            "GUEST",
            "PARTITION",
            "GROUP",
            "SYSTEM",
            "GEN",
            "PID",
            "STATE",
            "MEMORY",
            "RANGE",
            "SHARED",
            "PRIVATE",
            "UNSHARED",
            "MAC",
        ];
        let mut rows = vec![title.map(str::to_owned).to_vec()];
        for guest in &self.guests {
            rows.extend(guest.rows());
        }
        if self
            .guests
            .iter()
            .all(|guest| guest.group == Group::default().as_str())
        {
            for row in &mut rows {
                row.remove(2);
            }
        }
        if self.guests.iter().all(|guest| guest.partition.is_none()) {
            for row in &mut rows {
                row.remove(1);
            }
        }
        rows
    }
}

impl ListedGuest {
    pub(crate) fn new(sample: GuestSample, record: &Record) -> Self {
        let listed = |range: RangeSample| ListedUsage {
            range: range.range,
            shared_bytes: range.shared_bytes,
            private_bytes: range.private_bytes,
            unshared_pages: range.unshared_bytes / PAGE_BYTES,
        };
        Self {
            name: sample.name,
            group: record.group.to_string(),
            partition: record.partition.as_ref().map(ToString::to_string),
            system: sample.system,
            generation: sample.generation,
            pid: sample.pid,
            state: sample.state,
            memory_bytes: sample.memory_bytes,
            cpus: sample.cpus,
            mac_addresses: record.mac_addresses.clone(),
            ranges: sample.ranges.into_iter().map(listed).collect(),
            error: sample.error,
        }
    }

    /// The first row has the guest with its first range and address, the others have further ones.
    fn rows(&self) -> Vec<Vec<String>> {
        let left = vec![
            self.name.clone(),
            self.partition.clone().unwrap_or_default(),
            self.group.clone(),
            self.system.clone(),
            self.generation.to_string(),
            self.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            self.state.clone(),
            size::show(self.memory_bytes),
        ];
        let blank = vec![String::new(); left.len()];
        let count = self.ranges.len().max(self.mac_addresses.len()).max(1);
        let lefts = iter::once(left).chain(iter::repeat(blank));
        let row = |(index, mut row): (usize, Vec<String>)| {
            let range = self.ranges.get(index);
            row.extend(range.map_or_else(Default::default, ListedUsage::cells));
            let mac = self.mac_addresses.get(index);
            row.extend(mac.map(MacAddress::to_string));
            row
        };
        lefts.take(count).enumerate().map(row).collect()
    }
}

impl ListedUsage {
    fn cells(&self) -> [String; 4] {
        [
            self.range.clone(),
            size::show(self.shared_bytes),
            size::show(self.private_bytes),
            self.unshared_pages.to_string(),
        ]
    }
}
