// SPDX-License-Identifier: GPL-2.0

//! The machine itself: board, processors, memory, what it boots.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::push;
use super::Params;
use super::Switch;

/// `-accel`: what executes guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor's virtualisation extension, through `/dev/kvm`.
    Kvm,
    /// QEMU's translator: works everywhere, slower.
    Tcg,
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

impl Switch for Accel {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-accel", self.to_string());
    }
}

/// `-machine`: the board.
#[derive(Debug, Clone)]
pub struct MachineType {
    /// Board name, for example `q35`.
    pub name: String,
}

impl Switch for MachineType {
    fn add_to(&self, args: &mut Vec<OsString>) {
        // Merged pages would be shared with anybody, and tell what he has in memory.
        push(
            args,
            "-machine",
            Params::new(&self.name).with_switch("mem-merge", false),
        );
    }
}

/// `-cpu`: the processor model.
#[derive(Debug, Clone)]
pub struct Cpu {
    /// Model and feature flags as QEMU takes them, for example `max` or `host`.
    pub model: String,
}

impl Cpu {
    /// The model with the most features that the accelerator offers.
    pub fn best_for(accel: Accel) -> Self {
        let model = match accel {
            Accel::Kvm => "host",
            Accel::Tcg => "max",
        };
        Self {
            model: model.to_owned(),
        }
    }
}

impl Switch for Cpu {
    fn add_to(&self, args: &mut Vec<OsString>) {
        // The comma separates feature flags here, so the value is not quoted.
        push(args, "-cpu", self.model.as_str());
    }
}

/// `-smp`: the number of processors.
#[derive(Debug, Clone, Copy)]
pub struct Smp {
    /// Virtual processors, at least 1.
    pub cpus: u32,
    /// How many there can be after some were plugged; no more than `cpus` if it is less.
    pub max_cpus: u32,
}

impl Switch for Smp {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new(&self.cpus.to_string());
        push(
            args,
            "-smp",
            if self.max_cpus > self.cpus {
                // Each in a socket of its own: Linux ignores places in a socket that has a
                // processor, unless it knows the hypervisor.
                let count = self.max_cpus.into();
                value
                    .with_number("maxcpus", count)
                    .with_number("sockets", count)
            } else {
                value
            },
        );
    }
}

/// `-numa node`: a range of RAM that is made of one memory back end.
///
/// Without nodes RAM is one block; with them it is their back ends one after the other. All
/// processors belong to the first node.
#[derive(Debug, Clone)]
pub struct NumaNode {
    /// Number of the node, from 0.
    pub node: u32,
    /// Id of the memory back end.
    pub memdev: String,
    /// How many processors there can be.
    pub max_cpus: u32,
}

impl Switch for NumaNode {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let mut value = Params::new("node").with_number("nodeid", self.node.into());
        if self.node == 0 {
            let last = self.max_cpus.saturating_sub(1);
            value = value.with("cpus", format!("0-{last}"));
        }
        push(args, "-numa", value.with("memdev", &self.memdev));
    }
}

/// `-m`: guest memory and room for memory devices.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// RAM at boot, in bytes.
    pub size_bytes: u64,
    /// Number of memory devices that can be plugged.
    pub slots: u32,
    /// Upper end of RAM and memory devices together, in bytes; ignored without slots.
    pub maxmem_bytes: u64,
}

impl Switch for Memory {
    fn add_to(&self, args: &mut Vec<OsString>) {
        // A number without a suffix means MiB, hence the explicit B.
        let mut value = Params::default().with("size", format!("{}B", self.size_bytes));
        if self.slots > 0 {
            value = value
                .with_number("slots", self.slots.into())
                .with("maxmem", format!("{}B", self.maxmem_bytes));
        }
        push(args, "-m", value);
    }
}

/// `-kernel`, `-initrd` and `-append`: direct boot of a Linux kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// bzImage or PVH ELF file.
    pub kernel: PathBuf,
    /// Initial RAM file system.
    pub initrd: Option<PathBuf>,
    /// Kernel command line.
    pub append: String,
}

impl Switch for Kernel {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-kernel", &self.kernel);
        if let Some(initrd) = &self.initrd {
            push(args, "-initrd", initrd);
        }
        push(args, "-append", self.append.as_str());
    }
}

/// `-name`: what the host calls the guest.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub guest: String,
}

impl Switch for Name {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-name", Params::default().with("guest", &self.guest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_without_slots_has_no_maximum() {
        let mut args = Vec::new();
        Memory {
            size_bytes: 1 << 20,
            slots: 0,
            maxmem_bytes: 7,
        }
        .add_to(&mut args);
        Memory {
            size_bytes: 1 << 20,
            slots: 1,
            maxmem_bytes: 3 << 20,
        }
        .add_to(&mut args);
        assert_eq!(
            args,
            [
                "-m",
                "size=1048576B",
                "-m",
                "size=1048576B,slots=1,maxmem=3145728B"
            ]
        );
    }

    #[test]
    fn guest_name_may_hold_a_comma() {
        let mut args = Vec::new();
        Name {
            guest: "a,b".to_owned(),
        }
        .add_to(&mut args);
        assert_eq!(args, ["-name", "guest=a,,b"]);
    }
}
