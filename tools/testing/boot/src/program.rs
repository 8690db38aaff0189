// SPDX-License-Identifier: GPL-2.0

//! The program that guests run, linked statically.

use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Names a program that was built already.
pub const PROGRAM_VARIABLE: &str = "ONECOPY_GUEST_PROGRAM";

/// Builds the guest program, unless the environment names one, and returns its path.
///
/// It has a target directory of its own: the flag that links it statically would otherwise make
/// cargo build everything anew each time it is given or not.
///
/// # Errors
///
/// When it cannot be built; the compiler's words are in the error.
pub fn build() -> Result<PathBuf> {
    if let Some(path) = env::var_os(PROGRAM_VARIABLE) {
        return Ok(path.into());
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/Cargo.toml");
    let directory = target_directory().join("guest");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&directory)
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-C target-feature=+crt-static",
        )
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cannot build the guest program:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(directory.join(TARGET).join("release/onecopy-guest"))
}

/// Returns the directory in which this program was built: that of the whole workspace.
fn target_directory() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| top.join("build/cargo"), PathBuf::from)
}
