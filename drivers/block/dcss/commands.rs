// SPDX-License-Identifier: GPL-2.0

//! The messages `DCSS ATTACH` and `DCSS DETACH`: `add` and `remove` of configfs, from the host.

use crate::{
    module_parameters,
    registry, //
};
use kernel::{
    prelude::*,
    smsg::{
        Handler,
        Message,
        Refusal,
        Registration, //
    },
    sync::Arc, //
};

/// Lets the driver take messages.
pub(crate) fn register() -> Result<Registration> {
    Registration::new("DCSS", Arc::new(Receiver, GFP_KERNEL)?)
}

struct Receiver;

impl Handler for Receiver {
    fn receive(&self, message: &Message<'_>) -> Result<(), Refusal> {
        message.require_sender(module_parameters::sender.value_ref().as_bytes())?;
        match Command::parse(message)? {
            Command::Attach(names) => registry::attach(names.as_bytes()).map_err(not_attached),
            Command::Detach(name) => registry::detach(name.as_bytes()).map_err(not_detached),
        }
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command<'a> {
    /// Make a device of these segments.
    Attach(&'a str),
    /// Remove the device of this name.
    Detach(&'a str),
}

impl<'a> Command<'a> {
    fn parse(message: &Message<'a>) -> Result<Self, Refusal> {
        let mut words = message.words();

        match (words.next(), words.next(), words.next()) {
            (Some(verb), Some(names), None) if verb.eq_ignore_ascii_case("ATTACH") => {
                Ok(Self::Attach(names))
            }
            (Some(verb), Some(name), None) if verb.eq_ignore_ascii_case("DETACH") => {
                Ok(Self::Detach(name))
            }
            _ => Err(Refusal::new(
                EINVAL,
                "expected: ATTACH segment[:segment...], or DETACH segment",
            )),
        }
    }
}

/// Says in words why segments are not attached; the kernel's log names the segment.
fn not_attached(error: Error) -> Refusal {
    let reason = match error {
        ENOENT => "there is no such segment in the guest's segment spaces",
        EEXIST => "the segment is attached already",
        EBUSY => "the segment is still being detached",
        ENAMETOOLONG => "a segment name has 1 to 8 characters",
        EINVAL => "the segments cannot make up a device; the guest's kernel log says why",
        _ => "",
    };

    Refusal::new(error, reason)
}

/// Says in words why a device is not detached.
fn not_detached(error: Error) -> Refusal {
    let reason = match error {
        EBUSY => "the segment is in use, for instance mounted",
        ENODEV => "no such segment is attached",
        ENAMETOOLONG => "a segment name has 1 to 8 characters",
        EINVAL => "a device is detached by the name of its first segment alone",
        _ => "",
    };

    Refusal::new(error, reason)
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_commands)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command<'_>> {
        let message = Message {
            sender: "VMRMSVM",
            text,
        };
        Command::parse(&message).map_err(|refusal| refusal.error)
    }

    #[test]
    fn attach_and_detach_are_understood() {
        assert_eq!(parse("ATTACH A:B:C"), Ok(Command::Attach("A:B:C")));
        assert_eq!(parse("detach \tUSR"), Ok(Command::Detach("USR")));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "ATTACH", "ATTACH A B", "DETACH", "REMOVE A", "ATTACHA"] {
            assert_eq!(parse(text), Err(EINVAL));
        }
    }
}
