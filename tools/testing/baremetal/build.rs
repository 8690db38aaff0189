// SPDX-License-Identifier: GPL-2.0

//! Links the guest for a bare machine.
//!
//! The guest is built for the host's own target, which comes with a precompiled core library. That
//! target links position-independent programs against a C library; these arguments come later on
//! the linker's command line and undo it.

use std::env;
use std::path::Path;

const ARGUMENTS: [&str; 7] = [
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,--gc-sections",
    "-Wl,-z,max-page-size=4096",
];

fn main() {
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let script = Path::new(&folder).join("guest.ld");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=guest.ld");
    for argument in ARGUMENTS {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
}
