// SPDX-License-Identifier: GPL-2.0

//! The resource manager: how much memory each guest gives back to the host, as VMRM of z/VM decides
//! it for `NOTIFY MEMORY`.
//!
//! - [`sample`] is what is known of the host and of its guests at one time; [`pressure`] reads the
//!   host's part of it.
//! - [`policy`] decides from that, and from what it decided before, without any input or output.
//! - [`config`] is what the administrator wants of it.
//! - [`trace`] keeps samples, [`simulate`] finds out what another policy would have made of them.
//! - [`service`] looks at the guests, decides, and tells them, until it is told to stop.
//! - [`event`] is what there is to say, a line each.
//!
//! Memory is in bytes. What a guest gives is in blocks of 2 MiB, as its driver takes them.

pub mod amount;
pub mod config;
pub mod event;
mod notify;
pub mod policy;
pub mod pressure;
pub mod sample;
pub mod service;
pub mod simulate;
pub mod trace;
mod watch;
