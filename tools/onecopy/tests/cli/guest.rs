// SPDX-License-Identifier: GPL-2.0

//! Tiny guests: multiboot kernels of some dozens of bytes that print their command line and then
//! do one thing.

use std::path::PathBuf;

use crate::util::Dir;

/// What a guest does after it has printed its command line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Switch itself off.
    PowerOff,
    /// Do nothing, for ever.
    Hang,
    /// Reset the machine.
    Reset,
    /// Echo one character, then switch itself off.
    Echo,
}

/// The multiboot header, with load and entry addresses, and the loop that prints.
#[rustfmt::skip]
const START: [u8; 0x3d] = [
    0x02, 0xb0, 0xad, 0x1b, 0x00, 0x00, 0x01, 0x00, // 00 magic, flags: addresses are given
    0xfe, 0x4f, 0x51, 0xe4, 0x00, 0x00, 0x10, 0x00, // 08 checksum, header at 1 MiB
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, // 10 load at 1 MiB, the whole file
    0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x10, 0x00, // 18 no bss, entry at offset 0x20
    0xfa,                                           // 20 cli
    0x8b, 0x73, 0x10,                               // 21 mov esi, [ebx + 16]
    0xac,                                           // 24 next: lodsb
    0x84, 0xc0, 0x74, 0x14,                         // 25 test al, al; jz 3d
    0x88, 0xc3,                                     // 29 mov bl, al
    0x66, 0xba, 0xfd, 0x03,                         // 2b mov dx, 0x3fd
    0xec, 0xa8, 0x20, 0x74, 0xfb,                   // 2f busy: in al, dx; test al, 0x20; jz busy
    0x66, 0xba, 0xf8, 0x03,                         // 34 mov dx, 0x3f8
    0x88, 0xd8, 0xee,                               // 38 mov al, bl; out dx, al
    0xeb, 0xe7,                                     // 3b jmp next
];

#[rustfmt::skip]
const ECHO: [u8; 15] = [
    0x66, 0xba, 0xfd, 0x03,                         // mov dx, 0x3fd
    0xec, 0xa8, 0x01, 0x74, 0xfb,                   // none: in al, dx; test al, 1; jz none
    0x66, 0xba, 0xf8, 0x03,                         // mov dx, 0x3f8
    0xec, 0xee,                                     // in al, dx; out dx, al
];

#[rustfmt::skip]
const POWER_OFF: [u8; 10] = [
    0x66, 0xba, 0x04, 0x06,                         // mov dx, 0x604
    0x66, 0xb8, 0x00, 0x20,                         // mov ax, 0x2000
    0x66, 0xef,                                     // out dx, ax
];

#[rustfmt::skip]
const RESET: [u8; 7] = [
    0x66, 0xba, 0xf9, 0x0c,                         // mov dx, 0xcf9
    0xb0, 0x06, 0xee,                               // mov al, 6; out dx, al
];

const HALT: [u8; 3] = [
    0xf4, 0xeb, 0xfd, // halt: hlt; jmp halt
];

/// Writes a kernel and returns its path.
pub(crate) fn kernel(dir: &Dir, action: Action) -> PathBuf {
    dir.file("kernel", image(action))
}

/// Writes a kernel that claims to be one that can be saved, and returns its path.
pub(crate) fn shared_kernel(dir: &Dir, action: Action) -> PathBuf {
    let mut elf = elf_with_note();
    elf.resize(512, 0);
    elf.extend(image(action));
    elf.resize(8192, 0);
    dir.file("kernel", elf)
}

/// An ELF file of one segment: the note of a kernel with `CONFIG_SHARED_KERNEL`, whose text is at
/// 16 MiB and ends at 18 MiB, and whose image ends at 20 MiB.
#[rustfmt::skip]
fn elf_with_note() -> Vec<u8> {
    let header = [
        0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bits, little-endian
        2, 0, 62, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,            // executable, x86-64
        64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,            // program headers at 64
        0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,           // one of 56 bytes
        4, 0, 0, 0, 0, 0, 0, 0, 120, 0, 0, 0, 0, 0, 0, 0,           // notes at 120
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0,           // 60 bytes
        4, 0, 0, 0, 0, 0, 0, 0,
        8, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0,                        // lengths and type
        b'o', b'n', b'e', b'c', b'o', b'p', b'y', 0,
        1, 0, 0, 0, 0, 0, 0, 0,                                     // version, flags
    ];
    let addresses = [16_u64 << 20, 18 << 20, 20 << 20, 18 << 20];
    let addresses = addresses.iter().flat_map(|address| address.to_le_bytes());
    header.into_iter().chain(addresses).collect()
}

/// An ELF file of one segment as that of a kernel with other notes: its name is another one.
pub(crate) fn elf_without_note() -> Vec<u8> {
    let mut elf = elf_with_note();
    let name = elf.windows(8).position(|bytes| bytes == b"onecopy\0");
    elf[name.unwrap()..][..8].copy_from_slice(b"another\0");
    elf
}

/// A bzImage of one sector of setup code with this payload; Linux's Documentation/arch/x86/boot.rst.
pub(crate) fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    for (offset, bytes) in [
        (0x1f1, &[1][..]), // sectors of setup code
        (0x1fe, &[0x55, 0xaa]),
        (0x202, b"HdrS"),
        (0x206, &[0x0f, 0x02]), // version 2.15
        (0x248, &[0; 4]),       // where the payload is, behind the setup code
        (0x24c, &length),
    ] {
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    image.extend(payload);
    image
}

fn image(action: Action) -> Vec<u8> {
    let code: Vec<&[u8]> = match action {
        Action::PowerOff => vec![&START, &POWER_OFF, &HALT],
        Action::Hang => vec![&START, &HALT],
        Action::Reset => vec![&START, &RESET, &HALT],
        Action::Echo => vec![&START, &ECHO, &POWER_OFF, &HALT],
    };
    let mut image = code.concat();
    // The multiboot header is searched in the first 8 KiB of a file of at least that size.
    image.resize(8192, 0);
    image
}
