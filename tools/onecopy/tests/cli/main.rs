// SPDX-License-Identifier: GPL-2.0

//! The command as users run it: each test runs the program in a temporary directory and compares
//! its whole output.
//!
//! Without QEMU, mkfs.erofs or user namespaces the tests that need them say so and pass; with
//! `ONECOPY_REQUIRE_TOOLS` set they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod boot;
mod full_disk;
mod guest;
mod kill;
mod query;
mod saveseg;
mod usage;
mod util;
