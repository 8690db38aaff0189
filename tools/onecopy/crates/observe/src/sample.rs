// SPDX-License-Identifier: GPL-2.0

//! Everything that is known at one moment. As JSON this is what is recorded and printed.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

/// Everything at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// When it was taken, in milliseconds since 1970.
    pub time_unix_ms: u64,
    /// The host.
    pub host: HostSample,
    /// The guests, by name.
    pub guests: Vec<GuestSample>,
    /// The files of saved systems and segment spaces.
    pub files: Vec<FileSample>,
}

/// The host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostSample {
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_total_bytes: u64,
    /// Memory that can be had without swapping.
    pub memory_available_bytes: u64,
    /// Swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is not in use.
    pub swap_free_bytes: u64,
    /// How much is waited for memory; nothing if the kernel does not say it.
    pub memory_pressure: Option<Pressure>,
}

/// Pressure stall information, see `Documentation/accounting/psi.rst` of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pressure {
    /// Some processes were waiting.
    pub some: Stall,
    /// All that had something to do were.
    pub full: Stall,
}

/// Parts of the time in which processes were waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stall {
    /// Of the last 10 seconds, in percent.
    pub avg10_percent: f64,
    /// Of the last 60 seconds, in percent.
    pub avg60_percent: f64,
    /// Since the host's boot, in seconds.
    pub total_seconds: f64,
}

/// A guest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuestSample {
    /// Its name.
    pub name: String,
    /// The saved system that it was started from.
    pub system: String,
    /// The generation of that.
    pub generation: u64,
    /// The process of its QEMU.
    pub pid: Option<u32>,
    /// `starting` until it has its identity, then QEMU's run state, for example `running`; `silent`
    /// when QEMU has not answered in time.
    pub state: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its processors.
    pub cpus: u32,
    /// What the balloon leaves of the memory, if there is one that works.
    pub balloon_bytes: Option<u64>,
    /// What its QEMU costs; nothing if the process has ended or is somebody else's.
    pub process: Option<ProcessSample>,
    /// Bytes of guest memory that exist only because of this guest; nothing if it is silent.
    pub unique_bytes: Option<u64>,
    /// The ranges of its saved system; none if it is silent.
    pub ranges: Vec<RangeSample>,
    /// The segment spaces and other files that it maps.
    pub attached: Vec<AttachedSample>,
    /// Why it is silent.
    pub error: Option<String>,
}

/// A QEMU process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessSample {
    /// For how long its threads have run on processors.
    pub cpu_seconds: f64,
    /// Resident pages, each divided by the number of processes that map it.
    pub pss_bytes: u64,
    /// Pages that exist only because of this process: guest memory and QEMU's own.
    pub anonymous_bytes: u64,
    /// Pages in swap.
    pub swap_bytes: u64,
}

/// A range of guest memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RangeSample {
    /// Pages in hexadecimal and type, for example `1000-17FF SR`.
    pub range: String,
    /// `SR`, `EW` or `EN`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Resident bytes of the saved file.
    pub shared_bytes: u64,
    /// The same, each page divided by the number of processes that map it: over all guests the sum
    /// is what there really is.
    pub proportional_bytes: u64,
    /// Bytes that exist only because of this guest.
    pub private_bytes: u64,
    /// Those of them that were shared when the guest started; of SR only.
    pub unshared_bytes: u64,
}

/// A file that a guest maps beside the ranges: a segment space, as a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttachedSample {
    /// Its path.
    pub file: String,
    /// Resident bytes of the file.
    pub shared_bytes: u64,
    /// The same, each page divided by the number of processes that map it.
    pub proportional_bytes: u64,
    /// Bytes that exist only because of this guest.
    pub private_bytes: u64,
}

/// A file of a saved system or of a segment space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileSample {
    /// `system` or `segment`.
    pub kind: String,
    /// The name of that.
    pub name: String,
    /// The generation.
    pub generation: u64,
    /// Name of the file.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// What of it is in the host's page cache.
    pub resident_bytes: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a sample of guests that share 8 MiB and have 3 MiB for themselves, of which one page is
    /// unshared, on QEMUs with 5 MiB.
    pub(crate) fn sample(guests: u64) -> Sample {
        let guest = |number: u64| GuestSample {
            name: format!("lx{number}"),
            system: "LX".to_owned(),
            generation: 2,
            pid: Some(100),
            state: "running".to_owned(),
            memory_bytes: 512 << 20,
            cpus: 1,
            balloon_bytes: (number == 2).then_some(256 << 20),
            process: Some(ProcessSample {
                cpu_seconds: 1.5,
                pss_bytes: 10 << 20,
                anonymous_bytes: 8 << 20,
                swap_bytes: 0,
            }),
            unique_bytes: Some(3 << 20),
            ranges: vec![
                RangeSample {
                    range: "1000-17FF SR".to_owned(),
                    kind: "SR".to_owned(),
                    shared_bytes: 8 << 20,
                    proportional_bytes: (8 << 20) / guests,
                    private_bytes: 4096,
                    unshared_bytes: 4096,
                },
                RangeSample {
                    range: "1800-1FFFF EN".to_owned(),
                    kind: "EN".to_owned(),
                    private_bytes: (3 << 20) - 4096,
                    ..RangeSample::default()
                },
            ],
            attached: Vec::new(),
            error: None,
        };
        Sample {
            time_unix_ms: 1_800_000_000_000,
            host: HostSample {
                cpus: 2,
                memory_total_bytes: 16 << 30,
                memory_available_bytes: 12 << 30,
                swap_total_bytes: 1 << 30,
                swap_free_bytes: 1 << 30,
                memory_pressure: Some(Pressure {
                    some: Stall {
                        avg10_percent: 1.25,
                        avg60_percent: 0.5,
                        total_seconds: 12.5,
                    },
                    full: Stall::default(),
                }),
            },
            guests: (1..=guests).map(guest).collect(),
            files: vec![FileSample {
                kind: "system".to_owned(),
                name: "LX".to_owned(),
                generation: 2,
                file: "sr-0.img".to_owned(),
                size_bytes: 8 << 20,
                resident_bytes: 8 << 20,
            }],
        }
    }

    #[test]
    fn what_was_recorded_is_read_again() {
        let sample = sample(3);
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
        assert!(text.contains("\"type\":\"SR\""), "{text}");
    }
}
