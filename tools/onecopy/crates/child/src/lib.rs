// SPDX-License-Identifier: GPL-2.0

//! Programs that we start: none outlives us, and what one has to say is waited for until a deadline.

mod output;
mod spawn;

pub use self::output::output_within;
pub use self::output::tail;
pub use self::output::DEADLINE;
pub use self::spawn::spawn_bound;
pub use self::spawn::timespec;
