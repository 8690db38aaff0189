// SPDX-License-Identifier: GPL-2.0

//! How much of a file is in the host's page cache.
//!
//! The kernel answers this by `cachestat(2)` and `mincore(2)`, which have no safe wrapper in the
//! libraries that we use, so fincore(1) of util-linux is asked.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use onecopy_child::output_within;
use onecopy_child::DEADLINE;

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
        let answer = Self::of_files(&[path])?;
        let nothing = || io::Error::other("fincore said nothing");
        answer.first().copied().ok_or_else(nothing)
    }

    /// Asks for several files at once, and returns the answers in their order.
    ///
    /// # Errors
    ///
    /// When fincore(1) is missing or cannot read one of the files; what it said is in the error.
    pub fn of_files(paths: &[impl AsRef<OsStr>]) -> io::Result<Vec<Self>> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = Command::new("fincore");
        command
            .args(["--bytes", "--json", "--output", "RES,SIZE", "--"])
            .args(paths);
        let output = output_within(command, DEADLINE)
            .map_err(|error| io::Error::new(error.kind(), format!("fincore: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(said));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)?;
        if answer.fincore.len() != paths.len() {
            return Err(io::Error::other("fincore left out files"));
        }
        Ok(answer.fincore)
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
    fn several_files_are_answered_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [3_u64, 1, 2].map(|pages| {
            let path = directory.path().join(pages.to_string());
            std::fs::write(&path, vec![1; usize::try_from(pages * 4096).unwrap()]).unwrap();
            path
        });
        let answers = Residency::of_files(&paths).unwrap();
        let pages: Vec<_> = answers.iter().map(|file| file.size_bytes / 4096).collect();
        assert_eq!(pages, [3, 1, 2]);
        assert_eq!(Residency::of_files(&[""; 0]).unwrap(), []);
    }

    #[test]
    fn a_missing_file_is_an_error_with_the_tools_words() {
        let error = Residency::of_file(Path::new("/nonexistent/file")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/file"), "{error}");
    }
}
