// SPDX-License-Identifier: GPL-2.0

//! The PCI bus, through the ports that every PC has for it.

use virtio_drivers::transport::pci::bus::Command;
use virtio_drivers::transport::pci::bus::ConfigurationAccess;
use virtio_drivers::transport::pci::bus::DeviceFunction;
use virtio_drivers::transport::pci::bus::PciRoot;
use virtio_drivers::transport::pci::virtio_device_type;
use virtio_drivers::transport::DeviceType;

use crate::error::Error;
use crate::port;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// The first 256 bytes of every function's configuration.
#[derive(Debug)]
pub(crate) struct Ports;

impl Ports {
    fn select(function: DeviceFunction, offset: u8) {
        let DeviceFunction {
            bus,
            device,
            function,
        } = function;
        let address = u32::from(bus) << 16
            | u32::from(device) << 11
            | u32::from(function) << 8
            | u32::from(offset & 0xfc);
        port::write_u32(ADDRESS, 0x8000_0000 | address);
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        Self::select(function, offset);
        port::read_u32(DATA)
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, data: u32) {
        Self::select(function, offset);
        port::write_u32(DATA, data);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// Finds the first balloon, modern or transitional, and lets it answer and reach memory.
///
/// The firmware has placed its registers; the transport refuses a BAR without an address.
///
/// # Errors
///
/// When there is none.
pub(crate) fn find_balloon(root: &mut PciRoot<Ports>) -> Result<DeviceFunction, Error> {
    let mut functions = (0..=u8::MAX).flat_map(|bus| root.enumerate_bus(bus));
    let balloon = functions
        .find(|(_, info)| virtio_device_type(info) == Some(DeviceType::MemoryBalloon))
        .map(|(function, _)| function)
        .ok_or(Error::NoBalloon)?;
    drop(functions);
    let (_, command) = root.get_status_command(balloon);
    // Polled: nobody is there to take interrupts.
    let command =
        command | Command::MEMORY_SPACE | Command::BUS_MASTER | Command::INTERRUPT_DISABLE;
    root.set_command(balloon, command);
    Ok(balloon)
}
