// SPDX-License-Identifier: GPL-2.0

//! What a guest has beside the saved machine: it is plugged before the guest goes on, and the
//! guest finds it as soon as it does.

mod devices;

use std::path::Path;

use onecopy_machine::options::Sandbox;
use onecopy_machine::Disk;
use onecopy_machine::Machine;
use onecopy_machine::SegmentDevice;

pub(crate) use self::devices::object;
use self::devices::plug_balloon;
use self::devices::plug_cpus;
use self::devices::plug_disk;
use self::devices::plug_memory;
use self::devices::plug_segment;
pub(crate) use self::devices::segment_at;
pub(crate) use self::devices::BALLOON;
pub(crate) use self::devices::SEGMENT_BACKEND;
pub(crate) use self::devices::SEGMENT_DEVICE;
use crate::error::Error;
use crate::ipl::IplOptions;
use crate::manifest;
use crate::nic::MacAddress;
use crate::nic::Nic;
use crate::smsg;

/// What Linux adds memory in, in bytes.
const MEMORY_BLOCK_BYTES: u64 = 128 << 20;

/// Why a guest cannot have what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlugError {
    /// Memory cannot be taken away.
    #[error("A guest of this system has {} MiB at least, and {} MiB were asked for", .saved_bytes >> 20, .wanted_bytes >> 20)]
    LessMemory {
        /// The memory of the template.
        saved_bytes: u64,
        /// What was asked for.
        wanted_bytes: u64,
    },
    /// Memory cannot be added in any amount.
    #[error("Memory is added to the {} MiB of this system in steps of 128 MiB, up to {} MiB", .saved_bytes >> 20, .max_bytes >> 20)]
    MemoryStep {
        /// The memory of the template.
        saved_bytes: u64,
        /// The largest memory of a guest.
        max_bytes: u64,
    },
    /// There are too many processors.
    #[error("A guest of this system has 1 to {max_cpus} processors")]
    Cpus {
        /// How many there can be.
        max_cpus: u32,
    },
    /// There are too many devices for the ports.
    #[error(
        "A guest of this system has at most {max} segment spaces, network cards, balloons, channels \
         for messages and disks together"
    )]
    Ports {
        /// How many there can be.
        max: u32,
    },
    /// A helper is another program, which the sandbox does not let QEMU start.
    #[error("A network card of this kind needs a helper program, which QEMU's sandbox does not start; connect it \
             to something that is there, as in tap,ifname=tap0,script=no,downscript=no, or give --sandbox spawn")]
    Helper,
    /// Two cards cannot be told from each other.
    #[error("Two network cards of one guest cannot both have the address {0}")]
    SameMac(MacAddress),
}

/// What a guest has beside the saved machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extra<'a> {
    memory_bytes: u64,
    cpus: u32,
    segments: &'a [SegmentDevice],
    nics: &'a [Nic<'a>],
    balloon: bool,
    smsg: bool,
    disks: &'a [Disk],
}

impl<'a> Extra<'a> {
    /// Compares what is wanted, with these network cards, with what was saved.
    pub(crate) fn new(
        saved: &manifest::Machine,
        options: &'a IplOptions,
        nics: &'a [Nic<'a>],
    ) -> Result<Self, PlugError> {
        let (cpus, segments, balloon) = (options.cpus, &options.segments, options.balloon);
        let saved_bytes = saved.memory_bytes;
        let wanted_bytes = options.memory_bytes.unwrap_or(saved_bytes);
        let Some(memory_bytes) = wanted_bytes.checked_sub(saved_bytes) else {
            return Err(PlugError::LessMemory {
                saved_bytes,
                wanted_bytes,
            });
        };
        if memory_bytes % MEMORY_BLOCK_BYTES != 0 || memory_bytes > saved.hotplug_bytes {
            return Err(PlugError::MemoryStep {
                saved_bytes,
                max_bytes: saved_bytes.saturating_add(saved.hotplug_bytes),
            });
        }
        if cpus < 1 || cpus > saved.max_cpus {
            let max_cpus = saved.max_cpus;
            return Err(PlugError::Cpus { max_cpus });
        }
        let max = saved.root_ports;
        let disks = &options.disks;
        let smsg = options.smsg;
        let single = usize::from(balloon) + usize::from(smsg);
        let devices = segments.len() + nics.len() + single + disks.len();
        if devices as u64 > u64::from(max) {
            return Err(PlugError::Ports { max });
        }
        check_addresses(nics)?;
        check_helpers(nics, options.confinement.sandbox)?;
        Ok(Self {
            memory_bytes,
            cpus,
            segments,
            nics,
            balloon,
            smsg,
            disks,
        })
    }

    /// Plugs everything into a machine that is stopped. Messages come by `socket`.
    pub(crate) fn plug(&self, machine: &mut Machine, socket: &Path) -> Result<(), Error> {
        if self.memory_bytes > 0 {
            plug_memory(machine, self.memory_bytes)?;
        }
        // One is there from the beginning.
        plug_cpus(machine, self.cpus.saturating_sub(1))?;
        for (index, segment) in self.segments.iter().enumerate() {
            plug_segment(machine, index, segment)?;
        }
        // The ports before those are the segments'.
        for (port, nic) in (self.segments.len()..).zip(self.nics) {
            nic.plug(machine, port)?;
        }
        let mut port = self.segments.len() + self.nics.len();
        if self.balloon {
            plug_balloon(machine, port)?;
            port += 1;
        }
        if self.smsg {
            smsg::plug(machine, port, socket)?;
            port += 1;
        }
        for (port, disk) in (port..).zip(self.disks) {
            plug_disk(machine, port, disk)?;
        }
        Ok(())
    }
}

