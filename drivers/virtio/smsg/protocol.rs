// SPDX-License-Identifier: GPL-2.0

//! What a line of the host says, and what the answer is.
//!
//! The host writes `ID SENDER TEXT`, the guest answers `ID OK` or `ID ERR ERRNO REASON`.

use crate::lines::Line;
use kernel::{
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    smsg::{
        Refusal,
        MAX_SENDER_BYTES, //
    },
    str::Formatter, //
};

/// How many characters an identifier has at most.
pub(crate) const MAX_ID_BYTES: usize = 16;

/// The longest answer, in bytes, with its end.
pub(crate) const MAX_ANSWER_BYTES: usize = 160;

/// What the host wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    /// What the answer has to begin with.
    pub(crate) id: &'a str,
    /// Who sends the message, and the message; or why it is none.
    pub(crate) message: Result<(&'a str, &'a str), Refusal>,
}

impl<'a> Request<'a> {
    /// Understands a line. A line without an identifier is of no use to anybody: there is no answer
    /// that its sender could know.
    pub(crate) fn parse(line: Line<'a>) -> Option<Self> {
        let (bytes, is_whole) = match line {
            Line::Whole(bytes) => (bytes, true),
            Line::Cut(bytes) => (bytes, false),
        };
        let end = bytes.iter().position(|byte| *byte == b' ');
        let (id, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len()))?;
        let id = core::str::from_utf8(id).ok().filter(|id| is_id(id))?;
        let message = if is_whole {
            message(rest.get(1..).unwrap_or_default())
        } else {
            Err(Refusal::new(EMSGSIZE, "the message is too long"))
        };

        Some(Self { id, message })
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Takes `SENDER TEXT` apart.
fn message(bytes: &[u8]) -> Result<(&str, &str), Refusal> {
    let is_text = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte);

    if !bytes.iter().all(is_text) {
        return Err(Refusal::new(EILSEQ, "the message is not printable ASCII"));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| EILSEQ)?;
    let (sender, text) = text.split_once(' ').unwrap_or((text, ""));
    if !(1..=MAX_SENDER_BYTES).contains(&sender.len()) {
        return Err(Refusal::new(EINVAL, "a sender has 1 to 8 characters"));
    }
    if text.trim_ascii().is_empty() {
        return Err(Refusal::new(ENOMSG, "there is no message"));
    }
    Ok((sender, text))
}

/// An answer.
pub(crate) struct Answer {
    bytes: [u8; MAX_ANSWER_BYTES],
    len: usize,
}

impl Answer {
    /// Says how the request with this identifier went. A reason that does not fit is left out.
    pub(crate) fn new(id: &str, outcome: Result<(), Refusal>) -> Self {
        let mut answer = Self {
            bytes: [0; MAX_ANSWER_BYTES],
            len: 0,
        };
        let Err(refusal) = outcome else {
            answer.write(fmt!("{id} OK\n"));
            return answer;
        };
        let errno = -refusal.error.to_errno();
        let reason = refusal.reason;

        if reason.is_empty() || !answer.write(fmt!("{id} ERR {errno} {reason}\n")) {
            answer.write(fmt!("{id} ERR {errno}\n"));
        }
        answer
    }

    /// Returns whether the text has found room.
    fn write(&mut self, text: fmt::Arguments<'_>) -> bool {
        let mut formatter = Formatter::new(&mut self.bytes);

        if formatter.write_fmt(text).is_err() {
            return false;
        }
        self.len = formatter.bytes_written();
        true
    }

    /// Returns the line in a buffer, and how long it is.
    pub(crate) fn into_parts(self) -> ([u8; MAX_ANSWER_BYTES], usize) {
        (self.bytes, self.len)
    }
}

#[cfg(CONFIG_VIRTIO_SMSG_KUNIT_TEST)]
#[kernel::macros::kunit_tests(smsg_protocol)]
mod tests {
    use super::*;

    fn parse(line: &[u8]) -> Option<Request<'_>> {
        Request::parse(Line::Whole(line))
    }

    /// Returns why a line is refused, if it is.
    fn refused(line: &[u8]) -> Option<Error> {
        parse(line)?.message.err().map(|refusal| refusal.error)
    }

    fn answer_is(outcome: Result<(), Refusal>, expected: &[u8]) -> bool {
        let (bytes, len) = Answer::new("7f", outcome).into_parts();
        bytes.get(..len) == Some(expected)
    }

    #[test]
    fn a_line_is_identifier_sender_and_text() {
        assert_eq!(
            parse(b"7f VMRMSVM CMM \tSHRINK  5"),
            Some(Request {
                id: "7f",
                message: Ok(("VMRMSVM", "CMM \tSHRINK  5")),
            })
        );
    }

    #[test]
    fn garbage_without_an_identifier_is_not_answered() {
        for line in [
            &b"\xff\xfe"[..],
            b" 1 A B",
            b"12345678901234567 A B",
            b"a-b A B",
            b"\x001 A B",
        ] {
            assert!(parse(line).is_none());
        }
        assert!(Request::parse(Line::Cut(b"\x00\x00")).is_none());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (line, error) in [
            (&b"1"[..], EINVAL),
            (b"1 ", EINVAL),
            (b"1  B", EINVAL),
            (b"1 NINELONGX B", EINVAL),
            (b"1 A", ENOMSG),
            (b"1 A ", ENOMSG),
            (b"1 A  \t", ENOMSG),
            (b"1 A B\x1b", EILSEQ),
            (b"1 A \xc3\xa4", EILSEQ),
        ] {
            assert_eq!(refused(line), Some(error));
        }
        assert_eq!(refused(b"1 A B"), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_answered() {
        let request = Request::parse(Line::Cut(b"1 A BBB"));

        assert!(request.is_some_and(|request| {
            request.id == "1"
                && request
                    .message
                    .is_err_and(|refusal| refusal.error == EMSGSIZE)
        }));
    }

    #[test]
    fn answers_say_errno_and_reason() {
        assert!(answer_is(Ok(()), b"7f OK\n"));
        assert!(answer_is(Err(ENODEV.into()), b"7f ERR 19\n"));
        assert!(answer_is(
            Err(Refusal::new(EBUSY, "it is mounted")),
            b"7f ERR 16 it is mounted\n"
        ));
    }
}
