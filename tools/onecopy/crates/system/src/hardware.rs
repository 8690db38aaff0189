// SPDX-License-Identifier: GPL-2.0

//! The machine of a template and of its guests: the same, but for what the ranges are made of.

use std::fs;
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
    /// A guest: what it stores there goes to a copy of the page, which is its own, or is lost where
    /// the range is shared and protected.
    Guest {
        /// Whether the shared range is protected.
        is_protected: bool,
    },
}

/// Returns the name of the host's processor if a guest of this model depends on it.
pub(crate) fn host_cpu(accel: Accel, model: &str) -> Option<String> {
    let base = model.split(',').next();
    if accel != Accel::Kvm || !matches!(base, Some("host" | "max")) {
        return None;
    }
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Some(model_name(&text).unwrap_or("unknown").to_owned())
}

/// Reads the text of `/proc/cpuinfo`.
fn model_name(text: &str) -> Option<&str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = pairs.find(|(key, _)| key.trim() == "model name")?;
    Some(name.trim())
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
        Role::Guest { is_protected: true } if range.kind.shared() => Access::ReadOnly,
        // Read-only data too: the kernel may have to patch its text, and such a page becomes a
        // copy of this guest alone.
        Role::Guest { .. } => Access::Private,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    #[test]
    fn only_a_template_writes_to_the_files_and_nobody_to_what_is_protected() {
        let manifest = manifest();
        let accesses = |role| {
            let qemu = "10.0.2".parse().unwrap();
            let qemu = Qemu::assumed(None, qemu);
            let (machine, ranges) = (&manifest.machine, &manifest.ranges);
            let config = config(qemu, Accel::Tcg, machine, ranges, Path::new("/s"), role);
            let access = |range: RamRange| match range.backing {
                Backing::File { path, access } => Some((path, access)),
                Backing::Anonymous => None,
            };
            config.ranges.into_iter().map(access).collect::<Vec<_>>()
        };
        let file = |name, access| Some((Path::new("/s").join(name), access));
        let guest = |is_protected| Role::Guest { is_protected };
        for (role, access, shared) in [
            (Role::Template, Access::Shared, Access::Shared),
            (guest(false), Access::Private, Access::Private),
            (guest(true), Access::Private, Access::ReadOnly),
        ] {
            let expected = [file("ew-0.img", access), file("sr-0.img", shared), None];
            assert_eq!(accesses(role), expected, "{role:?}");
        }
    }

    #[test]
    fn the_hosts_processor_matters_only_to_models_made_of_it() {
        let text = "processor\t: 0\nmodel name\t: A B @ 2 GHz\n\nmodel name\t: C\n";
        assert_eq!(model_name(text), Some("A B @ 2 GHz"));
        assert_eq!(host_cpu(Accel::Tcg, "max"), None);
        assert_eq!(host_cpu(Accel::Kvm, "Skylake-Client"), None);
        assert!(host_cpu(Accel::Kvm, "host,-avx").is_some());
    }
}
