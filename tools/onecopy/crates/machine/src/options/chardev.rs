// SPDX-License-Identifier: GPL-2.0

//! Character devices and what is connected to them: the serial console and the monitor.

use std::ffi::OsString;
use std::path::PathBuf;

use super::push;
use super::Params;
use super::Switch;

/// Which end of a socket QEMU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketEnd {
    /// QEMU connects to its starter: nothing that QEMU prints is lost, because the connection is
    /// there before the first instruction of the guest.
    Client,
    /// QEMU listens, and does not wait for anybody to connect.
    Server,
}

/// `-chardev socket`: a socket on which QEMU or its starter listens.
#[derive(Debug, Clone)]
pub struct Chardev {
    /// Id, unique in the machine.
    pub id: String,
    /// Path of the socket.
    pub path: PathBuf,
    /// Which end QEMU is.
    pub end: SocketEnd,
}

impl Switch for Chardev {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("socket")
            .with("id", &self.id)
            .with("path", &self.path);
        let value = match self.end {
            SocketEnd::Client => value.with_switch("server", false),
            SocketEnd::Server => value.with_switch("server", true).with_switch("wait", false),
        };
        push(args, "-chardev", value);
    }
}

/// `-serial chardev:ID`: the next serial port.
#[derive(Debug, Clone)]
pub struct Serial {
    /// Id of the character device.
    pub chardev: String,
}

impl Switch for Serial {
    fn add_to(&self, args: &mut Vec<OsString>) {
        push(args, "-serial", format!("chardev:{}", self.chardev));
    }
}

/// `-mon chardev=ID,mode=control`: a QMP monitor.
#[derive(Debug, Clone)]
pub struct Mon {
    /// Id of the character device.
    pub chardev: String,
}

impl Switch for Mon {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::default()
            .with("chardev", &self.chardev)
            .with("mode", "control");
        push(args, "-mon", value);
    }
}
