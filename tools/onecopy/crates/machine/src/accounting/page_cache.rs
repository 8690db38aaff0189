// SPDX-License-Identifier: GPL-2.0

//! How much of a file is in the host's page cache.
//!
//! The kernel answers this by `cachestat(2)` and `mincore(2)`, which have no safe wrapper in the
//! libraries that we use, so fincore(1) of util-linux is asked.

use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// The cached part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Residency {
    /// Bytes in the page cache, whole pages.
    #[serde(rename = "res")]
    pub resident_bytes: u64,
    /// Size of the file in bytes.
    #[serde(rename = "size")]
    pub size_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    fincore: Vec<Residency>,
}

impl Residency {
    /// Asks for one file.
    ///
    /// # Errors
    ///
    /// When fincore(1) is missing or cannot read the file; what it said is in the error.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let output = Command::new("fincore")
            .args(["--bytes", "--json", "--output", "RES,SIZE", "--"])
            .arg(path)
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("fincore: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(said));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)?;
        answer
            .fincore
            .into_iter()
            .next()
            .ok_or_else(|| io::Error::other("fincore said nothing"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_just_written_is_resident() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[1; 8192]).unwrap();
        let residency = Residency::of_file(file.path()).unwrap();
        assert_eq!(
            residency,
            Residency {
                resident_bytes: 8192,
                size_bytes: 8192
            }
        );
    }

    #[test]
    fn a_missing_file_is_an_error_with_the_tools_words() {
        let error = Residency::of_file(Path::new("/nonexistent/file")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/file"), "{error}");
    }
}
