// SPDX-License-Identifier: GPL-2.0

//! The first serial line, for output.

use core::fmt;
use core::hint;

use crate::port;

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const INTERRUPTS: u16 = BASE + 1;
const FIFO: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const LINE_STATUS: u16 = BASE + 5;
/// The line can take a byte.
const READY: u8 = 0x20;
/// How often the line is asked whether it can take a byte before the byte is written anyway.
const MAX_POLLS: u32 = 100_000;

/// The serial line, for `write!`. Bytes that it does not take in time may be lost.
#[derive(Debug)]
pub(crate) struct Serial;

impl Serial {
    /// Sets up 8 bits, no parity, queues on, no interrupts. The speed means nothing to QEMU.
    pub(crate) fn init() {
        port::write_u8(INTERRUPTS, 0);
        port::write_u8(LINE_CONTROL, 0x03);
        port::write_u8(FIFO, 0x01);
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            for _ in 0..MAX_POLLS {
                if port::read_u8(LINE_STATUS) & READY != 0 {
                    break;
                }
                hint::spin_loop();
            }
            port::write_u8(DATA, byte);
        }
        Ok(())
    }
}

/// Writes a line to the serial line.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {{
        // Writing to the line does not fail.
        let _ = core::fmt::Write::write_fmt(
            &mut $crate::serial::Serial,
            format_args!("{}\n", format_args!($($argument)*)),
        );
    }};
}
