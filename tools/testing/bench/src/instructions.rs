// SPDX-License-Identifier: GPL-2.0

//! Instructions per read and per fault: the segment driver against the C drivers.
//!
//! One guest with one processor has the same image twice, as a segment and as a plain virtio-pmem
//! device. It runs under `-icount shift=0`, so its time stamp counter counts instructions; the
//! guest makes sure of that. Counts are those of the middle one of many operations, which leaves
//! out the few that a timer interrupt falls into.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::space::hexadecimal;
use onecopy_boot::Driver;
use onecopy_boot::Kernel;
use onecopy_machine::Qemu;
use sha2::Digest;
use sha2::Sha256;

use crate::counter::Counter;
use crate::image::Image;
use crate::paths::Paths;
use crate::tree::digest_of;

/// Who the segment driver is compared with.
pub(crate) const PEER: &str = "virtio_pmem + nd_pmem (C)";

/// Rounds that are counted, after one that is not: each one is ours, then the peer's.
const ROUNDS: usize = 5;

/// Name of the segment with the file.
const SEGMENT: &str = "BENCH";

/// Name and size of the file in the image; its size is a multiple of 2 MiB.
const FILE: &str = "data.bin";
const FILE_BYTES: u64 = 64 << 20;

/// The peer's modules.
const PEER_MODULES: [&str; 2] = ["nd_pmem", "virtio_pmem"];

/// What is counted: its name and the guest's command, with the device or the file left out.
const OPERATIONS: [(&str, Operation); 4] = [
    (
        "read_4k",
        Operation::Read {
            block_bytes: 4096,
            count: 4096,
        },
    ),
    (
        "read_1m",
        Operation::Read {
            block_bytes: 1 << 20,
            count: 64,
        },
    ),
    // A mapping of less than 2 MiB cannot hold a large page.
    (
        "fault_first_touch",
        Operation::Fault {
            window_bytes: 1 << 20,
            fault_bytes: 4096,
        },
    ),
    (
        "fault_2m",
        Operation::Fault {
            window_bytes: FILE_BYTES,
            fault_bytes: 2 << 20,
        },
    ),
];

#[derive(Debug, Clone, Copy)]
enum Operation {
    /// Direct reads of the device.
    Read { block_bytes: u64, count: u64 },
    /// Read faults in a file that was just mounted with DAX, one for each part.
    Fault { window_bytes: u64, fault_bytes: u64 },
}

/// Instructions of one operation in each round.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// Name of the operation.
    pub(crate) name: &'static str,
    /// Our rounds.
    pub(crate) ours: Vec<f64>,
    /// The peer's rounds.
    pub(crate) peer: Vec<f64>,
}

/// Boots the guest and counts.
pub(crate) fn count(qemu: &Qemu, paths: &Paths) -> Result<Vec<Rounds>> {
    let image = make_image(paths)?;
    let modules = modules(&paths.kernel)?;
    let mut guest = Counter::boot(qemu, paths, &image, &modules)?;
    for path in &modules {
        guest.load(path)?;
    }
    guest.run("calibrate", &[])?;
    let devices = [format!("/dev/dcss/{SEGMENT}"), "/dev/pmem0".to_owned()];
    check_content(&mut guest, &devices, &image)?;
    let counts = OPERATIONS
        .iter()
        .map(|(name, operation)| rounds(&mut guest, &devices, name, *operation))
        .collect::<Result<_>>()?;
    guest.power_off()?;
    image.remove(&paths.output)?;
    Ok(counts)
}

/// Returns the modules to load, in order.
///
/// The segment driver comes first: it leaves to others what holds no segment space.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    ensure!(
        kernel.driver() == Driver::BuiltIn,
        "the kernel has no segment driver built in"
    );
    let mut modules = Vec::new();
    for name in PEER_MODULES {
        for path in kernel.module_with_dependencies(name)? {
            if !modules.contains(&path) {
                modules.push(path);
            }
        }
    }
    Ok(modules)
}

