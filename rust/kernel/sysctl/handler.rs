// SPDX-License-Identifier: GPL-2.0

//! What the kernel calls when a file below `/proc/sys` is read or written.

use super::{
    File,
    Value,
    MAX_TEXT_BYTES, //
};
use crate::{
    bindings,
    error::from_result,
    fmt,
    prelude::*,
    str::Formatter, //
};
use core::{
    cell::Cell,
    fmt::{
        Display,
        Write, //
    },
    slice,
    str, //
};

/// The handler of all files.
///
/// # Safety
///
/// - The `data` of `entry` must point to a [`File`] that is not dropped during the call.
/// - `buf` must be valid for reads and writes of `*len` bytes, which must be initialized, and
///   exclusively ours.
/// - `len` and `pos` must be valid for reads and writes.
pub(super) unsafe extern "C" fn handle(
    entry: *const bindings::ctl_table,
    dir: c_int,
    buf: *mut c_void,
    len: *mut usize,
    pos: *mut bindings::loff_t,
) -> c_int {
    // SAFETY: By the safety requirements.
    let (file, len, pos) = unsafe { (&*(*entry).data.cast::<File>(), &mut *len, &mut *pos) };
    // SAFETY: By the safety requirements.
    let buf = unsafe { slice::from_raw_parts_mut(buf.cast::<u8>(), *len) };
    let value = &*file.value;

    from_result(|| {
        if *len == 0 {
            return Ok(0);
        }
        if dir == 0 {
            *len = read(value, buf, *pos)?;
        } else if *pos == 0 {
            write(value, buf)?;
        }
        // CAST: The length of an allocation fits.
        *pos = pos.saturating_add(*len as bindings::loff_t);
        Ok(0)
    })
}

/// Shows `value` and a newline in `buf`, and returns the length.
fn read(value: &dyn Value, buf: &mut [u8], pos: bindings::loff_t) -> Result<usize> {
    if pos != 0 {
        return Ok(0);
    }

    let shown = Shown {
        value,
        error: Cell::new(None),
    };
    let mut to = Formatter::new(buf);
    let result = to.write_fmt(format_args!("{shown}\n"));

    // If the buffer is too small, it has been filled, and the error is none of the value's.
    if to.bytes_written() > buf.len() {
        return Ok(buf.len());
    }
    let len_bytes = to.bytes_written();
    result.map_err(|err| shown.error.take().unwrap_or(err.into()))?;
    Ok(len_bytes)
}

/// Stores the text in `buf`.
fn write(value: &dyn Value, buf: &[u8]) -> Result {
    let text = buf.split(|&byte| byte == 0).next().unwrap_or(buf);

    if text.len() > MAX_TEXT_BYTES {
        return Err(EINVAL);
    }
    value.store(str::from_utf8(text).map_err(|_| EINVAL)?.trim())
}

/// Formats a value, and keeps the error that [`fmt::Error`] has no room for.
struct Shown<'a> {
    value: &'a dyn Value,
    error: Cell<Option<Error>>,
}

impl Display for Shown<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.show(to).map_err(|err| {
            self.error.set(Some(err));
            fmt::Error
        })
    }
}

#[cfg(CONFIG_RUST_SYSCTL_KUNIT_TEST)]
#[macros::kunit_tests(rust_sysctl_handler)]
mod tests {
    use super::*;
    use crate::{
        error::to_result,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc, //
        },
    };

    /// A number that cannot be shown from a million on.
    struct Number(Atomic<u32>);

    impl Value for Number {
        fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
            match self.0.load(Relaxed) {
                1_000_000.. => Err(ERANGE),
                number => Ok(write!(to, "{number}")?),
            }
        }

        fn store(&self, text: &str) -> Result {
            self.0.store(text.parse().map_err(|_| EINVAL)?, Relaxed);
            Ok(())
        }
    }

    /// Calls the handler as the file system does, and returns the length and the position.
    fn call(value: &Arc<Number>, dir: c_int, buf: &mut [u8], pos: i64) -> Result<(usize, i64)> {
        let file = File::new(c"number", 0o644, value.clone());
        let (mut len, mut pos) = (buf.len(), pos);

        // SAFETY: The entry points to `file`, and the other pointers are those of variables.
        let ret = unsafe {
            handle(
                &file.to_raw(),
                dir,
                buf.as_mut_ptr().cast(),
                &mut len,
                &mut pos,
            )
        };
        to_result(ret)?;
        Ok((len, pos))
    }

    fn number(number: u32) -> Result<Arc<Number>> {
        Ok(Arc::new(Number(Atomic::new(number)), GFP_KERNEL)?)
    }

    #[test]
    fn a_read_returns_the_value_and_a_newline() -> Result {
        let value = number(4711)?;
        let mut buf = [b'x'; 8];

        assert_eq!(call(&value, 0, &mut buf, 0)?, (5, 5));
        assert_eq!(&buf, b"4711\nxxx");
        Ok(())
    }

    #[test]
    fn the_second_read_is_at_the_end() -> Result {
        let mut buf = [b'x'; 8];

        assert_eq!(call(&number(4711)?, 0, &mut buf, 5)?, (0, 5));
        assert_eq!(&buf, b"xxxxxxxx");
        Ok(())
    }

    #[test]
    fn a_short_buffer_is_filled() -> Result {
        let value = number(4711)?;

        for (len, text) in [(0, "".as_bytes()), (3, b"471"), (4, b"4711")] {
            let mut buf = [b'x'; 8];

            assert_eq!(call(&value, 0, &mut buf[..len], 0)?, (len, len as i64));
            assert_eq!(&buf[..len], text);
            assert_eq!(buf[len], b'x');
        }
        Ok(())
    }

    #[test]
    fn errors_of_the_value_reach_the_reader() -> Result {
        let value = number(1_000_000)?;

        assert_eq!(call(&value, 0, &mut [0; 8], 0), Err(ERANGE));
        Ok(())
    }

    #[test]
    fn white_space_around_a_text_is_not_stored() -> Result {
        for text in ["42", "42\n", " 42 \t\n", "42\0garbage", "42\n\0"] {
            let value = number(0)?;
            let mut buf = [0; 16];
            let buf = &mut buf[..text.len()];
            buf.copy_from_slice(text.as_bytes());

            let len = text.len();
            assert_eq!(call(&value, 1, buf, 0)?, (len, len as i64));
            assert_eq!(value.0.load(Relaxed), 42);
        }
        Ok(())
    }

    #[test]
    fn what_is_no_value_is_refused() -> Result {
        let value = number(7)?;
        let mut long = KVec::from_elem(b' ', MAX_TEXT_BYTES + 1, GFP_KERNEL)?;
        long[0] = b'1';

        assert_eq!(call(&value, 1, &mut long, 0), Err(EINVAL));
        assert_eq!(call(&value, 1, &mut [b'1', 0xff], 0), Err(EINVAL));
        assert_eq!(call(&value, 1, &mut [b'-', b'1'], 0), Err(EINVAL));
        assert_eq!(value.0.load(Relaxed), 7);

        assert_eq!(
            call(&value, 1, &mut long[..MAX_TEXT_BYTES], 0)?.0,
            MAX_TEXT_BYTES
        );
        assert_eq!(value.0.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn a_write_in_the_middle_or_of_nothing_has_no_effect() -> Result {
        let value = number(7)?;

        assert_eq!(call(&value, 1, &mut [], 0)?, (0, 0));
        assert_eq!(call(&value, 1, &mut [b'1'; 2], 3)?, (2, 5));
        assert_eq!(value.0.load(Relaxed), 7);
        Ok(())
    }
}
