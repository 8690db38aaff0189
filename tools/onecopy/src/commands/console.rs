// SPDX-License-Identifier: GPL-2.0

//! `onecopy console`

use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use onecopy_system::Guests;
use onecopy_system::Running;
use rustix::event::poll;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;

use crate::cli::ConsoleArgs;
use crate::outcome::Left;
use crate::terminal::CtrlC;
use crate::terminal::Keyboard;

/// Ctrl-]
const ESCAPE: u8 = 0x1d;

/// How long the guest must say nothing before the console is left at the end of the input.
const SILENCE: Duration = Duration::from_secs(1);

/// What has come to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Input,
    Output,
    Silence,
}

pub(super) fn run(args: &ConsoleArgs, guests: &Guests) -> anyhow::Result<Left> {
    let stream = Running::find(guests, &args.guest)?.console()?;
    let keyboard = Keyboard::take(CtrlC::Guests)?;
    if keyboard.is_some() {
        eprintln!("onecopy: console of {}; Ctrl-] leaves it\r", args.guest);
    }
    Ok(converse(stream)?)
}

/// Passes on what comes from either side, until one of them has enough.
fn converse(mut stream: UnixStream) -> io::Result<Left> {
    let mut input = Some(io::stdin());
    let mut chunk = [0; 4096];
    loop {
        match next(input.as_ref(), &stream)? {
            Turn::Silence => return Ok(Left::User),
            Turn::Output => {
                let count = stream.read(&mut chunk)?;
                if count == 0 {
                    return Ok(Left::Guest);
                }
                let mut out = io::stdout().lock();
                out.write_all(chunk.get(..count).unwrap_or_default())?;
                out.flush()?;
            }
            Turn::Input => {
                let count = rustix::io::read(io::stdin(), &mut chunk)?;
                let typed = chunk.get(..count).unwrap_or_default();
                if let Some(at) = typed.iter().position(|byte| *byte == ESCAPE) {
                    stream.write_all(typed.get(..at).unwrap_or_default())?;
                    return Ok(Left::User);
                }
                stream.write_all(typed)?;
                if count == 0 {
                    input = None;
                }
            }
        }
    }
}

/// Waits for the next turn; without input, for no longer than the guest may be silent.
fn next(input: Option<&io::Stdin>, stream: &UnixStream) -> io::Result<Turn> {
    let mut fds = vec![PollFd::new(stream, PollFlags::IN)];
    fds.extend(input.map(|input| PollFd::new(input, PollFlags::IN)));
    let silence = Timespec::try_from(SILENCE).map_err(io::Error::other)?;
    let limit = if input.is_none() {
        Some(&silence)
    } else {
        None
    };
    loop {
        match poll(&mut fds, limit) {
            Ok(0) => return Ok(Turn::Silence),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let said = fds.first().is_some_and(|fd| !fd.revents().is_empty());
    Ok(if said { Turn::Output } else { Turn::Input })
}
