// SPDX-License-Identifier: GPL-2.0

//! What a guest has made of a message.

use std::io;
use std::io::Write;

use onecopy_system::smsg::Message;
use onecopy_system::smsg::Refused;
use onecopy_system::smsg::Sender;
use onecopy_system::GuestName;
use schemars::JsonSchema;
use serde::Serialize;

/// A message that a guest has answered.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Told {
    /// Name of the guest.
    guest: String,
    /// Who has sent it.
    sender: String,
    /// The message.
    text: String,
    /// Whether the guest has carried it out.
    carried_out: bool,
    /// The number of the error in the guest.
    errno: Option<i32>,
    /// What that number stands for.
    error: Option<String>,
    /// What the guest says of this case.
    reason: Option<String>,
    #[serde(skip)]
    refused: Option<Refused>,
}

impl Told {
    pub(crate) fn new(
        guest: &GuestName,
        sender: &Sender,
        text: &Message,
        refused: Option<Refused>,
    ) -> Self {
        let reason = refused.as_ref().map(|refused| refused.reason.clone());
        Self {
            guest: guest.to_string(),
            sender: sender.to_string(),
            text: text.to_string(),
            carried_out: refused.is_none(),
            errno: refused.as_ref().map(|refused| refused.errno),
            error: refused.as_ref().map(Refused::error),
            reason: reason.filter(|reason| !reason.is_empty()),
            refused,
        }
    }

    /// Whether the message was carried out.
    pub(super) fn is_success(&self) -> bool {
        self.carried_out
    }

    pub(super) fn render(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        let (guest, sender) = (&self.guest, &self.sender);
        match &self.refused {
            Some(refused) => writeln!(
                err,
                "onecopy: Guest {guest} has refused the message of {sender}: {refused}"
            ),
            None => writeln!(out, "{guest}: carried out"),
        }
    }
}
