// SPDX-License-Identifier: GPL-2.0

//! What a long operation tells its caller as it goes on.

use onecopy_format::segment_space::Name;

/// A part of a long operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// mkfs.erofs makes an image; its progress is not known.
    Building,
    /// An image is copied into the segment space.
    Copying,
    /// The digest of a member is computed.
    Hashing,
    /// The segment space is written to disk and gets its name.
    Publishing,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The part that is going on.
    pub stage: Stage,
    /// The member that it is about.
    pub member: Option<Name>,
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do; 0 when that is not known.
    pub total_bytes: u64,
}

/// Receives the progress of one part, with the part itself filled in.
pub(crate) struct Meter<'a> {
    report: &'a mut dyn FnMut(Progress),
    progress: Progress,
}

impl<'a> Meter<'a> {
    /// Announces a part of `total_bytes`.
    pub(crate) fn start(
        report: &'a mut dyn FnMut(Progress),
        stage: Stage,
        member: Option<Name>,
        total_bytes: u64,
    ) -> Self {
        let progress = Progress {
            stage,
            member,
            done_bytes: 0,
            total_bytes,
        };
        report(progress);
        Self { report, progress }
    }

    /// Counts bytes as done.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.progress.done_bytes += bytes;
        (self.report)(self.progress);
    }
}
