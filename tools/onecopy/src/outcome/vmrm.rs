// SPDX-License-Identifier: GPL-2.0

//! What the resource manager has done or would do, and what a configuration means.
//!
//! In JSON each of the first is an event in a line of its own, whether it is said while the manager runs or at
//! the end: readers need to know one form only.

mod checked;
mod decisions;
mod log;
mod managed;
mod simulated;

pub(crate) use self::checked::Checked;
pub(crate) use self::checked::CheckedGuest;
pub(crate) use self::log::Log;
pub(crate) use self::managed::Managed;
pub(crate) use self::simulated::Simulated;
