// SPDX-License-Identifier: GPL-2.0

//! Other drivers, other devices, and what executes guests.

use std::path::Path;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::dcss::errno;
use onecopy_boot::dcss::DRIVER;
use onecopy_boot::space::Head;
use onecopy_boot::space::Layout;
use onecopy_boot::space::MIB;
use onecopy_boot::Options;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::accel;
use onecopy_machine::accel::Verdict;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Params;

use super::attach::ensure_works;
use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltIn:
        a_device_without_segment_space_is_left_to_virtio_pmem,
        a_device_can_go_to_virtio_pmem_and_come_back,
        the_sample_driver_talks_to_its_device;
    BuiltInFast:
        an_accelerator_that_does_not_work_is_not_used;
}

fn a_device_without_segment_space_is_left_to_virtio_pmem(context: &Context) -> Result<()> {
    let directory = context.directory()?;
    let ours = Layout::new("OURS")
        .member("A", SegmentType::Sr, 2 * MIB)
        .write(directory.path())?;
    let theirs = Layout::new("THEIRS").member("T", SegmentType::Sr, 14 * MIB);
    let theirs = theirs.write(directory.path())?;
    theirs.change(|head| {
        head.header(0, b"no magic");
        Head::fix_checksums(head);
    })?;
    let options = Options::default()
        .writable_space(&theirs)
        .writable_space(&ours)
        .module("virtio_pmem")
        .module("nd_pmem")
        .append("dcss.segments=A");
    context.guest(&options, |guest| {
        ensure_eq!(guest.bound()?, ["virtio1"]);
        ensure_eq!(guest.dmesg("segment space refused")?, Vec::<String>::new());
        guest.load(context.kernel(), "nd_pmem", "")?;
        guest.load(context.kernel(), "virtio_pmem", "")?;
        // The node appears a little before it can be opened.
        guest.wait_until("/dev/pmem0 can be opened", |guest| {
            match errno(guest.run("open", &["pmem", "r", "/dev/pmem0"]))?.as_str() {
                "OK" => Ok(true),
                "ENOENT" | "ENXIO" => Ok(false),
                other => bail!("/dev/pmem0: {other}"),
            }
        })?;
        guest.run("close", &["pmem"])?;
        ensure!(guest.exists("/sys/bus/virtio/drivers/virtio_pmem/virtio0")?);
        ensure!(guest.exists(&format!("{DRIVER}/virtio1"))?);
        let digest = guest.digest("/dev/pmem0", "rd", 2 * MIB..3 * MIB, MIB)?.1;
        ensure_eq!(digest, theirs.digest(2 * MIB, 1 << 20)?);
        ensure_works(guest, &ours, "A")
    })
}

/// A driver in C leaves its own pointers in the device.
fn a_device_can_go_to_virtio_pmem_and_come_back(context: &Context) -> Result<()> {
    const DEVICE: &str = "virtio0";
    let other = "/sys/bus/virtio/drivers/virtio_pmem";
    let directory = context.directory()?;
    for kind in [SegmentType::Sr, SegmentType::Ew] {
        let space = Layout::new("S")
            .member("A", kind, 14 * MIB)
            .write(directory.path())?;
        let options = Options::default()
            .watch_leaks()
            .writable_space(&space)
            .module("virtio_pmem")
            .append("dcss.segments=A");
        context.guest(&options, |guest| {
            guest.load(context.kernel(), "virtio_pmem", "")?;
            for _ in 0..2 {
                ensure_works(guest, &space, "A")?;
                guest.write(&format!("{DRIVER}/unbind"), DEVICE)?;
                guest.write(&format!("{other}/bind"), DEVICE)?;
                guest.write(&format!("{other}/unbind"), DEVICE)?;
                guest.write(&format!("{DRIVER}/bind"), DEVICE)?;
            }
            ensure_works(guest, &space, "A")?;
            guest.write(&format!("{DRIVER}/unbind"), DEVICE)?;
            Ok(())
        })?;
    }
    Ok(())
}

fn the_sample_driver_talks_to_its_device(context: &Context) -> Result<()> {
    let device = Params::new("virtio-rng-pci").with("id", "rng");
    let options = Options {
        qemu_devices: vec![device],
        ..Options::default()
    };
    context.guest(
        &options.watch_leaks().module("rust_driver_virtio"),
        |guest| {
            for round in 1..=3 {
                guest.load(context.kernel(), "rust_driver_virtio", "")?;
                guest.wait_until("the sample says what it got", |guest| {
                    Ok(guest.dmesg("the device wrote ")?.len() == round)
                })?;
                guest.run("rmmod", &["rust_driver_virtio"])?;
            }
            Ok(())
        },
    )
}

/// A `/dev/kvm` may exist and be of no use.
fn an_accelerator_that_does_not_work_is_not_used(context: &Context) -> Result<()> {
    let qemu = &context.host().qemu;
    let kvm_works =
        Path::new("/dev/kvm").exists() && accel::try_boot(qemu, Accel::Kvm) == Verdict::Works;
    let expected = if kvm_works { Accel::Kvm } else { Accel::Tcg };
    ensure_eq!(accel::choose(accel::Choice::Auto, qemu), expected);
    ensure_eq!(accel::try_boot(qemu, expected), Verdict::Works);
    ensure_eq!(context.host().accel, expected);
    Ok(())
}
