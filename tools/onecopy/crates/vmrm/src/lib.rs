// SPDX-License-Identifier: GPL-2.0

//! The resource manager: how much memory each guest gives back to the host, as VMRM of z/VM decides
//! it for `NOTIFY MEMORY`.
//!
//! - [`sample`] is what is known of the host and of its guests at one time.
//! - [`policy`] decides from that, and from what it decided before, without any input or output.
//!
//! Memory is in bytes. What a guest gives is in blocks of 2 MiB, as its driver takes them.

pub mod amount;
pub mod policy;
pub mod sample;
