// SPDX-License-Identifier: GPL-2.0

//! The network: `interface-up`, `loopback`, `send`.

use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::thread;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::network;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "interface-up",
        arguments: "INTERFACE ADDRESS",
        run: interface_up,
    },
    Command {
        name: "loopback",
        arguments: "BYTES",
        run: loopback,
    },
    Command {
        name: "send",
        arguments: "ADDRESS PORT",
        run: send,
    },
];

/// Gives an interface an address of IPv4 and switches it on.
fn interface_up(_session: &mut Session, arguments: &mut Arguments, _: &mut Lines<'_>) -> Result {
    let interface = arguments.word()?;
    network::bring_up(&interface, arguments.number()?)?;
    Ok(String::new())
}

/// Sends bytes to ourselves over TCP.
fn loopback(_session: &mut Session, arguments: &mut Arguments, _: &mut Lines<'_>) -> Result {
    let bytes: usize = arguments.number()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let sender = thread::spawn(move || TcpStream::connect(address)?.write_all(&vec![1; bytes]));
    let mut received = Vec::new();
    listener.accept()?.0.read_to_end(&mut received)?;
    sender
        .join()
        .map_err(|_| Failure::other("the sender has failed"))??;
    Ok(format!("bytes={}", received.len()))
}

/// Sends a datagram; whether somebody gets it is not known.
fn send(_session: &mut Session, arguments: &mut Arguments, _: &mut Lines<'_>) -> Result {
    let to = SocketAddrV4::new(arguments.number()?, arguments.number()?);
    let sent = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(b"hello", to)?;
    Ok(format!("bytes={sent}"))
}
