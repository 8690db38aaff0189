// SPDX-License-Identifier: GPL-2.0

//! What the figures were measured on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::Context;
use anyhow::Result;
use onecopy_machine::options::Accel;
use onecopy_machine::Qemu;
use serde::Serialize;

/// Offset of the pointer to the version in the header of a bzImage, and what is added to it: see
/// the kernel's Documentation/arch/x86/boot.rst.
const VERSION_POINTER: u64 = 0x20e;
const VERSION_BASE: u64 = 0x200;

/// The host and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    /// Processors that this program may use.
    pub(crate) cpus: usize,
    /// What executed the guests' code.
    pub(crate) accel: String,
    /// QEMU's version.
    pub(crate) qemu: String,
    /// The guests' kernel.
    pub(crate) kernel: String,
}

impl Host {
    /// Looks at the host.
    pub(crate) fn examine(qemu: &Qemu, accel: Accel, kernel: &Path) -> Result<Self> {
        Ok(Self {
            cpus: available_parallelism()?.get(),
            accel: accel.to_string(),
            qemu: qemu.version().to_string(),
            kernel: kernel_version(kernel)
                .with_context(|| format!("cannot read {}", kernel.display()))?,
        })
    }
}

/// Returns the version that a bzImage says it has.
fn kernel_version(path: &Path) -> Result<String> {
    let file = File::open(path)?;
    let mut pointer = [0; 2];
    file.read_exact_at(&mut pointer, VERSION_POINTER)?;
    let mut text = [0; 64];
    file.read_exact_at(
        &mut text,
        VERSION_BASE + u64::from(u16::from_le_bytes(pointer)),
    )?;
    let text = String::from_utf8_lossy(&text);
    let version = text.split([' ', '\0']).next().unwrap_or_default();
    anyhow::ensure!(
        version.starts_with(|first: char| first.is_ascii_digit()),
        "it does not say a kernel version"
    );
    Ok(version.to_owned())
}

/// Returns the commit of the tree, with `-dirty` when files differ from it; `unknown` outside of a
/// repository.
pub(crate) fn commit() -> String {
    let output = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_version_is_found_through_its_pointer() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut image = vec![0; 0x1000];
        image[0x20e..0x210].copy_from_slice(&0x345_u16.to_le_bytes());
        image[0x545..0x559].copy_from_slice(b"7.3.4 (onecopy@host)");
        file.write_all(&image).unwrap();
        assert_eq!(kernel_version(file.path()).unwrap(), "7.3.4");
        file.as_file().write_all_at(b"x", 0x545).unwrap();
        assert!(kernel_version(file.path()).is_err());
    }
}
