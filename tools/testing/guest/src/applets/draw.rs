// SPDX-License-Identifier: GPL-2.0

//! Draws random numbers all the time and records when, so that the host can see from when on two
//! copies of this guest have had different ones: `draw-random FILE`.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use rustix::rand::getrandom;
use rustix::rand::GetRandomFlags;
use rustix::time::clock_gettime;
use rustix::time::ClockId;

use super::Until;
use crate::commands::Arguments;
use crate::Failure;

/// How many bytes a draw has in the file: the time before it in nanoseconds, and the random number.
pub const DRAW_BYTES: usize = 16;

/// How long the applet goes on at most.
const LIMIT: Duration = Duration::from_secs(120);

/// The draws between two looks at whether to go on.
const ROUND: u32 = 64;

/// Draws until the input is closed.
pub(super) fn draw(arguments: &mut Arguments) -> Result<(), Failure> {
    let mut file = File::create(arguments.path()?)?;
    let until = Until::ready(LIMIT)?;
    while until.goes_on() {
        for _ in 0..ROUND {
            // Each draw is in the file before the next one: a copy of this guest has all of them.
            file.write_all(&one()?)?;
        }
    }
    Ok(())
}

fn one() -> Result<[u8; DRAW_BYTES], Failure> {
    // The time first: where it differs, the number was drawn in another copy.
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    let nanoseconds =
        u64::try_from(nanoseconds).map_err(|_| Failure::other("the time is out of range"))?;
    let mut draw = [0; DRAW_BYTES];
    let (time, number) = draw.split_at_mut(DRAW_BYTES / 2);
    time.copy_from_slice(&nanoseconds.to_le_bytes());
    let drawn = getrandom(number, GetRandomFlags::empty())?;
    if drawn != DRAW_BYTES / 2 {
        return Err(Failure::other("there are too few random bytes"));
    }
    Ok(draw)
}
