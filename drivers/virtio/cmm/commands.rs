// SPDX-License-Identifier: GPL-2.0

//! The messages `CMM SHRINK`, `CMM RELEASE` and `CMM REUSE`, as in the CMM module for s390.

use crate::{
    balloon::Balloon,
    module_parameters,
    numbers,
    reuse::Reuse, //
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

/// Lets `balloon` take messages.
pub(crate) fn register(balloon: &Arc<Balloon>) -> Result<Registration> {
    Registration::new("CMM", Arc::new(Receiver(balloon.clone()), GFP_KERNEL)?)
}

struct Receiver(Arc<Balloon>);

impl Handler for Receiver {
    fn receive(&self, message: &Message<'_>) -> Result<(), Refusal> {
        message.require_sender(module_parameters::sender.value_ref().as_bytes())?;
        match Command::parse(message)? {
            Command::Shrink(pages) => self.0.shrink(pages),
            Command::Release(pages) => self.0.release(pages),
            Command::Reuse(reuse) => self.0.set_reuse(reuse),
        }
        Ok(())
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    /// The static pool is to hold so many pages.
    Shrink(u64),
    /// The timed pool is to hold so many pages more.
    Release(u64),
    /// The timed pool is to give pages back after a time.
    Reuse(Reuse),
}

impl Command {
    fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        const FORMS: &str = "expected: SHRINK pages, RELEASE pages, or REUSE pages seconds";
        const NUMBERS: &str = "not a number of pages or seconds: decimal, 0x hexadecimal, 0 octal";

        let mut words = message.words();
        let (verb, first, second) = (words.next(), words.next(), words.next());
        let wrong = Refusal::new(EINVAL, FORMS);
        let (Some(verb), Some(first), None) = (verb, first, words.next()) else {
            return Err(wrong);
        };
        let number = |word| numbers::number(word).map_err(|error| Refusal::new(error, NUMBERS));

        if verb.eq_ignore_ascii_case("SHRINK") && second.is_none() {
            Ok(Self::Shrink(number(first)?))
        } else if verb.eq_ignore_ascii_case("RELEASE") && second.is_none() {
            Ok(Self::Release(number(first)?))
        } else if verb.eq_ignore_ascii_case("REUSE") {
            Ok(Self::Reuse(Reuse {
                pages: number(first)?,
                seconds: number(second.ok_or(wrong)?)?,
            }))
        } else {
            Err(wrong)
        }
    }
}

#[cfg(CONFIG_VIRTIO_CMM_KUNIT_TEST)]
#[kernel::macros::kunit_tests(cmm_commands)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command> {
        let message = Message {
            sender: "VMRMSVM",
            text,
        };
        Command::parse(&message).map_err(|refusal| refusal.error)
    }

    #[test]
    fn the_three_messages_are_understood() {
        let reuse = Reuse {
            pages: 100,
            seconds: 10,
        };

        for (text, command) in [
            ("SHRINK 1000", Command::Shrink(1000)),
            ("shrink\t0x10", Command::Shrink(16)),
            ("RELEASE  \t 0", Command::Release(0)),
            ("REUSE 0144 10", Command::Reuse(reuse)),
        ] {
            assert_eq!(parse(text), Ok(command));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "SHRINK",
            "SHRINK -1",
            "SHRINK 1 2",
            "SHRINK 1x",
            "RELEASE 1 2",
            "REUSE 1",
            "REUSE 1 2 3",
            "REUSE 1 two",
            "SHRINK1",
            "GROW 1",
        ] {
            assert_eq!(parse(text), Err(EINVAL));
        }
    }
}
