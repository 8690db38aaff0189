// SPDX-License-Identifier: GPL-2.0

//! Memory for the program itself, apart from the memory that it gives back.

use core::cell::UnsafeCell;

use buddy_system_allocator::LockedHeap;

/// Queues, tables of descriptors, page numbers: a batch of the inflate queue needs most.
const HEAP_BYTES: usize = 1 << 20;
/// Number of block sizes; the largest is the whole heap.
const ORDERS: usize = 21;

#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; HEAP_BYTES]>);

// SAFETY: Only `init` touches it, and there is one processor.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; HEAP_BYTES]));

#[global_allocator]
static HEAP: LockedHeap<ORDERS> = LockedHeap::empty();

/// Makes the heap usable. To be called once, before anything else.
pub(crate) fn init() {
    // SAFETY: The arena is used for nothing else.
    unsafe { HEAP.lock().init(ARENA.0.get() as usize, HEAP_BYTES) };
}
