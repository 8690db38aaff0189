// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel of a guest: `SMSG`.
//!
//! The guest's driver is `drivers/virtio/smsg`, the lines are those of `Documentation/virt/smsg.rst`.

mod answer;
mod exchange;
mod message;
mod rules;

use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::qmp::commands;
use onecopy_machine::Machine;
use serde_json::json;

pub use self::answer::Refused;
pub use self::exchange::exchange;
pub use self::exchange::SmsgError;
pub use self::message::Message;
pub use self::message::MessageError;
pub use self::message::Sender;
pub use self::rules::Denied;
pub use self::rules::Rules;
pub use self::rules::RulesError;
use crate::error::Error;
use crate::guests;
use crate::plug::object;
use crate::Result;
use crate::Running;

/// The ids of the device and of what is behind it.
const DEVICE: &str = "smsg0";
const PORT: &str = "smsgport0";
const CHARDEV: &str = "smsg";

/// Bytes of a page of the balloon.
const PAGE_BYTES: u64 = 4096;

/// How long QEMU may take to be told a target, however late the guest has answered.
const MIN_LEFT: Duration = Duration::from_secs(1);

/// Plugs a channel for messages whose host end is `socket`. It has none of the features of a console,
/// which is how the guest's driver knows it.
///
/// # Errors
///
/// When QEMU refuses.
pub fn plug(machine: &mut Machine, port: usize, socket: &Path) -> Result<()> {
    let chardev = commands::ChardevAdd::listening(CHARDEV, socket)
        .ok_or_else(|| Error::io("listen on", socket)(io::ErrorKind::InvalidInput.into()))?;
    machine.execute(&chardev)?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))
        .map_err(Error::io("protect", socket))?;
    machine.execute(&commands::DeviceAdd {
        driver: "virtio-serial-pci".to_owned(),
        id: DEVICE.to_owned(),
        bus: Some(format!("port{port}")),
        properties: object(json!({ "max_ports": 1, "emergency-write": false })),
    })?;
    machine.execute(&commands::DeviceAdd {
        driver: "virtconsole".to_owned(),
        id: PORT.to_owned(),
        bus: Some(format!("{DEVICE}.0")),
        properties: object(json!({ "chardev": CHARDEV })),
    })?;
    Ok(())
}

impl Running {
    /// Sends a message to the guest's kernel, and waits until it was carried out or refused.
    ///
    /// The target that `CMM SHRINK` sets is that of the balloon device, too: the device is told as
    /// soon as the guest has agreed, so that both say the same.
    ///
    /// # Errors
    ///
    /// When the guest refuses the message, has no channel for messages, or does not answer in time.
    pub fn smsg(&self, sender: &Sender, message: &Message, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        let socket = self.directory().join(guests::SMSG);
        let lock = self.directory().join(guests::SMSG_LOCK);
        exchange(&socket, &lock, sender, message, timeout).map_err(|source| Error::Smsg {
            guest: self.record().guest.clone(),
            source,
        })?;
        let Some(pages) = message.shrink_pages() else {
            return Ok(());
        };
        let left = timeout.saturating_sub(start.elapsed());
        let told = self.shrink(pages.saturating_mul(PAGE_BYTES), left.max(MIN_LEFT));
        told.map_err(|source| Error::OtherTarget {
            guest: self.record().guest.clone(),
            source: Box::new(source),
        })
    }
}
