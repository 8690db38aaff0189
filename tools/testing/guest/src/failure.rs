// SPDX-License-Identifier: GPL-2.0

//! Why a command failed.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// The result of a command that did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kernel's errno; 0 if the command failed before or after the system call.
    pub errno: i32,
    /// The name of the errno, such as `ENOENT`; `-` if there is none.
    pub name: String,
    /// What was being done.
    pub context: String,
}

impl Failure {
    /// Makes a failure that no system call has caused.
    pub fn other(context: impl Into<String>) -> Self {
        Self {
            errno: 0,
            name: "-".to_owned(),
            context: context.into(),
        }
    }

    /// Says what was being done, in front of what is known already.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.context = format!("{doing}: {}", self.context);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.errno, self.name, self.context)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::from(io::Error::from(errno))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        Self {
            errno,
            name: name(errno),
            context: error.to_string(),
        }
    }
}

/// Returns the name of an errno; its number if it is none that drivers and file systems return.
fn name(errno: i32) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("E{errno}"), |(_, name)| (*name).to_owned())
}

/// From `include/uapi/asm-generic/errno-base.h` and `errno.h` of the kernel.
const NAMES: [(i32, &str); 35] = [
    (0, "-"),
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (15, "ENOTBLK"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (33, "EDOM"),
    (34, "ERANGE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (61, "ENODATA"),
    (75, "EOVERFLOW"),
    (95, "EOPNOTSUPP"),
    (110, "ETIMEDOUT"),
    (117, "EUCLEAN"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_and_name_are_those_of_the_kernel() {
        let failure = Failure::from(Errno::NAMETOOLONG);
        assert_eq!((failure.errno, failure.name.as_str()), (36, "ENAMETOOLONG"));
        assert_eq!(Failure::from(Errno::from_raw_os_error(131)).name, "E131");
    }

    #[test]
    fn context_is_put_in_front() {
        let failure = Failure::other("too short").context("read x");
        assert_eq!(failure.to_string(), "0 - read x: too short");
    }
}
