// SPDX-License-Identifier: GPL-2.0

//! Standard input as the keyboard of a guest.

use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::thread;

use onecopy_machine::Console;
use onecopy_machine::Tee;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use rustix::termios::InputModes;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::Termios;

/// What Ctrl-C is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CtrlC {
    /// A signal for us, which ends the guest.
    Ours,
    /// A character for the guest.
    Guests,
}

/// The terminal in the mode that a guest's console needs; restored when this is dropped.
#[derive(Debug)]
pub(crate) struct Keyboard {
    before: Termios,
}

impl Keyboard {
    /// Switches the terminal on standard input; `None` when there is no terminal.
    ///
    /// Characters go to the guest at once, and echo and line editing are the guest's.
    pub(crate) fn take(ctrl_c: CtrlC) -> io::Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let mut mode = before.clone();
        mode.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN;
        if ctrl_c == CtrlC::Guests {
            mode.local_modes -= LocalModes::ISIG;
        }
        mode.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IXON;
        tcsetattr(io::stdin(), OptionalActions::Now, &mode)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        // The terminal may be gone by now.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Returns where the guest's console is shown: on standard error if JSON goes to standard output.
pub(crate) fn console_output(json: bool) -> Tee {
    if json {
        Box::new(io::stderr())
    } else {
        Box::new(io::stdout())
    }
}

/// Sends standard input to the guest in the background, until either ends.
pub(crate) fn forward_input(console: Console) -> io::Result<()> {
    thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(move || {
            let mut chunk = [0; 1024];
            while let Ok(count @ 1..) = io::stdin().lock().read(&mut chunk) {
                if console
                    .send(chunk.get(..count).unwrap_or_default())
                    .is_err()
                {
                    break;
                }
            }
        })?;
    Ok(())
}