fn check_addresses(nics: &[Nic<'_>]) -> Result<(), PlugError> {
    for (index, nic) in nics.iter().enumerate() {
        if nics
            .iter()
            .skip(index + 1)
            .any(|other| other.mac == nic.mac)
        {
            return Err(PlugError::SameMac(nic.mac));
        }
    }
    Ok(())
}

fn check_helpers(nics: &[Nic<'_>], sandbox: Sandbox) -> Result<(), PlugError> {
    if sandbox == Sandbox::On && nics.iter().any(Nic::needs_helper) {
        return Err(PlugError::Helper);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use onecopy_machine::options::Access;

    use super::*;
    use crate::manifest::tests::manifest;

    const MIB: u64 = 1 << 20;

    fn extra(memory: Option<u64>, cpus: u32, segments: usize) -> Result<(u64, u32), String> {
        extra_with(memory, cpus, segments, 0, &[])
    }

    fn extra_with(
        memory: Option<u64>,
        cpus: u32,
        segments: usize,
        disks: usize,
        nics: &[&str],
    ) -> Result<(u64, u32), String> {
        extra_of(&IplOptions {
            memory_bytes: memory,
            cpus,
            segments: vec![segment(); segments],
            disks: vec![disk(); disks],
            nics: nics.iter().map(|nic| nic.parse().unwrap()).collect(),
            ..IplOptions::new("LX".parse().unwrap())
        })
    }

    fn segment() -> SegmentDevice {
        SegmentDevice {
            path: "/s".into(),
            size_bytes: 2 * MIB,
            access: Access::ReadOnly,
        }
    }

    fn disk() -> Disk {
        Disk {
            path: "/d".into(),
            read_only: false,
        }
    }

    fn extra_of(options: &IplOptions) -> Result<(u64, u32), String> {
        let saved = manifest::Machine {
            memory_bytes: 512 * MIB,
            ..manifest().machine
        };
        let nics = Nic::draw(&options.nics).unwrap();
        let extra = Extra::new(&saved, options, &nics);
        extra
            .map(|extra| (extra.memory_bytes, extra.cpus))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn more_is_plugged_and_less_is_refused() {
        assert_eq!(extra(None, 1, 0), Ok((0, 1)));
        assert_eq!(extra(Some(1024 * MIB), 4, 8), Ok((512 * MIB, 4)));
        for (memory, cpus, segments, expected) in [
            (
                Some(256 * MIB),
                1,
                0,
                "A guest of this system has 512 MiB at least, and 256 MiB were asked for",
            ),
            (
                Some(600 * MIB),
                1,
                0,
                "Memory is added to the 512 MiB of this system in steps of 128 MiB, up to 16896 \
                 MiB",
            ),
            (None, 17, 0, "A guest of this system has 1 to 16 processors"),
            (
                None,
                1,
                9,
                "A guest of this system has at most 8 segment spaces, network cards, balloons, channels \
                 for messages and disks together",
            ),
        ] {
            assert_eq!(extra(memory, cpus, segments), Err(expected.to_owned()));
        }
    }

    #[test]
    fn network_cards_segments_and_disks_share_the_ports() {
        assert_eq!(extra_with(None, 1, 5, 1, &["user"; 2]), Ok((0, 1)));
        let refused = extra_with(None, 1, 5, 2, &["user"; 2]).unwrap_err();
        assert!(
            refused.starts_with("A guest of this system has at most 8 "),
            "{refused}"
        );
        let with_others = |segments, disks| {
            extra_of(&IplOptions {
                segments: vec![segment(); segments],
                balloon: true,
                smsg: true,
                disks: vec![disk(); disks],
                ..IplOptions::new("LX".parse().unwrap())
            })
        };
        for (segments, disks) in [(6, 0), (3, 3)] {
            assert_eq!(with_others(segments, disks), Ok((0, 1)));
            assert_eq!(with_others(segments + 1, disks).unwrap_err(), refused);
            assert_eq!(with_others(segments, disks + 1).unwrap_err(), refused);
        }
        let refused = extra_with(None, 1, 0, 0, &["user,mac=02:00:00:00:00:01"; 2]).unwrap_err();
        assert!(
            refused.ends_with("both have the address 02:00:00:00:00:01"),
            "{refused}"
        );
    }

    #[test]
    fn a_card_that_needs_a_helper_needs_a_sandbox_that_starts_it() {
        let extra = |nic: &str, sandbox: Sandbox| {
            let mut options = IplOptions::new("LX".parse().unwrap());
            options.nics = vec![nic.parse().unwrap()];
            options.confinement.sandbox = sandbox;
            extra_of(&options)
        };
        for nic in ["bridge,br=br0", "tap", "tap,helper=/x", "user,smb=/srv"] {
            let refused = extra(nic, Sandbox::On).unwrap_err();
            assert!(refused.contains("--sandbox spawn"), "{nic}: {refused}");
            for sandbox in [Sandbox::Spawn, Sandbox::Off] {
                assert_eq!(extra(nic, sandbox), Ok((0, 1)), "{nic}");
            }
        }
        for nic in [
            "user",
            "tap,ifname=t0,script=no",
            "tap,fd=7",
            "stream,addr.type=unix",
        ] {
            assert_eq!(extra(nic, Sandbox::On), Ok((0, 1)), "{nic}");
        }
    }
}
