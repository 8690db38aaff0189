// SPDX-License-Identifier: GPL-2.0

//! Starts, drives and measures QEMU guests.
//!
//! - [`Qemu`] finds the emulator and checks its version, [`accel`] finds out by a trial boot
//!   whether KVM works.
//! - [`Config`] says what a guest consists of and turns it into a command line, made of the types
//!   in [`options`].
//! - [`Machine`] is a running guest: its process, which never outlives us, its serial
//!   [`Console`] and its QMP monitor ([`qmp`]).
//! - [`accounting`] says what a guest costs: unique and proportional bytes per range of memory.
//!
//! - [`Confinement`] says what QEMU may do on the host.
//!
//! Everything is blocking, and every wait has a deadline. Out of scope: patching QEMU, and networks
//! between guests.

pub mod accel;
pub mod accounting;
mod config;
mod confinement;
mod console;
mod error;
mod interrupt;
mod machine;
pub mod options;
mod outcome;
mod process;
mod qemu;
pub mod qmp;
mod user;

pub use self::config::Backing;
pub use self::config::Config;
pub use self::config::Disk;
pub use self::config::RamRange;
pub use self::config::SegmentDevice;
pub use self::confinement::Confinement;
pub use self::console::Console;
pub use self::console::ConsoleError;
pub use self::console::Tee;
pub use self::error::Error;
pub use self::error::Report;
pub use self::interrupt::Interrupt;
pub use self::interrupt::Interrupted;
pub use self::machine::abandoned;
pub use self::machine::remove_abandoned;
pub use self::machine::state_uri;
pub use self::machine::Machine;
pub use self::machine::Ram;
pub use self::outcome::Outcome;
pub use self::outcome::ShutdownReason;
pub use self::qemu::Qemu;
pub use self::qemu::QemuError;
pub use self::qemu::Version;
pub use self::user::Needed;
pub use self::user::User;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
