// SPDX-License-Identifier: GPL-2.0

//! Why the guest gives up.

use alloc::string::String;
use core::fmt;

use onecopy_baremetal::contract::Features;
use onecopy_baremetal::pattern::Mismatch;
use onecopy_baremetal::pool::Piece;
use virtio_drivers::transport::pci::VirtioPciError;

/// Anything that can go wrong.
#[derive(Debug)]
pub(crate) enum Error {
    /// The machine told the guest something unusable.
    Boot(&'static str),
    /// The command line has a word that means nothing.
    Options(String),
    /// There is no virtio balloon on any bus.
    NoBalloon,
    /// The device cannot be used through PCI.
    Pci(VirtioPciError),
    /// A queue or the configuration cannot be used.
    Virtio(virtio_drivers::Error),
    /// The device did not accept these features.
    Features(Features),
    /// The device has no such queue.
    NoQueue(&'static str),
    /// Something took too long.
    Timeout(&'static str),
    /// Memory that the guest does not own was to be used.
    NotInPool(Piece),
    /// Memory is too small for what was asked.
    TooSmall(&'static str),
    /// Memory holds something that it should not.
    Mismatch(Mismatch),
    /// A check found something else than it should.
    Unexpected(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(what) => write!(f, "{what}"),
            Self::Options(what) | Self::Unexpected(what) => write!(f, "{what}"),
            Self::NoBalloon => write!(f, "there is no virtio balloon"),
            Self::Pci(why) => write!(f, "the balloon's PCI function: {why}"),
            Self::Virtio(why) => write!(f, "the balloon: {why}"),
            Self::Features(features) => write!(f, "the balloon refuses {features:?}"),
            Self::NoQueue(name) => write!(f, "the balloon has no {name} queue"),
            Self::Timeout(what) => write!(f, "{what} took too long"),
            Self::NotInPool(piece) => {
                let Piece { address, bytes } = piece;
                write!(f, "{bytes} bytes at {address:#x} are not in the pool")
            }
            Self::TooSmall(what) => write!(f, "memory is too small for {what}"),
            Self::Mismatch(mismatch) => write!(f, "{mismatch}"),
        }
    }
}

impl From<VirtioPciError> for Error {
    fn from(error: VirtioPciError) -> Self {
        Self::Pci(error)
    }
}

impl From<virtio_drivers::Error> for Error {
    fn from(error: virtio_drivers::Error) -> Self {
        Self::Virtio(error)
    }
}

impl From<Mismatch> for Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(mismatch)
    }
}
