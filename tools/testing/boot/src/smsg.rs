// SPDX-License-Identifier: GPL-2.0

//! Messages to a guest's kernel, by the device that `ipl --smsg` plugs.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use anyhow::Result;
use onecopy_system::smsg;
use onecopy_system::smsg::Sender;
use onecopy_system::smsg::SmsgError;

use crate::guest::Guest;

/// The id of the device.
pub const ID: &str = "smsg0";

/// The directory of the driver's bindings.
pub const DRIVER: &str = "/sys/bus/virtio/drivers/smsg";

/// How long an answer may take, on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The host's end of a channel.
#[derive(Debug, Clone)]
pub struct Channel {
    socket: PathBuf,
    lock: PathBuf,
}

impl Channel {
    /// Plugs a channel into the root port `port0` of a guest that runs, and waits for the driver. The
    /// host's end is in `directory`.
    ///
    /// # Errors
    ///
    /// When the driver does not take it.
    pub fn plug(guest: &mut Guest, directory: &Path) -> Result<Self> {
        let channel = Self {
            socket: directory.join("smsg"),
            lock: directory.join("smsg.lock"),
        };
        smsg::plug(guest.machine(), 0, &channel.socket)?;
        channel.wait(guest)?;
        Ok(channel)
    }

    /// Waits until the driver has the device, and returns its name on the bus.
    ///
    /// # Errors
    ///
    /// When it does not get it.
    pub fn wait(&self, guest: &mut Guest) -> Result<String> {
        let mut found = None;
        guest.wait_until("the driver has the channel", |guest| {
            found = bound(guest)?;
            Ok(found.is_some())
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Sends a message, and waits as long as it may take.
    ///
    /// # Errors
    ///
    /// See [`SmsgError`].
    pub fn send(&self, sender: &str, text: &str) -> Result<(), SmsgError> {
        self.send_within(sender, text, TIMEOUT)
    }

    /// Sends a message, and waits no longer than that.
    ///
    /// # Errors
    ///
    /// See [`SmsgError`].
    pub fn send_within(
        &self,
        sender: &str,
        text: &str,
        timeout: Duration,
    ) -> Result<(), SmsgError> {
        let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let sender: Sender = sender.parse().map_err(invalid)?;
        let message = text.parse().map_err(invalid)?;
        smsg::exchange(&self.socket, &self.lock, &sender, &message, timeout)
    }

    /// Sends a message, and returns the number of the error with which the guest refuses it; 0 if it
    /// does not.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn errno(&self, sender: &str, text: &str) -> Result<i32> {
        match self.send(sender, text) {
            Ok(()) => Ok(0),
            Err(SmsgError::Refused(refused)) => Ok(refused.errno),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes anything, and waits for no answer.
    ///
    /// # Errors
    ///
    /// When QEMU does not take it.
    pub fn write(&self, bytes: &[u8]) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(bytes)?;
        Ok(stream)
    }

    /// Writes random bytes.
    ///
    /// # Errors
    ///
    /// When QEMU does not take them.
    pub fn write_noise(&self, len: usize) -> Result<()> {
        use std::io::Read;

        let mut noise = vec![0; len];
        File::open("/dev/urandom")?.read_exact(&mut noise)?;
        drop(self.write(&noise)?);
        Ok(())
    }
}

/// Returns the name of the device that the driver has, if it has one.
///
/// # Errors
///
/// When the guest does not say, or the driver has several.
pub fn bound(guest: &mut Guest) -> Result<Option<String>> {
    let entries = guest.run("ls", &[DRIVER])?.lines;
    let mut devices = entries
        .into_iter()
        .filter(|entry| entry.starts_with("virtio"));
    let first = devices.next();
    if devices.next().is_some() {
        bail!("the driver has more than one device");
    }
    Ok(first)
}
