// SPDX-License-Identifier: GPL-2.0

//! Files below `/proc/sys`.
//!
//! A driver implements [`Value`] for what a file shows and stores, and registers its [`File`]s as a
//! [`Table`], which it keeps for as long as they shall exist.
//!
//! Out of scope are `poll()`, permanently empty directories, and tables of a namespace.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)

use crate::{
    bindings,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};
use core::ptr::NonNull;

mod handler;

/// The length in bytes of the longest text that can be stored.
pub const MAX_TEXT_BYTES: usize = PAGE_SIZE - 1;

/// What a file shows and stores.
///
/// # Context
///
/// Both functions are called in the thread that reads or writes the file, possibly by several at a
/// time. They may sleep. They must not drop the [`Table`] that the file belongs to.
pub trait Value: Send + Sync {
    /// Writes the value to `to`, without a newline at its end; the reader gets one.
    ///
    /// The reader sees an error only if all that was written before fits into its buffer.
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result;

    /// Takes a new value. White space around `text` is removed already.
    fn store(&self, text: &str) -> Result;
}

/// A file.
pub struct File {
    name: &'static CStr,
    mode: u16,
    value: Arc<dyn Value>,
}

impl File {
    /// Describes a file `name` that may be read and written as the bits of `mode` say, for instance
    /// `0o644`.
    pub fn new(name: &'static CStr, mode: u16, value: Arc<dyn Value>) -> Self {
        Self { name, mode, value }
    }

    /// Fails if the kernel would not accept the file.
    fn check(&self) -> Result {
        let name = self.name.to_bytes();

        if name.is_empty() || name.contains(&b'/') || self.mode & !0o666 != 0 {
            return Err(EINVAL);
        }
        Ok(())
    }

    fn to_raw(&self) -> bindings::ctl_table {
        bindings::ctl_table {
            procname: self.name.as_char_ptr(),
            data: (&raw const *self).cast_mut().cast(),
            mode: self.mode,
            proc_handler: Some(handler::handle),
            ..pin_init::zeroed()
        }
    }
}

/// Files that are registered, until the table is dropped.
///
/// Dropping it sleeps, until reads and writes that are running return. Afterwards there are none,
/// also from those who still have a file open.
///
/// # How the files behave
///
/// As numbers below `/proc/sys` do:
///
/// - One read returns the value and a newline, or what fits of it; a read at another place than the
///   start of the file is at its end.
/// - One write is one value. It ends at the first NUL byte, if there is one. A text which is not
///   UTF-8, or longer than [`MAX_TEXT_BYTES`], fails with [`EINVAL`]. A write at another place than
///   the start of the file has no effect.
///
/// # Examples
///
/// ```
/// use kernel::{
///     fmt,
///     prelude::*,
///     sync::{
///         atomic::{Atomic, Relaxed},
///         Arc,
///     },
///     sysctl::{File, Table, Value},
/// };
///
/// struct Limit(Atomic<u32>);
///
/// impl Value for Limit {
///     fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
///         write!(to, "{}", self.0.load(Relaxed))?;
///         Ok(())
///     }
///
///     fn store(&self, text: &str) -> Result {
///         let limit = text.parse().map_err(|_| EINVAL)?;
///
///         self.0.store(limit, Relaxed);
///         Ok(())
///     }
/// }
///
/// let limit = Arc::new(Limit(Atomic::new(5)), GFP_KERNEL)?;
/// let mut files = KVec::new();
/// files.push(File::new(c"limit", 0o644, limit), GFP_KERNEL)?;
///
/// // /proc/sys/kernel/rust_doctest/limit
/// let table = Table::register(c"kernel/rust_doctest", files)?;
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `header` is the registration of `entries`, whose `data` point to the elements of `files`.
/// Neither vector changes.
pub struct Table {
    header: NonNull<bindings::ctl_table_header>,
    _entries: KVec<bindings::ctl_table>,
    _files: KVec<File>,
}

