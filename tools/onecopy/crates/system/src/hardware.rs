// SPDX-License-Identifier: GPL-2.0

//! The machine of a template and of its guests: the same, but for what the ranges are made of.

use std::path::Path;

use onecopy_machine::options::Accel;
use onecopy_machine::options::Access;
use onecopy_machine::options::Cpu;
use onecopy_machine::Backing;
use onecopy_machine::Config;
use onecopy_machine::Qemu;
use onecopy_machine::RamRange;

use crate::manifest::Machine;
use crate::ranges::Range;

/// What can be plugged into a guest: processors, memory devices and their room in bytes, others.
pub(crate) const MAX_CPUS: u32 = 16;
pub(crate) const HOTPLUG_SLOTS: u32 = 16;
pub(crate) const HOTPLUG_BYTES: u64 = 16 << 30;
pub(crate) const ROOT_PORTS: u32 = 8;

/// Who has the memory that is composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A template: what it stores into saved ranges goes to their files.
    Template,
    /// A guest: what it stores there goes to a copy of the page, which is its own.
    Guest,
}

/// Returns a machine whose saved ranges are the files in `directory`.
pub(crate) fn config(
    qemu: Qemu,
    accel: Accel,
    machine: &Machine,
    ranges: &[Range],
    directory: &Path,
    role: Role,
) -> Config {
    Config {
        machine_type: machine.board.clone(),
        cpu: Some(Cpu {
            model: machine.cpu.clone(),
        }),
        cpus: 1,
        max_cpus: machine.max_cpus,
        memory_bytes: machine.memory_bytes,
        ranges: ranges
            .iter()
            .map(|range| ram(range, directory, role))
            .collect(),
        hotplug_bytes: machine.hotplug_bytes,
        hotplug_slots: machine.hotplug_slots,
        root_ports: machine.root_ports,
        ..Config::new(qemu, accel)
    }
}

fn ram(range: &Range, directory: &Path, role: Role) -> RamRange {
    let access = match role {
        Role::Template => Access::Shared,
        // Read-only data too: the kernel may have to patch its text, and such a page becomes a
        // copy of this guest alone.
        Role::Guest => Access::Private,
    };
    let backing = match range.file_name() {
        Some(name) => Backing::File {
            path: directory.join(name),
            access,
        },
        None => Backing::Anonymous,
    };
    RamRange {
        id: range.id(),
        size_bytes: range.size_bytes(),
        backing,
    }
}
