// SPDX-License-Identifier: GPL-2.0

//! The command as users run it: each test runs the program in a temporary directory and compares
//! its whole output.
//!
//! Without QEMU, mkfs.erofs or user namespaces the tests that need them say so and pass; with
//! `ONECOPY_REQUIRE_TOOLS` set they fail. Tests of guests from saved systems need a kernel with
//! `CONFIG_SHARED_KERNEL`: its build directory is in `ONECOPY_SHARED_KERNEL`, and without that they
//! say so and pass.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod attach;
mod attach_broken;
mod attach_others;
mod boot;
mod colours;
mod compatibility;
mod confined;
mod contract;
mod damaged;
mod defseg;
mod defsys;
mod denied;
mod detach;
mod doctor;
mod emulator;
mod from_guest;
mod full_disk;
mod generate;
mod gone;
mod group;
mod guest;
mod init;
mod ipl;
mod kill;
mod many;
mod nic;
mod partition;
mod partition_refused;
mod partition_table;
mod planted;
mod query;
mod readme;
mod running;
mod saved;
mod saveseg;
mod savesys;
mod schema;
mod second;
mod see;
mod segments;
mod signals;
mod skeleton;
mod smsg;
mod stray;
mod together;
mod usage;
mod user;
mod util;
mod vmrm;
