// SPDX-License-Identifier: GPL-2.0

//! What the host gives to partitions, and whether another one fits.

mod file;

use std::collections::BTreeSet;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::listed;

use crate::name::PartitionName;
use crate::resources::Resources;
use crate::rules;

/// What the host gives to all partitions together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Processors.
    pub cpus: u32,
    /// The segment spaces and members that partitions may attach; [`None`] for all.
    pub segments: Option<BTreeSet<Name>>,
    /// The images of disks that partitions may have; [`None`] for all.
    pub disks: Option<BTreeSet<PathBuf>>,
}

/// What some partitions have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Processors.
    pub cpus: u64,
}

/// What the host does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// There is not enough memory.
    #[error("{wanted} MiB of memory are wanted, and of the {given} MiB that the host gives other partitions have {taken}; take less, or say --overcommit")]
    Memory {
        /// What the partition is to have.
        wanted: u64,
        /// What all can have.
        given: u64,
        /// What others have.
        taken: u64,
    },
    /// There are not enough processors.
    #[error("processors are wanted: {wanted}; of the {given} that the host gives other partitions have {taken}; take less, or say --overcommit")]
    Cpus {
        /// What the partition is to have.
        wanted: u64,
        /// What all can have.
        given: u64,
        /// What others have.
        taken: u64,
    },
    /// The segment is not for partitions.
    #[error("the inventory does not give segment {segment}; {}", listed(.given, "it gives none"))]
    Segment {
        /// The segment.
        segment: Name,
        /// Those that are given.
        given: Vec<Name>,
    },
    /// The disk is not for partitions.
    #[error("the inventory does not give disk {}", .0.display())]
    Disk(PathBuf),
    /// The disk is another partition's, and one of both can write to it. That cannot be overcommitted.
    #[error("partition {owner} has disk {} already; only disks that all have read-only are shared", .file.display())]
    DiskTaken {
        /// The image.
        file: PathBuf,
        /// Who has it.
        owner: PartitionName,
    },
}

impl Total {
    /// Adds up what partitions have.
    pub fn of<'a>(partitions: impl IntoIterator<Item = &'a Resources>) -> Self {
        let none = Self::default();
        partitions.into_iter().fold(none, |total, resources| Self {
            memory_mib: total.memory_mib.saturating_add(resources.memory_mib.get()),
            cpus: total.cpus.saturating_add(resources.cpus.get().into()),
        })
    }
}

