// SPDX-License-Identifier: GPL-2.0

//! The system calls that have no safe form: mapping a file, and one `ioctl`.

#![expect(
    unsafe_code,
    reason = "a mapped file can change, and ioctl has any argument"
)]

use std::fs::File;
use std::io;

use memmap2::Mmap;
use memmap2::MmapMut;
use memmap2::MmapOptions;
use memmap2::UncheckedAdvice;
use rustix::ioctl::ioctl;
use rustix::ioctl::opcode;
use rustix::ioctl::Setter;

/// `BLKROSET` of `include/uapi/linux/fs.h`: makes a block device read-only or writable.
const BLKROSET: rustix::ioctl::Opcode = opcode::none(0x12, 93);

/// Maps a file read-only, so that its pages are those of all who map it.
pub(crate) fn map_shared(file: &File) -> io::Result<Mmap> {
    // SAFETY: The file is a test's own. Its pages are only summed up, so a change in between can do
    // no harm; an access behind the end of the file is a signal, which is what tests look for.
    unsafe { MmapOptions::new().map(file) }
}

/// Maps a file copy-on-write.
pub(crate) fn map_private(file: &File) -> io::Result<MmapMut> {
    // SAFETY: As in `map_shared`; pages that were written to are our own.
    unsafe { MmapOptions::new().map_copy(file) }
}

/// Maps a file for writing to it.
pub(crate) fn map_writable(file: &File) -> io::Result<MmapMut> {
    // SAFETY: As in `map_shared`.
    unsafe { MmapOptions::new().map_mut(file) }
}

/// Gives pages of an anonymous mapping back to the kernel; they read as zeroes afterwards.
pub(crate) fn forget(map: &mut MmapMut, offset_bytes: usize, len: usize) -> io::Result<()> {
    // SAFETY: The mapping is anonymous and borrowed exclusively, so that its contents may change.
    unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset_bytes, len) }
}

/// Sets or clears the read-only flag of a block device, as `blockdev --setro` and `--setrw` do.
pub(crate) fn set_read_only(device: &File, read_only: bool) -> rustix::io::Result<()> {
    // SAFETY: `BLKROSET` reads an `int` at the address it is given and has no other effect on the
    // process.
    unsafe { ioctl(device, Setter::<BLKROSET, i32>::new(i32::from(read_only))) }
}
