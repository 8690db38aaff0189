// SPDX-License-Identifier: GPL-2.0

//! Network cards of guests that are started from a saved system.

use anyhow::ensure;
use anyhow::Result;
use onecopy_boot::Guest;
use onecopy_system::ResourceOptions;

use super::cases;
use super::ensure_eq;
use crate::context::Context;

cases! {
    BuiltInFast:
        network_cards_have_the_addresses_that_the_guest_is_told;
}

const DEVICES: &str = "/sys/bus/pci/devices";
const INTERFACES: &str = "/sys/class/net";

/// The ids of a virtio network card: vendor and device.
const VIRTIO_NET: [&str; 2] = ["0x1af4", "0x1041"];

fn network_cards_have_the_addresses_that_the_guest_is_told(context: &Context) -> Result<()> {
    const GIVEN: &str = "52:54:00:12:34:56";
    let nics = vec![
        "user,restrict=on".parse()?,
        format!("user,mac={GIVEN}").parse()?,
    ];
    let saved = context.saved()?;
    let mut guest = saved.ipl_with_nics("nics", ResourceOptions::default(), nics)?;
    let known = saved.running("nics")?.record().mac_addresses.clone();
    let mut test = || {
        let mut told = Vec::new();
        for index in 0..known.len() {
            told.push(guest.read(&format!("/sys/firmware/ipl/mac{index}"))?);
        }
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        ensure_eq!(told, known);
        ensure!(
            told[0].starts_with("02:") && told[1] == GIVEN,
            "{}",
            told.join(", ")
        );
        guest.wait_until("the cards are there", |guest| {
            Ok(cards(guest)? == told.len())
        })?;
        if context.kernel().has("VIRTIO_NET") {
            guest.wait_until("the cards have drivers", |guest| {
                Ok(addresses(guest)? == sorted(&told))
            })?;
        }
        guest.check(false)
    };
    let result: Result<()> = test();
    Ok(result.map_err(|error| guest.failure(error))?)
}

fn sorted(addresses: &[String]) -> Vec<String> {
    let mut sorted = addresses.to_vec();
    sorted.sort_unstable();
    sorted
}

/// Returns how many network cards the guest finds on its buses.
fn cards(guest: &mut Guest) -> Result<usize> {
    let mut count = 0;
    for device in guest.run("ls", &[DEVICES])?.lines {
        let mut id = |file: &str| guest.read(&format!("{DEVICES}/{device}/{file}"));
        count += usize::from([id("vendor")?, id("device")?] == VIRTIO_NET);
    }
    Ok(count)
}

/// Returns the addresses of the guest's interfaces.
fn addresses(guest: &mut Guest) -> Result<Vec<String>> {
    let mut addresses = Vec::new();
    for interface in guest.run("ls", &[INTERFACES])?.lines {
        // Only interfaces of hardware have one.
        if guest.exists(&format!("{INTERFACES}/{interface}/device"))? {
            addresses.push(guest.read(&format!("{INTERFACES}/{interface}/address"))?);
        }
    }
    Ok(sorted(&addresses))
}
