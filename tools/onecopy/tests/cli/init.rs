// SPDX-License-Identifier: GPL-2.0

//! The init of test guests: some instructions that echo lines, switch the guest off when one begins
//! with `q`, and ask for the guest to be saved when one begins with `s`.

/// Where the code is in the file, behind the headers, and in memory.
const CODE_AT: u8 = 0x78;

/// The headers of an executable of one segment, but for its size.
#[rustfmt::skip]
const HEADERS: [u8; 96] = [
    0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bits, little-endian
    2, 0, 62, 0, 1, 0, 0, 0, CODE_AT, 0, 0x40, 0, 0, 0, 0, 0,   // executable, entry behind headers
    64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,            // program headers at 64
    0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,           // one of 56 bytes
    1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,             // load, readable and executable
    0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,       // at 4 MiB
];

#[rustfmt::skip]
const CODE: [u8; 0xb0] = [
    0x48, 0x83, 0xec, 0x40,                                       // 00 sub rsp, 64
    0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,                           // 04 mov eax, 1; mov edi, 1
    0x48, 0x8d, 0x35, 0x9b, 0, 0, 0,                              // 0e lea rsi, [ready]
    0xba, 7, 0, 0, 0, 0x0f, 5,                                    // 15 mov edx, 7; syscall
    0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6,                     // 1c next: read(0, rsp, 64)
    0xba, 0x40, 0, 0, 0, 0x0f, 5,                                 // 23
    0x85, 0xc0, 0x7e, 0xee,                                       // 2a test eax, eax; jle next
    0x80, 0x3c, 0x24, 0x71, 0x74, 0x19,                           // 2e cmp [rsp], 'q'; je off
    0x80, 0x3c, 0x24, 0x73, 0x74, 0x2b,                           // 34 cmp [rsp], 's'; je save
    0x89, 0xc2, 0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,               // 3a write(1, rsp, eax)
    0x48, 0x89, 0xe6, 0x0f, 5, 0xeb, 0xcf,                        // 46 jmp next
    0xb8, 0xa9, 0, 0, 0, 0xbf, 0xad, 0xde, 0xe1, 0xfe,            // 4d off: reboot(magic ...
    0xbe, 0x69, 0x19, 0x12, 0x28, 0xba, 0xdc, 0xfe, 0x21, 0x43,   // 57 ... magic2, POWER_OFF)
    0x0f, 5, 0xeb, 0xb7,                                          // 61 jmp next
    0xb8, 0xa5, 0, 0, 0, 0x48, 0x8d, 0x3d, 0x47, 0, 0, 0,         // 65 save: mount(sys, sys, ...
    0x48, 0x89, 0xfe, 0x48, 0x8d, 0x15, 0x42, 0, 0, 0,            // 71
    0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0, 0x0f, 5,                  // 7b ... sysfs, 0, 0)
    0xb8, 2, 0, 0, 0, 0x48, 0x8d, 0x3d, 0x34, 0, 0, 0,            // 83 open(file, O_WRONLY)
    0xbe, 1, 0, 0, 0, 0x0f, 5, 0x89, 0xc7,                        // 8f
    0xb8, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 0x13, 0, 0, 0,            // 98 write(eax, one, 1)
    0xba, 1, 0, 0, 0, 0x0f, 5, 0xe9, 0x6c, 0xff, 0xff, 0xff,      // a4 jmp next
];

/// What the code refers to: `ready`, `one`, `sys`, `sysfs`, `file`.
const TEXT: &[u8] = b"ready!\n1/sys\0sysfs\0/sys/kernel/shared_kernel/save\0";

/// Returns an executable that says "ready!", then obeys.
pub(crate) fn executable() -> Vec<u8> {
    let size = (usize::from(CODE_AT) + CODE.len() + TEXT.len()) as u64;
    let alignment = 4096_u64;
    let mut file = HEADERS.to_vec();
    // In the file, and in memory.
    for number in [size, size, alignment] {
        file.extend(number.to_le_bytes());
    }
    file.extend(CODE);
    file.extend(TEXT);
    file
}
