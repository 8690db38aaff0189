// SPDX-License-Identifier: GPL-2.0

//! Interfaces of the network: the requests of `netdevice(7)`.
#![expect(
    unsafe_code,
    reason = "nobody wraps these requests, whose argument is a pointer"
)]

use std::io;
use std::net::Ipv4Addr;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// From `linux/sockios.h` and `linux/if.h`.
const SIOCSIFADDR: libc::c_ulong = 0x8916;
const SIOCSIFFLAGS: libc::c_ulong = 0x8914;
const IFF_UP: u16 = 1;
const AF_INET: u16 = 2;

/// The longest name of an interface, with its NUL byte.
const NAME_BYTES: usize = 16;

/// `struct ifreq`: the name of an interface and what is asked for.
#[repr(C)]
struct Request {
    name: [u8; NAME_BYTES],
    value: [u8; 24],
}

/// Gives an interface an address and switches it on.
pub(crate) fn bring_up(interface: &str, address: Ipv4Addr) -> io::Result<()> {
    let mut value = [0; 24];
    // A `struct sockaddr_in`: family, port, address.
    value[..2].copy_from_slice(&AF_INET.to_ne_bytes());
    value[4..8].copy_from_slice(&address.octets());
    request(SIOCSIFADDR, interface, value)?;
    let mut value = [0; 24];
    value[..2].copy_from_slice(&IFF_UP.to_ne_bytes());
    request(SIOCSIFFLAGS, interface, value)
}

fn request(number: libc::c_ulong, interface: &str, value: [u8; 24]) -> io::Result<()> {
    let mut name = [0; NAME_BYTES];
    let bytes = interface.as_bytes();
    let room = name
        .get_mut(..bytes.len())
        .filter(|room| room.len() < NAME_BYTES)
        .ok_or(io::ErrorKind::InvalidInput)?;
    room.copy_from_slice(bytes);
    let request = Request { name, value };
    // Any socket of the family does.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: Both requests read a `struct ifreq`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