// SAFETY: Tables have no thread, and the values can be sent and shared.
unsafe impl Send for Table {}

// SAFETY: A shared reference is of no use.
unsafe impl Sync for Table {}

impl Table {
    /// Creates `files` in the directory `path`, which is relative to `/proc/sys` and made if it is
    /// not there.
    ///
    /// Other tables may have files in the same directory, but none of the same name: the kernel
    /// refuses the table then, and (as of Linux 7.3) loses the other files in the directory from
    /// sight. Drivers for which there can be several devices have to register one table in all, or
    /// to name the files after the device.
    ///
    /// May sleep.
    ///
    /// # Errors
    ///
    /// - [`EINVAL`]: there is no file; or a name is empty, has a `/`, or is there twice; or a mode
    ///   has other bits than those for reading and writing.
    /// - [`ENOMEM`]: there is no memory, or the kernel refused the table; it says why in its log.
    pub fn register(path: &'static CStr, files: KVec<File>) -> Result<Self> {
        let mut entries = KVec::with_capacity(files.len(), GFP_KERNEL)?;

        for (i, file) in files.iter().enumerate() {
            file.check()?;
            if files[..i].iter().any(|other| other.name == file.name) {
                return Err(EINVAL);
            }
            entries.push(file.to_raw(), GFP_KERNEL)?;
        }
        if entries.is_empty() {
            return Err(EINVAL);
        }

        // SAFETY:
        // - `path` is a string, which is only used during the call.
        // - There are this many `entries`, with names that live for ever. They and the `files` that
        //   they point to are in allocations which the table owns until it is unregistered.
        let header = unsafe {
            bindings::register_sysctl_sz(path.as_char_ptr(), entries.as_ptr(), entries.len())
        };

        // INVARIANT: The entries were just registered; moving the vectors does not move them.
        Ok(Self {
            header: NonNull::new(header).ok_or(ENOMEM)?,
            _entries: entries,
            _files: files,
        })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the header is registered. This waits for callbacks that
        // are running; then nothing refers to the entries and the files, which are dropped next.
        unsafe { bindings::unregister_sysctl_table(self.header.as_ptr()) };
    }
}

#[cfg(CONFIG_RUST_SYSCTL_KUNIT_TEST)]
#[macros::kunit_tests(rust_sysctl)]
mod tests {
    use super::*;

    /// Shows and stores nothing.
    struct Nothing;

    impl Value for Nothing {
        fn show(&self, _to: &mut fmt::Formatter<'_>) -> Result {
            Ok(())
        }

        fn store(&self, _text: &str) -> Result {
            Ok(())
        }
    }

    #[test]
    fn files_that_cannot_be_are_refused() -> Result {
        let value = Arc::new(Nothing, GFP_KERNEL)?;
        let register = |described: &[(&'static CStr, u16)]| -> Result<Table> {
            let mut files = KVec::new();

            for &(name, mode) in described {
                files.push(File::new(name, mode, value.clone()), GFP_KERNEL)?;
            }
            Table::register(c"kernel/rust_kunit", files)
        };

        for described in [
            &[][..],
            &[(c"", 0o644)],
            &[(c"a/b", 0o644)],
            &[(c"a", 0o755)],
            &[(c"a", 0o644), (c"b", 0o444), (c"a", 0o644)],
        ] {
            assert_eq!(register(described).err(), Some(EINVAL));
        }
        register(&[(c"a", 0o644), (c"b", 0o444)])?;
        register(&[(c"b", 0o644)])?;
        Ok(())
    }

    #[test]
    fn a_dropped_table_releases_its_values() -> Result {
        let value = Arc::new(Nothing, GFP_KERNEL)?;
        let mut files = KVec::new();
        files.push(File::new(c"a", 0o644, value.clone()), GFP_KERNEL)?;

        drop(Table::register(c"kernel/rust_kunit", files)?);
        assert!(Arc::into_unique_or_drop(value).is_some());
        Ok(())
    }
}
