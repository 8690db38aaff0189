// SPDX-License-Identifier: GPL-2.0

//! What is known of a host.

use std::path::PathBuf;

use super::Filesystem;

/// What is known of a host. Where something could not be found out, it is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Path and version of QEMU, or why it cannot be used.
    pub qemu: Result<String, String>,
    /// KVM.
    pub kvm: Kvm,
    /// QEMU's sandbox.
    pub sandbox: Sandbox,
    /// The user that QEMU runs as.
    pub user: QemuUser,
    /// The word in brackets in `/sys/kernel/mm/transparent_hugepage/enabled`.
    pub transparent_hugepage: Option<String>,
    /// Memory that is set aside for huge pages that programs have to ask for.
    pub hugetlb_bytes: u64,
    /// `/sys/kernel/mm/ksm/run`.
    pub ksm_run: Option<u64>,
    /// `/proc/sys/vm/overcommit_memory`.
    pub overcommit_memory: Option<u64>,
    /// Whether the kernel says how much is waited for memory.
    pub has_pressure: bool,
    /// Why fincore(1) cannot be used.
    pub fincore: Result<(), String>,
    /// Why mkfs.erofs cannot be used.
    pub mkfs: Result<(), String>,
    /// How many files a process may open.
    pub max_open_files: Option<u64>,
    /// The store.
    pub store: Directory,
    /// The run directory.
    pub run: Directory,
}

/// KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// There is no `/dev/kvm`.
    Missing,
    /// We may not open it.
    Denied,
    /// A trial guest has run on it.
    Works,
    /// It has not, for this reason.
    Fails(String),
    /// Nothing could be tried without QEMU.
    Untried,
}

/// QEMU's filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// QEMU has it.
    Works,
    /// It was switched off.
    Off,
    /// QEMU does not take it, and says this.
    Fails(String),
    /// Nothing could be tried without QEMU.
    Untried,
}

/// The user that QEMU runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QemuUser {
    /// Our own, who is not root.
    Ours,
    /// Root.
    Root,
    /// This one, who can read the store.
    Other(String),
    /// This one, who cannot reach the store.
    Outside(String),
}

/// Why a directory cannot be relied upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// What is in it could be somebody else's.
    Others(String),
    /// We may not enter it.
    Closed(String),
}

/// A directory that we write to, or the nearest one above it that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path that was given.
    pub path: PathBuf,
    /// Whether it exists.
    pub exists: bool,
    /// Whether it, or what is above it, can be written to.
    pub is_writable: bool,
    /// Why what is in it could be somebody else's.
    pub guard: Result<(), Distrust>,
    /// Its file system.
    pub filesystem: Option<Filesystem>,
    /// Room for us.
    pub free_bytes: Option<u64>,
    /// Whether files without a name can be made there; nothing if it cannot be written to.
    pub has_nameless_files: Option<bool>,
    /// Whether blocks in the middle of a file can be given back.
    pub has_holes: Option<bool>,
}
