// SPDX-License-Identifier: GPL-2.0

//! Network cards of guests: the back end in QEMU's own notation, and a MAC address of its own.

mod mac;
mod notation;
mod schema;

use std::io;
use std::str::FromStr;

use onecopy_machine::qmp::commands;
use onecopy_machine::qmp::commands::NetdevAdd;
use onecopy_machine::Machine;
use serde_json::json;

pub use self::mac::MacAddress;
pub use self::mac::MacAddressError;
use self::notation::Property;
use self::schema::Schema;
use crate::error::Error;
use crate::plug::object;

/// A text that does not describe a network card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NicError {
    /// The type of the back end is missing.
    #[error("the type of a back end of QEMU is expected first, as in user or tap,ifname=tap0")]
    Type,
    /// The back end got an id.
    #[error("the id of the back end is not to be chosen")]
    Id,
    /// The MAC address is none.
    #[error(transparent)]
    Mac(#[from] MacAddressError),
}

/// A network card that is wanted: `TYPE[,PROPERTY=VALUE]...[,mac=ADDRESS]`.
///
/// All but the address is what QEMU's `-netdev` takes, and checked by nobody but QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicOptions {
    kind: String,
    properties: Vec<Property>,
    mac: Option<MacAddress>,
}

/// A network card with its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nic<'a> {
    options: &'a NicOptions,
    /// Its address.
    pub(crate) mac: MacAddress,
}

impl FromStr for NicOptions {
    type Err = NicError;

    fn from_str(text: &str) -> Result<Self, NicError> {
        let (kind, properties) = notation::parse(text).ok_or(NicError::Type)?;
        if properties.iter().any(|property| property.name == "id") {
            return Err(NicError::Id);
        }
        let (ours, properties): (Vec<_>, Vec<_>) = properties
            .into_iter()
            .partition(|property| property.name == "mac");
        let mac = ours.last().map(|property| property.value.parse());
        let mac = mac.transpose()?;
        Ok(Self {
            kind,
            properties,
            mac,
        })
    }
}

impl NicOptions {
    /// Returns the address that was asked for.
    pub fn mac(&self) -> Option<MacAddress> {
        self.mac
    }
}

impl<'a> Nic<'a> {
    /// Gives each card an address: its own, or a random one.
    pub(crate) fn draw(options: &'a [NicOptions]) -> io::Result<Vec<Self>> {
        let draw = |options: &'a NicOptions| {
            let mac = options.mac.map_or_else(MacAddress::random, Ok)?;
            Ok(Self { options, mac })
        };
        options.iter().map(draw).collect()
    }

    /// Returns whether QEMU starts another program for the card.
    pub(crate) fn needs_helper(&self) -> bool {
        let value = |name: &str| {
            let mut properties = self.options.properties.iter().rev();
            properties
                .find(|property| property.name == name)
                .map(|property| property.value.as_str())
        };
        match self.options.kind.as_str() {
            "bridge" => true,
            "tap" if value("helper").is_some() => true,
            // What ends with the guest may fail.
            "tap" => value("fd").or(value("fds")).is_none() && value("script") != Some("no"),
            "user" => value("smb").is_some(),
            _ => false,
        }
    }

    /// Plugs the card into a port of a machine that is stopped.
    pub(crate) fn plug(&self, machine: &mut Machine, port: usize) -> Result<(), Error> {
        let netdev = format!("net{port}");
        let properties = if self.options.properties.is_empty() {
            serde_json::Map::new()
        } else {
            let schema = Schema::new(machine.execute(&commands::QueryQmpSchema {})?);
            schema.typed(&self.options.kind, &self.options.properties)
        };
        machine.execute(&NetdevAdd {
            kind: self.options.kind.clone(),
            id: netdev.clone(),
            properties,
        })?;
        machine.execute(&commands::DeviceAdd {
            driver: "virtio-net-pci".to_owned(),
            id: format!("nic{port}"),
            bus: Some(format!("port{port}")),
            // A guest that goes on never boots from the network, and needs no ROM for that.
            properties: object(json!({
                "netdev": netdev, "mac": self.mac.to_string(), "romfile": "",
            })),
        })?;
        Ok(())
    }
}

/// Returns what guests are told of their cards: `mac0`, `mac1` and so on.
pub(crate) fn resources(nics: &[Nic<'_>]) -> impl Iterator<Item = (String, String)> {
    let addresses: Vec<_> = nics.iter().map(|nic| nic.mac.to_string()).collect();
    let pairs = addresses.into_iter().enumerate();
    pairs.map(|(index, mac)| (format!("mac{index}"), mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_address_is_for_qemu() {
        let nic: NicOptions = "tap,ifname=t0,mac=02:00:00:00:00:01,script=no"
            .parse()
            .unwrap();
        let names: Vec<_> = nic.properties.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(
            (nic.kind.as_str(), names),
            ("tap", vec!["ifname", "script"])
        );
        let nics = Nic::draw(std::slice::from_ref(&nic)).unwrap();
        let told: Vec<_> = resources(&nics).collect();
        let expected = ("mac0".to_owned(), "02:00:00:00:00:01".to_owned());
        assert_eq!(told, [expected]);
    }

    #[test]
    fn cards_without_an_address_get_different_ones() {
        let nic: NicOptions = "user".parse().unwrap();
        let wanted = [nic.clone(), nic];
        let nics = Nic::draw(&wanted).unwrap();
        assert_ne!(nics[0].mac, nics[1].mac);
    }

    #[test]
    fn what_is_no_card_is_refused() {
        for (text, expected) in [
            ("", NicError::Type.to_string()),
            ("ifname=t0", NicError::Type.to_string()),
            ("user,id=x", NicError::Id.to_string()),
            (
                "user,mac=01:00:00:00:00:01",
                "01:00:00:00:00:01 is not a MAC address that a card can have: six pairs of \
                 hexadecimal digits with colons, not all zero, and the first is even"
                    .to_owned(),
            ),
        ] {
            let error = text.parse::<NicOptions>().unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }
}
