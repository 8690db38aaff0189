// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Formats that the guests and the host share.
//!
//! The same source is compiled by kbuild, as the module `onecopy` of a driver, and by cargo, as the
//! crate `onecopy_format`. There is no I/O, no allocation, no `unsafe` and no panic: whatever the
//! bytes are, the answer is a value or an error.
//!
//! Because the root of the crate differs, paths in here begin with `self` or `super`.

#![cfg_attr(not(CONFIG_RUST), no_std)]
#![warn(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![cfg_attr(
    CONFIG_RUST,
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "a driver has the formats as a private module and uses a part of them"
    )
)]

pub mod resources;
pub mod saved_kernel;
pub mod segment_space;
