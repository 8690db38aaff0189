// SPDX-License-Identifier: GPL-2.0

//! From the first instruction to [`crate::run`].

use alloc::string::ToString;
use core::arch::global_asm;
use core::ops::Range;
use core::panic::PanicInfo;
use core::slice;

use onecopy_baremetal::start_info;
use onecopy_baremetal::start_info::MemoryEntry;
use onecopy_baremetal::start_info::StartInfo;

use crate::error::Error;
use crate::heap;
use crate::port;
use crate::say;
use crate::serial::Serial;

global_asm!(include_str!("entry.s"));
global_asm!(include_str!("bytes.s"));

/// The longest command line that the guest reads, in bytes.
const COMMAND_LINE_BYTES: usize = 4096;

extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// What the machine told the guest.
#[derive(Debug)]
pub(crate) struct Boot {
    /// The command line.
    pub(crate) command_line: &'static str,
    /// The memory map.
    pub(crate) map: &'static [u8],
    /// Where the guest itself is.
    pub(crate) image: Range<u64>,
}

/// Called by `entry.s`, once.
#[no_mangle]
extern "C" fn guest_main(start_info_address: usize) -> ! {
    heap::init();
    Serial::init();
    // SAFETY: The address is what QEMU gave to the entry, and this is the only call.
    let result = unsafe { Boot::read(start_info_address) }.and_then(|boot| crate::run(&boot));
    match result {
        Ok(true) => port::exit(0),
        Ok(false) => port::exit(1),
        Err(error) => {
            say!("error: {error}");
            port::exit(1)
        }
    }
}

impl Boot {
    /// Reads what the machine left in memory.
    ///
    /// # Safety
    ///
    /// `address` is that of the structure which QEMU passed. What it points to lies below 1 MiB,
    /// which the pool leaves out, so that nobody writes there later.
    unsafe fn read(address: usize) -> Result<Self, Error> {
        // SAFETY: By the contract of the entry, a structure of this size is there.
        let bytes = unsafe { bytes_at(address, size_of::<StartInfo>()) };
        let info = StartInfo::parse(bytes).ok_or(Error::Boot("no hvm_start_info, version 1"))?;
        let map_bytes = info.map_entries as usize * size_of::<MemoryEntry>();
        // SAFETY: The structure says that the map is there.
        let map = unsafe { bytes_at(to_usize(info.map_address), map_bytes) };
        let line_address = to_usize(info.command_line_address);
        let command_line = if line_address == 0 {
            ""
        } else {
            // SAFETY: The line is there; what follows it is low memory as well, mapped and unused.
            let bytes = unsafe { bytes_at(line_address, COMMAND_LINE_BYTES) };
            let line = start_info::command_line(bytes);
            line.ok_or(Error::Boot("the command line has no end or is no UTF-8"))?
        };
        Ok(Self {
            command_line,
            map,
            image: address_of(&raw const image_start)..address_of(&raw const image_end),
        })
    }
}

/// Returns a part of memory.
///
/// # Safety
///
/// Nobody writes to it any more. All memory is mapped at its physical address.
unsafe fn bytes_at(address: usize, bytes: usize) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: The address is not null and mapped; the caller says that nobody writes.
    unsafe { slice::from_raw_parts(address as *const u8, bytes) }
}

/// Converts an address; the guest has 64-bit pointers.
pub(crate) fn to_usize(value: u64) -> usize {
    const { assert!(size_of::<usize>() == size_of::<u64>()) };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "asserted to be of one size"
    )]
    let value = value as usize;
    value
}

fn address_of(symbol: *const u8) -> u64 {
    symbol as u64
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // One line, as for every error.
    say!("error: {}", info.to_string().replace('\n', " "));
    port::exit(1)
}
