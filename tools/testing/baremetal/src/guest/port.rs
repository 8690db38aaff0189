// SPDX-License-Identifier: GPL-2.0

//! Input and output ports, and the port that ends the guest.

use core::arch::asm;

/// QEMU's `isa-debug-exit`.
const EXIT: u16 = 0xf4;

/// Writes a byte to a port.
pub(crate) fn write_u8(port: u16, value: u8) {
    // SAFETY: Devices behind the ports that this guest uses do not write to its memory.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
    }
}

/// Reads a byte from a port.
pub(crate) fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: As in `write_u8`.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Writes 32 bits to a port.
pub(crate) fn write_u32(port: u16, value: u32) {
    // SAFETY: As in `write_u8`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags));
    }
}

/// Reads 32 bits from a port.
pub(crate) fn read_u32(port: u16) -> u32 {
    let value;
    // SAFETY: As in `write_u8`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags));
    }
    value
}

/// Ends the guest. QEMU exits with `2 * code + 1`, or the guest sleeps for ever without the device.
pub(crate) fn exit(code: u8) -> ! {
    write_u8(EXIT, code);
    loop {
        // SAFETY: Stops the processor until an interrupt, and interrupts are off.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}
