// SPDX-License-Identifier: GPL-2.0

//! Text for user space, in whole lines.

use kernel::{
    fmt::{
        self,
        Write, //
    },
    prelude::*,
    str::Formatter, //
};

/// Lines in a buffer, which is a page for a file in configfs.
///
/// From the first line on that does not fit, nothing is added: what user space reads ends with a
/// whole line.
pub(crate) struct Lines<'a> {
    buffer: &'a mut [u8],
    len_bytes: usize,
    full: bool,
}

impl<'a> Lines<'a> {
    /// Begins with no line.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer,
            len_bytes: 0,
            full: false,
        }
    }

    /// Adds `line`, which must end with a newline, if there is room.
    pub(crate) fn push(&mut self, line: fmt::Arguments<'_>) -> Result {
        let room = self.buffer.get_mut(self.len_bytes..).ok_or(EINVAL)?;
        let mut formatter = Formatter::new(room);

        if !self.full && formatter.write_fmt(line).is_ok() {
            self.len_bytes += formatter.bytes_written();
        } else {
            self.full = true;
        }
        Ok(())
    }

    /// Returns how many bytes of the buffer hold lines.
    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_lines)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_with_a_whole_line() -> Result {
        let mut buffer = [0; 10];
        let mut lines = Lines::new(&mut buffer);

        for name in ["USR", "PYTHON3", "PY"] {
            lines.push(fmt!("{name}\n"))?;
        }
        assert_eq!(lines.len_bytes(), 4);
        assert_eq!(buffer.get(..4), Some(b"USR\n".as_slice()));
        Ok(())
    }

    #[test]
    fn a_buffer_can_be_filled_to_the_last_byte() -> Result {
        let mut buffer = [0; 8];
        let mut lines = Lines::new(&mut buffer);

        for name in ["USR", "BIN", "X"] {
            lines.push(fmt!("{name}\n"))?;
        }
        assert_eq!(lines.len_bytes(), 8);
        assert_eq!(&buffer, b"USR\nBIN\n");
        Ok(())
    }
}
