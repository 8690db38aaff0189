// SPDX-License-Identifier: GPL-2.0

//! `onecopy smsg`

use std::time::Duration;

use clap::Args;
use onecopy_system::smsg::Message;
use onecopy_system::smsg::Sender;
use onecopy_system::GuestName;

use super::system::parse_seconds;

/// Send a message to the kernel of a guest.
///
/// The guest must have been started by ipl --smsg, and its kernel must have the driver smsg. The
/// command ends when a driver of the guest has carried the message out, or has refused it. Drivers
/// take messages from the sender VMRMSVM unless their parameter sender says something else. Who may
/// send what to whom can be said in the file smsg.toml of the store.
///
/// Messages: CMM SHRINK pages, CMM RELEASE pages, CMM REUSE pages seconds;
/// DCSS ATTACH segment[:segment...], DCSS DETACH segment. A page has 4 KiB.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onecopy smsg web 'CMM SHRINK 20000'
  onecopy smsg web 'CMM RELEASE 5000'
  onecopy smsg web 'CMM REUSE 500 60'
  onecopy smsg web 'DCSS ATTACH TOOLS' --timeout 30 --json")]
pub(crate) struct SmsgArgs {
    /// Name of the guest
    pub(crate) guest: GuestName,

    /// The message: at most 400 characters
    #[arg(value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Message,

    /// In whose name: 1 to 8 of A-Z 0-9 _ -; VMRMSVM by default
    #[arg(long, value_name = "SENDER")]
    pub(crate) from: Option<Sender>,

    /// Give up when there is no answer after this many seconds
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,
}
