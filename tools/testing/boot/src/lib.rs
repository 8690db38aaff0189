// SPDX-License-Identifier: GPL-2.0

//! Guests for tests: what they boot, what they are told, and what their kernels complain about.
//!
//! - [`Kernel`] is a kernel as built, with its modules; [`initramfs`] and [`program`] make what it
//!   starts.
//! - [`Guest`] is a running one. It is told what to do over a serial line of its own
//!   ([`control`]), so messages of the kernel never get in between.
//! - [`balloon`] is what the host and the guest say of a balloon.
//! - [`saved`] starts guests from a saved system, [`together`] several guests at once.
//! - [`space`] makes segment spaces, valid ones and, by changing bytes, others.
//! - [`Failure`] is what went wrong with one; [`lost`] says whether it was [`Lost`] to the machine
//!   below it.
//! - [`report`] finds the complaints of a kernel in its log, [`ktap`] the results of KUnit.
//!
//! Guests are ended by their starter, and every wait has a deadline.

pub mod balloon;
pub mod battery;
pub mod control;
pub mod dcss;
mod failure;
mod guest;
pub mod initramfs;
mod kernel;
pub mod ktap;
mod lost;
pub mod program;
pub mod report;
pub mod saved;
pub mod smsg;
pub mod space;
pub mod together;

pub use self::failure::lost;
pub use self::failure::Failure;
pub use self::guest::Guest;
pub use self::guest::Host;
pub use self::guest::Options;
pub use self::guest::Owner;
pub use self::guest::Pmem;
pub use self::kernel::Driver;
pub use self::kernel::Kernel;
pub use self::lost::Evidence;
pub use self::lost::Lost;
