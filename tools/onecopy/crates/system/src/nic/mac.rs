// SPDX-License-Identifier: GPL-2.0

//! MAC addresses.

use std::fmt;
use std::io;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::resources::random;

/// The first byte of random addresses: a single card, and an address that no maker has given.
///
/// The 40 bits behind it are random. The prefix 52:54:00 that many tools use leaves 24, and then two
/// of some five thousand guests have the same address as likely as not.
const LOCAL: u8 = 0x02;

/// The bit of the first byte that means a group of cards.
const GROUP: u8 = 0x01;

/// The MAC address of one card.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress([u8; 6]);

/// A text that is not the MAC address of one card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a MAC address that a card can have: six pairs of hexadecimal digits with colons, not all zero, and the first is even")]
pub struct MacAddressError(String);

impl MacAddress {
    /// Draws an address from the random numbers of the host's kernel.
    ///
    /// # Errors
    ///
    /// When the kernel gives none.
    pub fn random() -> io::Result<Self> {
        let mut address = [0; 6];
        random(&mut address)?;
        address[0] = LOCAL;
        Ok(Self(address))
    }
}

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, MacAddressError> {
        parse(text)
            .map(Self)
            .ok_or_else(|| MacAddressError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<[u8; 6]> {
    let byte = |pair: &str| {
        // The parser of numbers takes a sign too.
        let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_pair.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    let address: [u8; 6] = bytes?.try_into().ok()?;
    (address[0] & GROUP == 0 && address != [0; 6]).then_some(address)
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.pad(&pairs.join(":"))
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = MacAddressError;

    fn try_from(text: String) -> Result<Self, MacAddressError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_addresses_are_local_and_of_one_card() {
        let addresses: Vec<_> = (0..64).map(|_| MacAddress::random().unwrap()).collect();
        for (index, address) in addresses.iter().enumerate() {
            assert!(address.to_string().starts_with("02:"), "{address}");
            assert_eq!(address.to_string().parse().as_ref(), Ok(address));
            assert!(!addresses[..index].contains(address));
        }
    }

    #[test]
    fn an_address_of_one_card_is_taken_as_it_is() {
        for text in ["52:54:00:12:34:56", "00:00:00:00:00:01"] {
            assert_eq!(text.parse::<MacAddress>().unwrap().to_string(), text);
        }
        let upper: MacAddress = "AA:BB:CC:DD:EE:FF".parse().unwrap();
        assert_eq!(upper.to_string(), "aa:bb:cc:dd:ee:ff");
    }

    #[test]
    fn groups_and_other_texts_are_refused() {
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "02-00-00-00-00-01",
            "+2:00:00:00:00:01",
            "2:0:0:0:0:1",
            "00:00:00:00:00:00",
            "03:00:00:00:00:01",
            "ff:ff:ff:ff:ff:ff",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }
}
