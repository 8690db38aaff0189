// SPDX-License-Identifier: GPL-2.0

//! Disks on the command line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use onecopy_machine::Disk;

/// What says, behind the name of the file, that the guest may not write.
const READ_ONLY: &str = ",readonly";

/// A disk: `FILE` or `FILE,readonly`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskArg(pub(crate) Disk);

impl FromStr for DiskArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let file = text.strip_suffix(READ_ONLY);
        Ok(Self(Disk {
            path: PathBuf::from(file.unwrap_or(text)),
            read_only: file.is_some(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_name_is_not_the_file() {
        let disk = |text: &str| {
            let DiskArg(disk) = text.parse().unwrap();
            (disk.path.to_str().unwrap().to_owned(), disk.read_only)
        };
        assert_eq!(disk("/d/a.img"), ("/d/a.img".to_owned(), false));
        assert_eq!(disk("a,b,readonly"), ("a,b".to_owned(), true));
        assert_eq!(disk(",readonly,c"), (",readonly,c".to_owned(), false));
    }
}
