// SPDX-License-Identifier: GPL-2.0

//! Where memory is: what guests share, by saved system and by segment, and what each has for itself.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use crate::FileSample;
use crate::GuestSample;
use crate::Sample;
use crate::Totals;

/// The memory of the host and of its guests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Memory {
    /// The host.
    pub host: HostMemory,
    /// All guests together.
    pub total: TotalMemory,
    /// The guests, by name.
    pub guests: Vec<GuestMemory>,
    /// Generations of saved systems, by name.
    pub saved_systems: Vec<FileMemory>,
    /// Generations of segment spaces, by name.
    pub segment_spaces: Vec<FileMemory>,
}

/// The memory of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostMemory {
    /// All that there is.
    pub total_bytes: u64,
    /// What can be had without swapping.
    pub available_bytes: u64,
    /// Swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is not in use.
    pub swap_free_bytes: u64,
}

/// The memory of all guests together. Of guests that are silent only the size is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TotalMemory {
    /// How many guests there are.
    pub guests: usize,
    /// How many of them are silent.
    pub silent: usize,
    /// Their memory, as they see it.
    pub memory_bytes: u64,
    /// What they have given back by their balloons.
    pub given_bytes: u64,
    /// Pages of files that they map, each once.
    pub shared_bytes: u64,
    /// The same, each as often as it is mapped: what they would take without sharing.
    pub mapped_bytes: u64,
    /// What exists only because of one guest, in guest memory.
    pub private_bytes: u64,
    /// What of that was shared when its guest started.
    pub unshared_bytes: u64,
    /// What the QEMU processes have beside guest memory.
    pub overhead_bytes: u64,
}

/// The memory of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuestMemory {
    /// Its name.
    pub name: String,
    /// `starting` until it has its identity, then QEMU's run state; `silent` when QEMU does not answer.
    pub state: String,
    /// The saved system that it was started from.
    pub system: String,
    /// The generation of that.
    pub generation: u64,
    /// Its memory, as it sees it.
    pub memory_bytes: u64,
    /// What it has given back by its balloon; nothing without one that works.
    pub given_bytes: Option<u64>,
    /// Pages of files that it maps: its saved system and its segments.
    pub shared_bytes: u64,
    /// What exists only because of it, in guest memory; nothing if it is silent.
    pub private_bytes: Option<u64>,
    /// What of that was shared when it started.
    pub unshared_bytes: u64,
    /// What its QEMU has beside guest memory, if that is known.
    pub overhead_bytes: Option<u64>,
    /// Why it is silent.
    pub error: Option<String>,
}

/// The memory that a generation takes, and what sharing it saves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileMemory {
    /// Name of the saved system or the segment space.
    pub name: String,
    /// Number of the generation.
    pub generation: u64,
    /// How many guests map it.
    pub users: usize,
    /// The size of its files.
    pub size_bytes: u64,
    /// What of them is in the host's page cache.
    pub resident_bytes: u64,
    /// What guests map, each page as often as it is mapped.
    pub mapped_bytes: u64,
    /// What guests have of it that is theirs alone.
    pub private_bytes: u64,
    /// What of that was shared when they started.
    pub unshared_bytes: u64,
}

/// Generations by name and number.
type Files = BTreeMap<(String, u64), FileMemory>;

impl Memory {
    /// Adds up a sample.
    pub fn of(sample: &Sample) -> Self {
        let (host, totals) = (&sample.host, Totals::of(sample));
        let mut systems = files(&sample.files, "system");
        let mut segments = files(&sample.files, "segment");
        for guest in &sample.guests {
            add_system(&mut systems, guest);
            add_segments(&mut segments, guest);
        }
        let guests: Vec<GuestMemory> = sample.guests.iter().map(GuestMemory::of).collect();
        Self {
            host: HostMemory {
                total_bytes: host.memory_total_bytes,
                available_bytes: host.memory_available_bytes,
                swap_total_bytes: host.swap_total_bytes,
                swap_free_bytes: host.swap_free_bytes,
            },
            total: TotalMemory {
                guests: totals.guests,
                silent: totals.silent,
                memory_bytes: totals.memory_bytes,
                given_bytes: guests.iter().filter_map(|guest| guest.given_bytes).sum(),
                shared_bytes: totals.shared_bytes,
                mapped_bytes: totals.mapped_bytes,
                private_bytes: totals.unique_bytes,
                unshared_bytes: totals.unshared_bytes,
                overhead_bytes: totals.overhead_bytes,
            },
            guests,
            saved_systems: systems.into_values().collect(),
            segment_spaces: segments.into_values().collect(),
        }
    }
}

impl TotalMemory {
    /// Returns what sharing saves.
    pub fn saved_bytes(&self) -> u64 {
        self.mapped_bytes.saturating_sub(self.shared_bytes)
    }
}

