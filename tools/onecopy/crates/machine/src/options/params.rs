// SPDX-License-Identifier: GPL-2.0

//! The value of one QEMU switch: `first,key=value,key=value`.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;

/// Collects `key=value` pairs and doubles the commas in values, as QEMU's option parser asks.
///
/// Paths are bytes, so the result is an [`OsString`]: a path that is not UTF-8 arrives unchanged.
#[derive(Debug, Clone, Default)]
pub struct Params {
    bytes: Vec<u8>,
}

impl Params {
    /// Starts with the word that QEMU expects first, for example the device or the driver.
    pub fn new(first: &str) -> Self {
        let mut params = Self::default();
        params.append_quoted(OsStr::new(first));
        params
    }

    /// Adds `key=value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        if !self.bytes.is_empty() {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(b'=');
        self.append_quoted(value.as_ref());
        self
    }

    /// Adds `key=value` when there is a value.
    #[must_use]
    pub fn with_option(self, key: &str, value: Option<impl AsRef<OsStr>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `key=on` or `key=off`.
    #[must_use]
    pub fn with_switch(self, key: &str, on: bool) -> Self {
        self.with(key, if on { "on" } else { "off" })
    }

    /// Adds `key=<number>`.
    #[must_use]
    pub fn with_number(self, key: &str, value: u64) -> Self {
        self.with(key, value.to_string())
    }

    fn append_quoted(&mut self, value: &OsStr) {
        for &byte in value.as_bytes() {
            if byte == b',' {
                self.bytes.push(b',');
            }
            self.bytes.push(byte);
        }
    }
}

impl From<Params> for OsString {
    fn from(params: Params) -> Self {
        OsString::from_vec(params.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_values_are_doubled() {
        let value: OsString = Params::new("memory-backend-file")
            .with("mem-path", "/srv/a,b/c")
            .with_switch("share", true)
            .with_number("size", 4096)
            .into();
        assert_eq!(
            value,
            "memory-backend-file,mem-path=/srv/a,,b/c,share=on,size=4096"
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_kept() {
        let path = OsString::from_vec(vec![b'/', 0xff, b',']);
        let value: OsString = Params::default().with("path", &path).into();
        assert_eq!(value.into_vec(), b"path=/\xff,,");
    }

    #[test]
    fn absent_values_leave_no_trace() {
        let value: OsString = Params::new("x").with_option("y", None::<&str>).into();
        assert_eq!(value, "x");
    }
}
