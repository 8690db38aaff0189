// SPDX-License-Identifier: GPL-2.0

//! Is the host fit for guests that share memory, and what has a crash left?
//!
//! - [`Facts::probe`] looks at the host, [`judge`] says what the facts mean.
//! - [`Leftover::find`] finds what belongs to nobody, [`Leftover::clean`] removes it.

mod facts;
mod filesystem;
mod judge;
mod leftovers;
mod probe;

pub use self::facts::Directory;
pub use self::facts::Distrust;
pub use self::facts::Facts;
pub use self::facts::Kvm;
pub use self::facts::QemuUser;
pub use self::facts::Sandbox;
pub use self::filesystem::Filesystem;
pub use self::judge::judge;
pub use self::judge::Finding;
pub use self::judge::Severity;
pub use self::leftovers::Leftover;
pub use self::probe::Places;
