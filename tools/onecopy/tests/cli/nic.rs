// SPDX-License-Identifier: GPL-2.0

//! `onecopy ipl --nic`, with the real kernel.

use serde_json::Value;

use crate::saved::Host;
use crate::util::eqnice;
use crate::util::Dir;

const GIVEN: &str = "52:54:00:12:34:56";

/// Returns the addresses that `query guests` knows of each guest.
fn addresses(dir: &Dir) -> Vec<Vec<String>> {
    let list: Value = serde_json::from_str(&dir.ok(&["query", "guests", "--json"])).unwrap();
    let guests = list["guests"].as_array().unwrap();
    let addresses = guests.iter().map(|guest| &guest["mac_addresses"]);
    addresses
        .map(|addresses| serde_json::from_value(addresses.clone()).unwrap())
        .collect()
}

#[test]
fn each_card_has_an_address_of_its_own() {
    let Some(host) = Host::new() else { return };
    let dir = &host.dir;
    let given = format!("user,restrict=on,ipv6=off,mac={GIVEN}");
    dir.ok(&["ipl", "LX", "--nic", "user", "--nic", &given]);
    dir.ok(&["ipl", "LX", "--nic", "user,hostname=a,,b"]);
    assert_eq!(host.ready_guests(), ["lx1", "lx2"]);

    let found = addresses(dir);
    let [first, second] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((first.len(), second.len()), (2, 1));
    assert_eq!(first[1], GIVEN);
    assert!(first[0].starts_with("02:") && second[0].starts_with("02:"));
    assert_ne!(first[0], second[0]);
    let table = dir.ok(&["query", "guests"]);
    for address in found.iter().flatten() {
        let mut rows = table.lines();
        assert!(
            rows.any(|row| row.ends_with(&format!("  {address}"))),
            "{table}"
        );
    }
}

#[test]
fn a_guest_without_cards_has_no_address() {
    let Some(host) = Host::new() else { return };
    host.dir.ok(&["ipl", "LX"]);
    assert_eq!(addresses(&host.dir), [Vec::<String>::new()]);
}

#[test]
fn what_qemu_refuses_is_reported_with_its_reason() {
    let Some(host) = Host::new() else { return };
    for (netdev, expected) in [
        ("nosuch", "Parameter 'type' does not accept value 'nosuch'"),
        ("user,bogus=1", "Parameter 'bogus' is unexpected"),
        (
            "user,restrict=maybe",
            "Invalid parameter type for 'restrict', expected: boolean",
        ),
    ] {
        let ran = host.dir.run(&["ipl", "LX", "--nic", netdev]);
        assert_eq!(ran.code, Some(1), "{netdev}: {ran:?}");
        let expected = format!("onecopy: QEMU refused netdev_add: {expected}");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
    assert_eq!(host.ready_guests(), [""; 0]);
    host.wait_for_silence();
}

#[test]
fn more_cards_than_ports_and_the_same_address_twice_are_refused() {
    let Some(host) = Host::new() else { return };
    let refused = |args: &[&str], code, expected: &str| {
        let ran = host.dir.run(&[&["ipl", "LX"], args].concat());
        assert_eq!(ran.code, Some(code));
        eqnice!(ran.stderr, format!("onecopy: {expected}\n"));
    };
    refused(
        &["--nic", "user"].repeat(9),
        5,
        "A guest of this system has at most 8 segment spaces, network cards, balloons, channels \
         for messages and disks together",
    );
    let given = format!("user,mac={GIVEN}");
    refused(
        &["--nic", &given].repeat(2),
        1,
        &format!("Two network cards of one guest cannot both have the address {GIVEN}"),
    );
    refused(
        &["--nic", "user", "--resource", "mac0=x"],
        1,
        "The resources of the guest are not valid: line 8 has a key that was there before",
    );
}
