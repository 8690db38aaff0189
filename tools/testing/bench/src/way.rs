// SPDX-License-Identifier: GPL-2.0

//! How a guest gets its kernel and its root.

use std::path::PathBuf;

use anyhow::Result;
use onecopy_boot::saved::SavedSystem;

use crate::image::Image;
use crate::image::PROGRAMS;

/// How a guest gets its kernel and its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel from a saved system, the root in place, from a segment.
    Ipl,
    /// A boot, and the root in place, from a segment.
    Segment,
    /// A boot, and the root through the page cache, from a virtio disk.
    Disk,
}

impl Way {
    /// Returns a short name for tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ipl => "ipl",
            Self::Segment => "dcss",
            Self::Disk => "blk",
        }
    }

    /// Whether programs are executed in place.
    pub(crate) fn is_dax(self) -> bool {
        self != Self::Disk
    }

    /// Returns the file that the root is in.
    pub(crate) fn image(self, image: &Image) -> PathBuf {
        if self.is_dax() {
            image.segment.path.clone()
        } else {
            image.disk.clone()
        }
    }

    /// Returns all files that guests share: the root, and those of the saved kernel.
    pub(crate) fn files(self, image: &Image, saved: Option<&SavedSystem>) -> Result<Vec<PathBuf>> {
        let mut files = vec![self.image(image)];
        if let (Self::Ipl, Some(saved)) = (self, saved) {
            let generation = saved.generation()?;
            let saved = generation.manifest().files.iter();
            files.extend(saved.map(|file| generation.path().join(&file.name)));
        }
        Ok(files)
    }

    /// Returns the kernel parameters that make the image the root, and the demo its first program.
    pub(crate) fn parameters(self, image: &Image) -> String {
        let name = image.name;
        let root = match self {
            // The segment is attached by the first program of the saved system.
            Self::Ipl => format!("onecopy_root={name} rootflags=dax=always demo.dax"),
            Self::Segment => {
                format!("dcss.segments={name} root=/dev/dcss/{name} rootflags=dax=always demo.dax")
            }
            Self::Disk => "root=/dev/vda".to_owned(),
        };
        format!("rootfstype=erofs ro init=/{PROGRAMS}/init.sh {root}")
    }
}
