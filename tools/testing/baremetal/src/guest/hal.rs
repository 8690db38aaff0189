// SPDX-License-Identifier: GPL-2.0

//! Memory as the virtio-drivers crate wants it: here every address is its own physical address.

use alloc::alloc::alloc_zeroed;
use alloc::alloc::dealloc;
use core::alloc::Layout;
use core::ptr::NonNull;

use virtio_drivers::BufferDirection;
use virtio_drivers::Hal;
use virtio_drivers::PhysAddr;
use virtio_drivers::PAGE_SIZE;

use crate::entry::to_usize;

/// The bare machine.
#[derive(Debug)]
pub(crate) struct Machine;

fn layout(pages: usize) -> Option<Layout> {
    let bytes = pages.checked_mul(PAGE_SIZE).filter(|bytes| *bytes > 0)?;
    Layout::from_size_align(bytes, PAGE_SIZE).ok()
}

// SAFETY: The heap gives zeroed memory, aligned to pages and used by nobody else. Memory and device
// registers are mapped one to one, so a pointer is a physical address and sharing needs nothing.
unsafe impl Hal for Machine {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: The layout is not empty.
        let memory = layout(pages).map(|layout| unsafe { alloc_zeroed(layout) });
        match memory.and_then(NonNull::new) {
            Some(memory) => (memory.as_ptr() as PhysAddr, memory),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        let Some(layout) = layout(pages) else {
            return -1;
        };
        // SAFETY: The caller says that `dma_alloc` returned this for as many pages.
        unsafe { dealloc(vaddr.as_ptr(), layout) };
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // The crate refuses BARs at address 0 before it calls this.
        NonNull::new(to_usize(paddr) as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
