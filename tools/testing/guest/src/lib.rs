// SPDX-License-Identifier: GPL-2.0

//! The first process of a test guest.
//!
//! It mounts the kernel's own file systems and then does what the host tells it, one small
//! [command](commands) at a time, over a serial line ([`protocol`]). What may end in a signal, or
//! has to go on while the next command runs, is done by a second process of the same program
//! ([`applets`]).
//!
//! If the command line names a segment, it makes that its root and executes another program from there
//! instead (`switch`).
//!
//! The program is linked statically, so that it also runs from an initramfs or a segment that
//! holds nothing else:
//!
//! ```sh
//! CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
//!     cargo build --release -p onecopy-guest --target x86_64-unknown-linux-gnu
//! ```
//!
//! To add a command, add a file to `commands/` and a line to the table in `commands.rs`.

pub mod applets;
mod bpf;
pub mod commands;
mod content;
mod failure;
pub mod init;
mod measure;
mod memory;
mod network;
mod proc_self;
pub mod protocol;
mod switch;

pub use self::failure::Failure;
