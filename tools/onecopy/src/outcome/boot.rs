// SPDX-License-Identifier: GPL-2.0

//! The end of a guest in the foreground.

use std::io;
use std::io::Write;

use crate::boot::End;

/// Whether the guest switched itself off.
pub(super) fn is_success(end: &End) -> bool {
    matches!(end, End::Machine(outcome) if outcome.is_clean_shutdown())
}

/// Says how the guest ended, unless it ended as it should.
pub(super) fn render(end: &End, err: &mut dyn Write) -> io::Result<()> {
    match end {
        End::Machine(outcome) if outcome.is_clean_shutdown() => Ok(()),
        End::Machine(outcome) => writeln!(err, "onecopy: {outcome}"),
        End::Timeout(timeout) => {
            writeln!(
                err,
                "onecopy: the guest was ended after {} s",
                timeout.as_secs()
            )
        }
        End::Signal(signal) => writeln!(err, "onecopy: the guest was ended by signal {signal}"),
    }
}
