// SPDX-License-Identifier: GPL-2.0

//! What the bare-metal balloon guest decides, without the hardware it decides it for.
//!
//! Everything here is plain computation on numbers and bytes, so that `cargo test` runs it on the
//! host. The program beside it, `src/guest/main.rs`, has the entry, the devices and the waiting.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod contract;
pub mod options;
pub mod pattern;
pub mod pool;
pub mod size;
pub mod start_info;
pub mod tally;
pub mod target;

/// The unit in which the balloon counts, in bytes.
pub const PAGE_BYTES: u64 = 4096;
