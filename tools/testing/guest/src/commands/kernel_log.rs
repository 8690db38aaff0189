// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: `dmesg`.

use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "dmesg",
    arguments: "[TEXT]",
    run: dmesg,
}];

/// The longest record that `/dev/kmsg` returns, in bytes.
const RECORD_BYTES: usize = 8192;

/// Says the kernel's messages, or those that hold a text.
fn dmesg(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let wanted = arguments.optional_word()?.unwrap_or_default();
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open("/dev/kmsg")?;
    let mut record = [0; RECORD_BYTES];
    let mut count = 0;
    loop {
        match log.read(&mut record) {
            Ok(0) => break,
            Ok(len) => {
                let message = message(record.get(..len).unwrap_or_default());
                if message.contains(&wanted) {
                    lines(message.as_bytes());
                    count += 1;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // The oldest records were overwritten while we were reading; go on with the next.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(format!("count={count}"))
}

/// Returns the text of a record: `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT`, then lines of tags.
fn message(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record);
    let text = text.split_once(';').map_or("", |(_, text)| text);
    unescape(text.lines().next().unwrap_or_default())
}

/// Replaces `\xNN`, as which the kernel hands out backslashes and what is not printable.
fn unescape(text: &str) -> String {
    let mut pieces = text.split(r"\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2);
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(piece.bytes().skip(2));
            }
            None => {
                bytes.extend_from_slice(br"\x");
                bytes.extend(piece.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_hold_one_line_of_text() {
        assert_eq!(
            message(b"6,1,2,-;dcss: hello; x\n SUBSYSTEM=virtio\n"),
            "dcss: hello; x"
        );
        assert_eq!(message(b"odd"), "");
    }

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        assert_eq!(
            message(br"6,1,2,-;name '\x5cx00' \xc3\xa9"),
            "name '\\x00' \u{e9}"
        );
        assert_eq!(message(br"6,1,2,-;\xzz\x"), r"\xzz\x");
    }
}
