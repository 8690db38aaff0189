// SPDX-License-Identifier: GPL-2.0

//! Where things are.

use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_boot::Kernel;

use crate::command::Options;

/// What a run needs, and where its results go.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The guests' kernel with its modules.
    pub(crate) kernel: Kernel,
    /// The guests' root file system.
    pub(crate) root: PathBuf,
    /// Where results and consoles are written.
    pub(crate) output: PathBuf,
}

impl Paths {
    /// Finds everything, and makes the directory for the output.
    ///
    /// # Errors
    ///
    /// When something has to be made first; the error says by which target.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let kernel = kernel(options)?;
        let default = || options.build.join("root/debian");
        let root = options.root.clone().unwrap_or_else(default);
        ensure!(
            root.is_dir(),
            "{} is missing; make it with: make root",
            root.display()
        );
        Ok(Self {
            kernel,
            root,
            output: output(options)?,
        })
    }
}

/// Finds the guests' kernel.
///
/// # Errors
///
/// When it has to be made first.
pub(crate) fn kernel(options: &Options) -> Result<Kernel> {
    let default = || options.build.join("kernel");
    Kernel::open(&options.kernel.clone().unwrap_or_else(default))
        .context("there is no kernel; make it with: make kernel")
}

/// Makes the directory for the output.
///
/// # Errors
///
/// When it cannot be made.
pub(crate) fn output(options: &Options) -> Result<PathBuf> {
    let output = options.build.join("bench");
    std::fs::create_dir_all(&output)?;
    // The host's kernel knows mapped files by their absolute names.
    Ok(output.canonicalize()?)
}
