// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets and the program that writes their seeds have in common.

#[path = "../../../../lib/onecopy/tests/segment_space/oracle.rs"]
mod oracle;

pub mod segment_space;
