// SPDX-License-Identifier: GPL-2.0

//! The demo: four guests of a saved system execute one copy of Debian's programs, then four that
//! have booted do, then four work the usual way.

mod comparison;

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Host as GuestHost;

use crate::command::Options;
use crate::fleet::Cached;
use crate::fleet::Fleet;
use crate::guest::Setup;
use crate::host::Host;
use crate::image::install_programs;
use crate::image::Image;
use crate::paths::Paths;
use crate::sample::mib;
use crate::way::Way;

/// How many guests run at the same time.
pub(crate) const GUESTS: usize = 4;

/// Name of the segment with the root.
pub(crate) const ROOT_SEGMENT: &str = "DEBIAN";

/// The ways, in the order in which they are measured and shown.
const WAYS: [Way; 3] = [Way::Ipl, Way::Segment, Way::Disk];

/// Runs the demo and prints its table.
///
/// # Errors
///
/// When DAX is off, a job has a wrong result, or something could not be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let paths = Paths::new(options)?;
    let guest_host = GuestHost::find(options.accel)?;
    let (qemu, accel) = (&guest_host.qemu, guest_host.accel);
    let host = Host::examine(qemu, accel, &paths.kernel.image())?;
    println!(
        "Linux {} on QEMU {} ({}), {} processors; guests of 512 MiB with 1 processor",
        host.kernel, host.qemu, host.accel, host.cpus
    );

    install_programs(&paths.root)?;
    let image = Image::save(ROOT_SEGMENT, &paths.root, &paths.output)?;
    println!(
        "Debian root: {:.0} MiB, saved as segment {} and copied to a disk image",
        mib(image.disk_bytes),
        image.name
    );
    // On the same file system as the image, so that their page cache can be measured alike.
    let store = tempfile::Builder::new()
        .prefix("saved-")
        .tempdir_in(&paths.output)?;
    // Sockets have short names, and the output may be deep down.
    let run = tempfile::Builder::new().prefix("onecopy-demo-").tempdir()?;
    let saved =
        SavedSystem::save_with_run([store.path(), run.path()], &guest_host, &paths.kernel, &[])?;
    println!("Kernel: saved before its first process, for the guests that are not booted");
    let setup = Setup {
        qemu,
        accel,
        paths: &paths,
        image: &image,
        saved: Some(&saved),
    };
    let fleets = run_fleets(&setup)?;
    print!("\n{}", comparison::table(&fleets));
    print!("{}", comparison::explanation(&fleets, image.disk_bytes));
    image.remove(&paths.output)
}

/// Goes all ways, and makes sure that all came to the same result.
fn run_fleets(setup: &Setup<'_>) -> Result<Vec<Fleet>> {
    let mut fleets: Vec<Fleet> = Vec::new();
    for way in WAYS {
        let fleet = Fleet::run(setup, way, GUESTS, Cached::All)?;
        if let Some(first) = fleets.first() {
            ensure!(
                fleet.result == first.result,
                "wrong result: {:?} with {}, {:?} with {}",
                first.result,
                first.way.label(),
                fleet.result,
                way.label()
            );
        }
        fleets.push(fleet);
    }
    Ok(fleets)
}
