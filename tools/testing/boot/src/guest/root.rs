// SPDX-License-Identifier: GPL-2.0

//! The first root file system of a guest: our program, modules, and mount points.

use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;

use super::Host;
use crate::initramfs::Archive;
use crate::kernel::Kernel;

/// Makes the archive.
pub(crate) fn archive(host: &Host, kernel: &Kernel, modules: &[String]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["/dev", "/proc", "/sys", "/tmp", "/mnt", "/modules"] {
        archive.directory(directory);
    }
    // The kernel opens it for its first process, before anything is mounted on /dev.
    archive.character_device("/dev/console", 5, 1);
    archive.program("/init", &read(&host.program)?);
    let mut added = Vec::new();
    for name in modules {
        for module in kernel.module_with_dependencies(name)? {
            if !added.contains(&module) {
                archive.program(&guest_path(&module), &read(&module)?);
                added.push(module);
            }
        }
    }
    Ok(archive.finish())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Returns where a module is in the archive.
pub(super) fn guest_path(module: &Path) -> String {
    format!(
        "/modules/{}",
        module.file_name().unwrap_or_default().to_string_lossy()
    )
}
