// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The example in the documentation is what the code writes.

use crate::sample::{
    name,
    MIB, //
};
use onecopy_format::segment_space::{
    encode,
    encoded_bytes,
    Member,
    SegmentType, //
};
use sha2::{
    Digest,
    Sha256, //
};
use std::fmt::Write;

const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../Documentation/filesystems/segment-space.rst"
);

/// The space that the documentation describes under "Example".
fn example() -> Vec<u8> {
    let extent = vec![0; 2 << 20];
    let member = Member {
        name: name("PY"),
        kind: SegmentType::Sr,
        offset_bytes: 2 * MIB,
        size_bytes: extent.len() as u64,
        generation: 2,
        saved_unix_seconds: 1_800_000_000,
        sha256: Sha256::digest(&extent).into(),
    };
    let mut bytes = vec![0; encoded_bytes(1)];
    encode(name("USR"), 3, 4 * MIB, &[member], &mut bytes).unwrap();
    bytes
}

/// Formats bytes as `hexdump -C` does, indented as a literal block.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut previous = None;
    let mut skipping = false;

    for (index, line) in bytes.chunks(16).enumerate() {
        if previous == Some(line) {
            if !skipping {
                text.push_str("    *\n");
            }
            skipping = true;
        } else {
            writeln!(
                text,
                "    {:08x}{}  |{}|",
                index * 16,
                hex(line),
                ascii(line)
            )
            .unwrap();
            skipping = false;
        }
        previous = Some(line);
    }
    writeln!(text, "    {:08x}", bytes.len()).unwrap();
    text
}

fn hex(line: &[u8]) -> String {
    let mut text = String::new();
    for (index, byte) in line.iter().enumerate() {
        let gap = if index % 8 == 0 { "  " } else { " " };
        write!(text, "{gap}{byte:02x}").unwrap();
    }
    text
}

fn ascii(line: &[u8]) -> String {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    line.iter()
        .map(|byte| {
            if printable(byte) {
                char::from(*byte)
            } else {
                '.'
            }
        })
        .collect()
}

#[test]
fn the_documented_example_is_what_is_encoded() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let expected = dump(&example());

    assert!(
        document.contains(&format!("::\n\n{expected}\n")),
        "{DOCUMENT} should have this example:\n\n{expected}"
    );
}
