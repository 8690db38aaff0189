// SPDX-License-Identifier: GPL-2.0

//! A second kernel for tests, without building one.
//!
//! It is a copy of the first one's vmlinux in which only the build-id is another one. The two
//! execute the same instructions, but everybody takes them for two builds: the note is what the
//! tools, the saved system and the guest itself know a kernel by. So these tests show which saved
//! image a guest executes from, not that two different kernels work.

use std::fs;
use std::path::Path;

use onecopy_system::kernel::Kernel;

use crate::saved::Host;

/// What a build-id is in a file behind: length of the name, of the build-id, type and name.
fn note(id: &[u8]) -> Vec<u8> {
    let mut note = vec![4, 0, 0, 0, id.len().try_into().unwrap(), 0, 0, 0];
    note.extend([3, 0, 0, 0]);
    note.extend(b"GNU\0");
    note.extend(id);
    note
}

/// Returns the bytes of a build-id in hexadecimal.
fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Returns the note with a build-id in hexadecimal, as the kernel shows it.
pub(crate) fn note_of(build_id: &str) -> Vec<u8> {
    note(&bytes(build_id))
}

/// Two kernels in files, and their build-ids.
pub(crate) struct TwoKernels {
    pub(crate) paths: [String; 2],
    pub(crate) build_ids: [String; 2],
}

impl TwoKernels {
    /// Makes the second kernel.
    pub(crate) fn new(host: &Host) -> Self {
        let first = &host.kernel;
        let first_id = Kernel::read(Path::new(first)).unwrap().build_id.unwrap();
        // Beside arch/x86/boot/bzImage.
        let vmlinux = Path::new(first).ancestors().nth(4).unwrap().join("vmlinux");
        let mut content = fs::read(&vmlinux).unwrap();
        let old = note_of(&first_id);
        let found: Vec<usize> = (0..content.len() - old.len())
            .step_by(4)
            .filter(|&at| content[at..].starts_with(&old))
            .collect();
        let [at] = found[..] else {
            panic!("{} has {} notes", vmlinux.display(), found.len());
        };
        for byte in &mut content[at..at + old.len()][16..] {
            *byte ^= 0xff;
        }
        let second = host.dir.file("vmlinux", content);
        let second_id = Kernel::read(&second).unwrap().build_id.unwrap();
        assert_ne!(first_id, second_id);
        Self {
            paths: [first.clone(), second.to_str().unwrap().to_owned()],
            build_ids: [first_id, second_id],
        }
    }

    /// Saves the first ones of them as K1 and K2. There is time for that on a busy machine too.
    pub(crate) fn save(&self, host: &Host, count: usize) {
        for (name, kernel) in ["K1", "K2"].iter().zip(&self.paths).take(count) {
            let files = ["--kernel", kernel, "--initrd", host.initrd.as_str()];
            let more = ["--memory", "256M", "--accel", "tcg", "--timeout", "300"];
            host.dir
                .ok(&[&["savesys", name][..], &files, &more].concat());
        }
    }
}
