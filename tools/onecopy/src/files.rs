// SPDX-License-Identifier: GPL-2.0

//! Files that others read while they are written.

use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Replaces a file in one step: others see the old content or the new one, and can read it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A hidden name, which the node exporter does not read.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    let readable = Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_others_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.prom");
        for content in ["old", "new"] {
            replace(&path, content.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(replace(Path::new("/nonexistent/a"), b"").is_err());
    }
}
