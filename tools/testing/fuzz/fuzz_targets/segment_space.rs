// SPDX-License-Identifier: GPL-2.0

//! Fuzzes the parser of segment spaces against the rules of its documentation.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| onecopy_fuzz::segment_space::check(input));