impl Inventory {
    /// Makes sure that the host can give a partition what it is to have beside the others, or that
    /// it says that it need not.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn admit(
        &self,
        wanted: &Resources,
        others: &[(PartitionName, Resources)],
    ) -> Result<(), Shortage> {
        self.check_segments(wanted)?;
        self.check_disks(wanted, others)?;
        if wanted.overcommit {
            return Ok(());
        }
        let taken = Total::of(others.iter().map(|(_, resources)| resources));
        let amounts = Total::of([wanted]);
        if taken.memory_mib.saturating_add(amounts.memory_mib) > self.memory_mib {
            return Err(Shortage::Memory {
                wanted: amounts.memory_mib,
                given: self.memory_mib,
                taken: taken.memory_mib,
            });
        }
        if taken.cpus.saturating_add(amounts.cpus) > u64::from(self.cpus) {
            return Err(Shortage::Cpus {
                wanted: amounts.cpus,
                given: self.cpus.into(),
                taken: taken.cpus,
            });
        }
        Ok(())
    }

    fn check_segments(&self, wanted: &Resources) -> Result<(), Shortage> {
        let Some(given) = &self.segments else {
            return Ok(());
        };
        // What is no list of names is refused elsewhere.
        let names = wanted.segments.iter();
        let mut names = names.flat_map(|text| rules::names_of(text).unwrap_or_default());
        match names.find(|name| !given.contains(name)) {
            Some(segment) => Err(Shortage::Segment {
                segment,
                given: given.iter().copied().collect(),
            }),
            None => Ok(()),
        }
    }

    fn check_disks(
        &self,
        wanted: &Resources,
        others: &[(PartitionName, Resources)],
    ) -> Result<(), Shortage> {
        for disk in &wanted.disks {
            if self
                .disks
                .as_ref()
                .is_some_and(|given| !given.contains(&disk.file))
            {
                return Err(Shortage::Disk(disk.file.clone()));
            }
            let conflicts = |(_, other): &&(PartitionName, Resources)| {
                let mut same = other.disks.iter().filter(|other| other.file == disk.file);
                same.any(|other| !(other.readonly && disk.readonly))
            };
            if let Some((owner, _)) = others.iter().find(conflicts) {
                return Err(Shortage::DiskTaken {
                    file: disk.file.clone(),
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resources::tests::resources;
    use crate::resources::Disk;

    pub(super) fn inventory(memory_mib: u64, cpus: u32) -> Inventory {
        Inventory {
            memory_mib,
            cpus,
            segments: None,
            disks: None,
        }
    }

    fn other(resources: Resources) -> Vec<(PartitionName, Resources)> {
        vec![("db".parse().unwrap(), resources)]
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_amounts() {
        let (host, others) = (inventory(2048, 4), other(resources(1536, 3)));
        assert_eq!(host.admit(&resources(512, 1), &others), Ok(()));
        let said = |wanted| host.admit(&wanted, &others).unwrap_err().to_string();
        assert_eq!(
            said(resources(513, 1)),
            "513 MiB of memory are wanted, and of the 2048 MiB that the host gives other \
             partitions have 1536; take less, or say --overcommit"
        );
        assert_eq!(
            said(resources(512, 2)),
            "processors are wanted: 2; of the 4 that the host gives other partitions have 3; take \
             less, or say --overcommit"
        );
        let large = Resources {
            overcommit: true,
            ..resources(u64::MAX, u32::MAX)
        };
        assert_eq!(host.admit(&large, &others), Ok(()));
        assert!(host.admit(&resources(1, 1), &other(large)).is_err());
    }

    #[test]
    fn a_disk_that_one_can_write_to_is_nobody_elses() {
        let host = inventory(2048, 4);
        let with = |readonly| Resources {
            overcommit: true,
            disks: vec![Disk {
                file: "/d".into(),
                readonly,
            }],
            ..resources(1, 1)
        };
        assert_eq!(host.admit(&with(true), &other(with(true))), Ok(()));
        for (wanted, owned) in [(true, false), (false, true), (false, false)] {
            let error = host.admit(&with(wanted), &other(with(owned))).unwrap_err();
            let expected = "partition db has disk /d already; only disks that all have read-only \
                            are shared";
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn only_what_the_inventory_lists_is_given() {
        let text = "format = 1\ncpus = 8\nsegments = [\"usr\", \"PY\"]\ndisks = [\"/d\"]\n";
        let host = Inventory::parse(text, inventory(2048, 4)).unwrap();
        assert_eq!((host.memory_mib, host.cpus), (2048, 8));
        let attach = |text: &str| Resources {
            segments: vec![text.to_owned()],
            ..resources(1, 1)
        };
        assert_eq!(host.admit(&attach("PY:USR"), &[]), Ok(()));
        let error = host.admit(&attach("PY:GCC"), &[]).unwrap_err().to_string();
        let expected = "the inventory does not give segment GCC; there are: PY, USR";
        assert_eq!(error, expected);
        let disk = |file: &str| Resources {
            disks: vec![Disk {
                file: file.into(),
                readonly: true,
            }],
            ..resources(1, 1)
        };
        assert_eq!(host.admit(&disk("/d"), &[]), Ok(()));
        let error = host.admit(&disk("/e"), &[]).unwrap_err().to_string();
        assert_eq!(error, "the inventory does not give disk /e");
    }

    proptest! {
        /// Whatever is defined, changed and removed in whatever order: all together never have more
        /// than the host gives while nobody says overcommit.
        #[test]
        fn together_they_never_have_more_than_the_host_gives(
            given in (0_u64..4096, 0_u32..16),
            steps in proptest::collection::vec((0_usize..6, 0_u64..2048, 0_u32..8, 0_u8..8), 0..64),
        ) {
            let host = inventory(given.0, given.1);
            let mut defined: Vec<(PartitionName, Resources)> = Vec::new();
            for (number, memory_mib, cpus, kind) in steps {
                let name: PartitionName = format!("p{number}").parse().unwrap();
                let others: Vec<_> =
                    defined.iter().filter(|(other, _)| *other != name).cloned().collect();
                if memory_mib == 0 || cpus == 0 {
                    defined = others;
                    continue;
                }
                let wanted = Resources { overcommit: kind == 0, ..resources(memory_mib, cpus) };
                let total = Total::of(others.iter().map(|(_, r)| r).chain([&wanted]));
                let fits = total.memory_mib <= host.memory_mib && total.cpus <= host.cpus.into();
                let admitted = host.admit(&wanted, &others).is_ok();
                prop_assert_eq!(admitted, fits || wanted.overcommit);
                if admitted {
                    defined = others;
                    defined.push((name, wanted));
                }
                let total = Total::of(defined.iter().map(|(_, r)| r));
                let fits = total.memory_mib <= host.memory_mib && total.cpus <= host.cpus.into();
                prop_assert!(fits || defined.iter().any(|(_, r)| r.overcommit));
            }
        }
    }
}
