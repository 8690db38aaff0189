// SPDX-License-Identifier: GPL-2.0

//! Archives that the kernel unpacks as its first root file system.
//!
//! The format is "newc" of cpio, see `Documentation/driver-api/early-userspace/buffer-format.rst`
//! of the kernel: per file a header of hexadecimal numbers, the name, the content; the latter two
//! padded to four bytes.

/// Type and permission bits of `st_mode`.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

/// What a header says besides the name.
#[derive(Default)]
struct Entry<'a> {
    mode: u32,
    content: &'a [u8],
    device: (u32, u32),
}

impl Archive {
    /// Adds a directory. Its parent has to be there already.
    pub fn directory(&mut self, path: &str) {
        self.add(
            path,
            &Entry {
                mode: DIRECTORY,
                ..Entry::default()
            },
        );
    }

    /// Adds a file that can be executed.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.add(
            path,
            &Entry {
                mode: PROGRAM,
                content,
                ..Entry::default()
            },
        );
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        let device = (major, minor);
        self.add(
            path,
            &Entry {
                mode: CHARACTER_DEVICE,
                device,
                ..Entry::default()
            },
        );
    }

    /// Ends the archive and returns it.
    pub fn finish(mut self) -> Vec<u8> {
        self.add(TRAILER, &Entry::default());
        self.bytes
    }

    fn add(&mut self, path: &str, entry: &Entry<'_>) {
        self.entries += 1;
        let name = path.trim_start_matches('/');
        let len = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (inode, links, owner, checksum) = (self.entries, 1, 0, 0);
        let fields = [
            inode,
            entry.mode,
            owner,
            owner,
            links,
            0,
            len(entry.content.len()),
            0,
            0,
            entry.device.0,
            entry.device.1,
            len(name.len() + 1),
            checksum,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(entry.content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn parts_are_padded_to_four_bytes() {
        let mut archive = Archive::default();
        archive.program("/init", b"abcde");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[54..62], b"00000005", "size of the content");
        assert_eq!(&bytes[110..116], b"init\0\0");
        assert_eq!(&bytes[116..124], b"abcde\0\0\0");
    }

    #[test]
    fn cpio_lists_what_was_added() {
        let mut archive = Archive::default();
        archive.directory("/dev");
        archive.character_device("/dev/console", 5, 1);
        archive.program("/init", b"x");
        let Ok(mut cpio) = Command::new("cpio")
            .args(["--list", "--quiet", "--verbose", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            eprintln!("skipped: cpio(1) is not installed");
            return;
        };
        cpio.stdin
            .take()
            .unwrap()
            .write_all(&archive.finish())
            .unwrap();
        let output = cpio.wait_with_output().unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = list.lines().collect();
        assert!(output.status.success() && lines.len() == 3, "{list}");
        assert!(
            lines[0].starts_with("drwxr-xr-x") && lines[0].ends_with(" dev"),
            "{list}"
        );
        assert!(
            lines[1].starts_with("crw-------") && lines[1].contains("5,   1"),
            "{list}"
        );
        assert!(
            lines[2].starts_with("-rwxr-xr-x") && lines[2].ends_with(" init"),
            "{list}"
        );
    }
}
