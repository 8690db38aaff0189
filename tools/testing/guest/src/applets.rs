// SPDX-License-Identifier: GPL-2.0

//! What the program does as a second process: things that can end in a signal, or that go on
//! while the host tells the first process something else.

mod attach;
mod draw;
mod hog;
mod open;
mod storm;
mod suspend;
mod touch;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

pub use self::draw::DRAW_BYTES;
use crate::commands::Arguments;
use crate::Failure;

type Applet = fn(&mut Arguments) -> Result<(), Failure>;

/// Name and function of each.
const TABLE: &[(&str, Applet)] = &[
    ("touch", touch::touch),
    ("hold", touch::hold),
    ("self", touch::own_program),
    ("open-loop", open::open_loop),
    ("attach-loop", attach::attach_loop),
    ("draw-random", draw::draw),
    ("hog", hog::hog),
    ("hold-memory", hog::hold),
    ("fragment-memory", hog::fragment),
    ("attach-count", attach::attach_count),
    ("storm", storm::storm),
    ("suspend", suspend::suspend),
];

/// Does what the first argument names.
///
/// # Errors
///
/// The errno of the system call that failed; 0 if the arguments are wrong.
pub fn run(arguments: &[OsString]) -> Result<(), Failure> {
    let bytes = arguments
        .iter()
        .map(|argument| argument.clone().into_vec())
        .collect();
    let mut arguments = Arguments::new(bytes);
    let name = arguments.word()?;
    let applet = TABLE.iter().find(|(known, _)| *known == name);
    let (_, applet) = applet.ok_or_else(|| Failure::other(format!("no such applet: {name}")))?;
    applet(&mut arguments)
}

/// When an applet that goes on has to end: its input was closed, or its time is over.
struct Until {
    closed: Arc<AtomicBool>,
    end: Instant,
}

impl Until {
    /// Says that the applet is ready, and begins to watch its input.
    fn ready(limit: Duration) -> Result<Self, Failure> {
        let closed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closed);
        thread::spawn(move || {
            // Only the end of the input matters, not what comes before it.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            flag.store(true, Ordering::Relaxed);
        });
        let mut output = std::io::stdout();
        output.write_all(b"ready\n")?;
        output.flush()?;
        Ok(Self {
            closed,
            end: Instant::now() + limit,
        })
    }

    /// Whether to go on.
    fn goes_on(&self) -> bool {
        !self.closed.load(Ordering::Relaxed) && Instant::now() < self.end
    }
}
