// SPDX-License-Identifier: GPL-2.0

//! Guests: one that was started or ended, and the list of all.

use std::io;
use std::io::Write;
use std::iter;

use onecopy_observe::Listing;
use onecopy_store::Group;
use onecopy_system::guests::Unknown;
use onecopy_system::MacAddress;
use onecopy_system::RangeUsage;
use schemars::JsonSchema;
use serde::Serialize;

use super::table::write_table;
use crate::keeper::Started;
use crate::size;

/// The size of a page, in bytes.
const PAGE_BYTES: u64 = 4096;

/// A guest that was ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoggedOff {
    /// Name of the guest.
    pub(crate) guest: String,
    /// Whether it has switched itself off, and was not cut off.
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
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GuestList {
    /// The guests, by name.
    pub(crate) guests: Vec<ListedGuest>,
    /// Those whose record is damaged or of a later version, by name: they may run.
    pub(crate) invalid: Vec<InvalidGuest>,
}

/// A guest of which is not known whether it runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InvalidGuest {
    /// Name of the guest.
    name: String,
    /// What is wrong with its record.
    error: String,
}

/// A guest.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListedGuest {
    /// Name of the guest.
    name: String,
    /// Its trust group.
    group: String,
    /// The partition that it runs in.
    partition: Option<String>,
    /// The saved system that it was started from.
    system: String,
    /// The generation of that.
    generation: u64,
    /// The process of its QEMU.
    pid: Option<u32>,
    /// `starting` until it has its identity, then QEMU's run state, for example `running`; `silent` when QEMU does not answer.
    state: String,
    /// Its memory.
    memory_bytes: u64,
    /// Its processors.
    cpus: u32,
    /// The addresses of its network cards.
    mac_addresses: Vec<MacAddress>,
    /// What it shares and what it costs, by range of memory; none if it is silent.
    ranges: Vec<ListedUsage>,
    /// Why it is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ListedUsage {
    /// Pages in hexadecimal and type, for example `1000-17FF SR`.
    range: String,
    /// What it shares with all others.
    shared_bytes: u64,
    /// What exists only because of it.
    private_bytes: u64,
    /// How many pages of 4 KiB it does not share any more.
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

impl InvalidGuest {
    pub(crate) fn new(unknown: Unknown) -> Self {
        Self {
            name: unknown.guest.to_string(),
            error: format!("{:#}", anyhow::Error::from(unknown.error)),
        }
    }
}

impl GuestList {
    /// Whether all guests are known.
    pub(super) fn is_sound(&self) -> bool {
        self.invalid.is_empty()
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        write_table(out, &self.rows())?;
        for guest in &self.guests {
            if let Some(error) = &guest.error {
                writeln!(err, "onecopy: {}: {error}", guest.name)?;
            }
        }
        for guest in &self.invalid {
            writeln!(err, "onecopy: {}: {}", guest.name, guest.error)?;
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
    pub(crate) fn new(listing: Listing) -> Self {
        let record = listing.record;
        let listed = |usage: &RangeUsage| ListedUsage {
            range: usage.range.to_string(),
            shared_bytes: usage.shared_bytes,
            private_bytes: usage.private_bytes,
            unshared_pages: usage.unshared_bytes() / PAGE_BYTES,
        };
        Self {
            name: record.guest.to_string(),
            group: record.group.to_string(),
            partition: record.partition.as_ref().map(ToString::to_string),
            system: record.system.to_string(),
            generation: record.generation,
            pid: record.qemu.map(|qemu| qemu.pid),
            state: listing.state,
            memory_bytes: record.memory_bytes,
            cpus: record.cpus,
            mac_addresses: record.mac_addresses,
            ranges: listing.ranges.iter().map(listed).collect(),
            error: listing.error,
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