impl GuestMemory {
    fn of(guest: &GuestSample) -> Self {
        let (shared_bytes, unshared_bytes) = guest.shared_bytes();
        let given = |left: u64| guest.memory_bytes.saturating_sub(left);
        Self {
            name: guest.name.clone(),
            state: guest.state.clone(),
            system: guest.system.clone(),
            generation: guest.generation,
            memory_bytes: guest.memory_bytes,
            given_bytes: guest.balloon_bytes.map(given),
            shared_bytes,
            private_bytes: guest.unique_bytes,
            unshared_bytes,
            overhead_bytes: guest.overhead_bytes(),
            error: guest.error.clone(),
        }
    }
}

/// Adds up the files of each generation.
fn files(samples: &[FileSample], kind: &str) -> Files {
    let mut files = Files::new();
    for sample in samples.iter().filter(|sample| sample.kind == kind) {
        let file = entry(&mut files, &sample.name, sample.generation);
        file.size_bytes += sample.size_bytes;
        file.resident_bytes += sample.resident_bytes;
    }
    files
}

fn entry<'a>(files: &'a mut Files, name: &str, generation: u64) -> &'a mut FileMemory {
    let key = (name.to_owned(), generation);
    files.entry(key).or_insert_with(|| FileMemory {
        name: name.to_owned(),
        generation,
        ..FileMemory::default()
    })
}

fn add_system(systems: &mut Files, guest: &GuestSample) {
    let system = entry(systems, &guest.system, guest.generation);
    system.users += 1;
    for range in &guest.ranges {
        system.mapped_bytes += range.shared_bytes;
        system.unshared_bytes += range.unshared_bytes;
        // The memory that was not saved is no part of the system.
        if range.kind != "EN" {
            system.private_bytes += range.private_bytes;
        }
    }
}

/// Segment spaces are known by their paths: `.../NAME/GENERATION.seg`.
fn add_segments(segments: &mut Files, guest: &GuestSample) {
    for attached in &guest.attached {
        let path = Path::new(&attached.file);
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        let name = path
            .parent()
            .and_then(|parent| parent.file_name()?.to_str());
        if let (true, Some(generation), Some(name)) = (is_segment, stem, name) {
            let segment = entry(segments, name, generation);
            segment.users += 1;
            segment.mapped_bytes += attached.shared_bytes;
            segment.private_bytes += attached.private_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;
    use crate::AttachedSample;

    const MIB: u64 = 1 << 20;

    #[test]
    fn guests_of_a_system_are_added_up_and_their_own_memory_is_not_the_systems() {
        let memory = Memory::of(&sample(4));
        assert_eq!(memory.host.total_bytes, 16 << 30);
        let total = memory.total;
        assert_eq!((total.guests, total.silent), (4, 0));
        assert_eq!(
            (total.shared_bytes, total.mapped_bytes),
            (8 * MIB, 32 * MIB)
        );
        assert_eq!(total.saved_bytes(), 24 * MIB);
        assert_eq!(total.given_bytes, 256 * MIB);
        let [system] = memory.saved_systems.as_slice() else {
            panic!("{memory:?}");
        };
        assert_eq!((system.name.as_str(), system.generation), ("LX", 2));
        assert_eq!(system.users, 4);
        assert_eq!(
            (system.size_bytes, system.resident_bytes),
            (8 * MIB, 8 * MIB)
        );
        assert_eq!(system.mapped_bytes, 32 * MIB);
        assert_eq!(
            (system.private_bytes, system.unshared_bytes),
            (4 * 4096, 4 * 4096)
        );
        let guest = &memory.guests[1];
        assert_eq!(guest.given_bytes, Some(256 * MIB));
        assert_eq!(guest.private_bytes, Some(3 * MIB));
        assert_eq!(guest.overhead_bytes, Some(5 * MIB));
        assert_eq!(memory.guests[0].given_bytes, None);
    }

    #[test]
    fn segments_are_known_by_their_paths_and_other_files_are_none() {
        let mut sample = sample(2);
        let attached = |file: &str| AttachedSample {
            file: file.to_owned(),
            shared_bytes: 2 * MIB,
            proportional_bytes: MIB,
            private_bytes: 4096,
        };
        for guest in &mut sample.guests {
            guest.attached = vec![
                attached("/s/segments/USR/3.seg"),
                attached("/s/segments/USR/x.seg"),
                attached("/var/disk.img"),
            ];
        }
        sample.files.push(FileSample {
            kind: "segment".to_owned(),
            name: "USR".to_owned(),
            generation: 4,
            size_bytes: 10 * MIB,
            ..FileSample::default()
        });
        let spaces = Memory::of(&sample).segment_spaces;
        let spaces: Vec<_> = spaces
            .iter()
            .map(|space| {
                (
                    space.generation,
                    space.users,
                    space.mapped_bytes,
                    space.size_bytes,
                )
            })
            .collect();
        // One that is in use and was removed from the store is listed too.
        assert_eq!(spaces, [(3, 2, 4 * MIB, 0), (4, 0, 0, 10 * MIB)]);
    }
}