/// Makes an image of one large file without holes, the same in every run.
fn make_image(paths: &Paths) -> Result<Image> {
    let directory = paths.output.join("data");
    std::fs::create_dir_all(&directory)?;
    let mut file = BufWriter::new(File::create(directory.join(FILE))?);
    let mut block = [0; 32];
    for _ in 0..FILE_BYTES / block.len() as u64 {
        block = Sha256::digest(block).into();
        file.write_all(&block)?;
    }
    file.into_inner()?.sync_all()?;
    let image = Image::save(SEGMENT, &directory, &paths.output)?;
    std::fs::remove_dir_all(&directory)?;
    Ok(image)
}

/// Makes sure that both devices show the whole image.
fn check_content(guest: &mut Counter, devices: &[String; 2], image: &Image) -> Result<()> {
    let (digest, bytes) = digest_of(File::open(&image.disk)?)?;
    let expected = format!("bytes={bytes} sha256={}", hexadecimal(&digest));
    for device in devices {
        let length = image.disk_bytes.to_string();
        let found = guest
            .run("digest", &[device, "rd", "0", &length, "1048576"])?
            .text;
        ensure!(
            found == expected,
            "{device} holds {found} instead of {expected}"
        );
    }
    Ok(())
}

/// Counts an operation, ours and the peer's in turn.
fn rounds(
    guest: &mut Counter,
    [ours, peer]: &[String; 2],
    name: &'static str,
    operation: Operation,
) -> Result<Rounds> {
    let mut rounds = Rounds {
        name,
        ours: Vec::new(),
        peer: Vec::new(),
    };
    for round in 0..=ROUNDS {
        for (device, counts) in [(ours, &mut rounds.ours), (peer, &mut rounds.peer)] {
            let count = operation
                .count(guest, device)
                .with_context(|| format!("cannot count {name} of {device}"))?;
            // The first round brings caches of the kernel into the state that they stay in.
            if round > 0 {
                counts.push(count);
            }
        }
    }
    Ok(rounds)
}

impl Operation {
    /// Returns the instructions of the middle one of many operations.
    fn count(self, guest: &mut Counter, device: &str) -> Result<f64> {
        let report = match self {
            Self::Read { block_bytes, count } => {
                guest
                    .run(
                        "count-reads",
                        &[
                            device,
                            &FILE_BYTES.to_string(),
                            &block_bytes.to_string(),
                            &count.to_string(),
                        ],
                    )?
                    .text
            }
            Self::Fault {
                window_bytes,
                fault_bytes,
            } => {
                // Mounted anew, so that the file system has not seen any of its pages.
                mount(guest, device)?;
                let report = guest.run(
                    "count-faults",
                    &[
                        &format!("{MOUNT_POINT}/{FILE}"),
                        &window_bytes.to_string(),
                        &fault_bytes.to_string(),
                    ],
                )?;
                guest.run("umount", &[MOUNT_POINT])?;
                report.text
            }
        };
        median_of(&report).with_context(|| format!("the guest said {report:?}"))
    }
}

/// Where the image is mounted in the guest.
const MOUNT_POINT: &str = "/tmp/image";

/// Mounts a device with DAX and makes sure that it was.
fn mount(guest: &mut Counter, device: &str) -> Result<()> {
    guest.run("mount", &["erofs", device, MOUNT_POINT, "ro,dax=always"])?;
    let mounts = guest.run("read", &["/proc/mounts"])?.lines;
    let options = mounts.iter().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some(MOUNT_POINT)).then(|| words.nth(1).unwrap_or_default())
    });
    let options = options.context("the image is not in /proc/mounts")?;
    ensure!(
        options.split(',').any(|option| option == "dax=always"),
        "{device} was mounted without DAX: {options}"
    );
    Ok(())
}

/// Reads the median from `operations=N sum=N median=N min=N max=N`.
fn median_of(report: &str) -> Option<f64> {
    let value = report
        .split(' ')
        .find_map(|word| word.strip_prefix("median="))?;
    value.parse().ok().filter(|value| *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_positive_number() {
        assert_eq!(
            median_of("operations=2 sum=9 median=4 min=4 max=5"),
            Some(4.0)
        );
        assert_eq!(median_of("operations=2 sum=9 median=0 min=0 max=5"), None);
        assert_eq!(median_of("operations=2"), None);
    }
}
