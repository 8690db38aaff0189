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
        let or = |given: &Option<PathBuf>, default: &str| {
            given.clone().unwrap_or_else(|| options.build.join(default))
        };
        let kernel = Kernel::open(&or(&options.kernel, "kernel"))
            .context("there is no kernel; make it with: make kernel")?;
        let root = or(&options.root, "root/debian");
        ensure!(
            root.is_dir(),
            "{} is missing; make it with: make root",
            root.display()
        );
        let output = options.build.join("bench");
        std::fs::create_dir_all(&output)?;
        // The host's kernel knows mapped files by their absolute names.
        let output = output.canonicalize()?;
        Ok(Self {
            kernel,
            root,
            output,
        })
    }
}
