// SPDX-License-Identifier: GPL-2.0

//! The digest of a part of the root, computed on the host in the way that the guests' job has.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use onecopy_boot::space::hexadecimal;
use sha2::Digest;
use sha2::Sha256;

/// How much is read at a time.
const BUFFER_BYTES: usize = 1 << 20;

/// What a job says about the files that it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeDigest {
    /// Number of files.
    pub(crate) files: u64,
    /// Their size in bytes.
    pub(crate) bytes: u64,
    /// SHA-256 over names and digests, in hexadecimal.
    pub(crate) sha256: String,
}

/// Digests the regular files below `directories` of `root`: for each one its name relative to
/// the root, a NUL and the SHA-256 of its content, sorted by name within a directory of the list.
pub(crate) fn digest(root: &Path, directories: &[String]) -> Result<TreeDigest> {
    let mut tree = Sha256::new();
    let (mut count, mut total_bytes) = (0, 0);
    for directory in directories {
        let mut files = Vec::new();
        collect(&root.join(directory), &mut files)?;
        files.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        for path in files {
            let (content, bytes) = File::open(&path)
                .and_then(digest_of)
                .with_context(|| format!("cannot read {}", path.display()))?;
            tree.update(path.strip_prefix(root)?.as_os_str().as_bytes());
            tree.update([0]);
            tree.update(content);
            total_bytes += bytes;
            count += 1;
        }
    }
    Ok(TreeDigest {
        files: count,
        bytes: total_bytes,
        sha256: hexadecimal(&tree.finalize()),
    })
}

/// Collects the regular files below a directory.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Digests everything that a reader gives; returns the digest and the number of bytes.
pub(crate) fn digest_of(mut reader: impl Read) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher.finalize().into(), bytes));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_count_and_links_do_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/z"), "12").unwrap();
        fs::write(root.path().join("a/c"), "345").unwrap();
        std::os::unix::fs::symlink("c", root.path().join("a/d")).unwrap();
        let directories = ["a".to_owned()];
        let before = digest(root.path(), &directories).unwrap();
        assert_eq!((before.files, before.bytes), (2, 5));

        let mut expected = Sha256::new();
        for (name, content) in [("a/b/z", "12"), ("a/c", "345")] {
            expected.update(name);
            expected.update([0]);
            expected.update(Sha256::digest(content));
        }
        assert_eq!(before.sha256, hexadecimal(&expected.finalize()));

        fs::write(root.path().join("a/c"), "346").unwrap();
        assert_ne!(digest(root.path(), &directories).unwrap(), before);
    }
}
