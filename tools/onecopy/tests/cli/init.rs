// SPDX-License-Identifier: GPL-2.0

//! The init of test guests: some instructions that echo lines. They switch the guest off when one begins
//! with `q`, ask for the guest to be saved when one begins with `s`, and say what is in a file, at most
//! 4 KiB, when `c` comes before its path.

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
const CODE: [u8; 0x122] = [
    0x48, 0x81, 0xec, 0, 0x10, 0, 0,                              // 000 sub rsp, 4096
    0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,                           // 007 mov eax, 1; mov edi, 1
    0x48, 0x8d, 0x35, 0x0a, 1, 0, 0,                              // 011 lea rsi, [ready]
    0xba, 7, 0, 0, 0, 0x0f, 5,                                    // 018 mov edx, 7; syscall
    0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6,                     // 01f next: read(0, rsp, 4096)
    0xba, 0, 0x10, 0, 0, 0x0f, 5,                                 // 026
    0x85, 0xc0, 0x7e, 0xee,                                       // 02d test eax, eax; jle next
    0x80, 0x3c, 0x24, 0x71, 0x74, 0x1f,                           // 031 cmp [rsp], 'q'; je off
    0x80, 0x3c, 0x24, 0x73, 0x74, 0x31,                           // 037 cmp [rsp], 's'; je save
    0x80, 0x3c, 0x24, 0x63, 0x74, 0x64,                           // 03d cmp [rsp], 'c'; je show
    0x89, 0xc2, 0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0,               // 043 say: write(1, rsp, eax)
    0x48, 0x89, 0xe6, 0x0f, 5, 0xeb, 0xc9,                        // 04f jmp next
    0xb8, 0xa9, 0, 0, 0, 0xbf, 0xad, 0xde, 0xe1, 0xfe,            // 056 off: reboot(magic ...
    0xbe, 0x69, 0x19, 0x12, 0x28, 0xba, 0xdc, 0xfe, 0x21, 0x43,   // 060 ... magic2, POWER_OFF)
    0x0f, 5, 0xeb, 0xb1,                                          // 06a jmp next
    0xe8, 0x6a, 0, 0, 0, 0x48, 0x8d, 0x3d, 0xe2, 0, 0, 0,         // 06e save: call mounts
    0xbe, 1, 0, 0, 0, 0xb8, 2, 0, 0, 0, 0x0f, 5, 0x89, 0xc7,      // 07a open(file, O_WRONLY)
    0xb8, 1, 0, 0, 0, 0x48, 0x8d, 0x35, 0x95, 0, 0, 0,            // 088 write(eax, one, 1)
    0xba, 1, 0, 0, 0, 0x0f, 5,                                    // 094
    0xb8, 3, 0, 0, 0, 0x0f, 5, 0xe9, 0x78, 0xff, 0xff, 0xff,      // 09b close; jmp next
    0xc6, 0x44, 0x04, 0xff, 0, 0xe8, 0x2c, 0, 0, 0,               // 0a7 show: end path; call mounts
    0x48, 0x8d, 0x7c, 0x24, 1, 0x31, 0xf6,                        // 0b1 open(rsp + 1, O_RDONLY)
    0xb8, 2, 0, 0, 0, 0x0f, 5, 0x89, 0xc7,                        // 0b8
    0x31, 0xc0, 0x48, 0x89, 0xe6, 0xba, 0, 0x10, 0, 0,            // 0c1 read(eax, rsp, 4096)
    0x0f, 5, 0x89, 0xc3,                                          // 0cb mov ebx, eax
    0xb8, 3, 0, 0, 0, 0x0f, 5, 0x89, 0xd8,                        // 0cf close; mov eax, ebx
    0xe9, 0x66, 0xff, 0xff, 0xff,                                 // 0d8 jmp say
    0x48, 0x8d, 0x35, 0x46, 0, 0, 0,                              // 0dd mounts: lea rsi, [sys]
    0x48, 0x8d, 0x15, 0x44, 0, 0, 0, 0xe8, 0x21, 0, 0, 0,         // 0e4 lea rdx, [sysfs]; call mount
    0x48, 0x8d, 0x35, 0x3e, 0, 0, 0,                              // 0f0 lea rsi, [config]
    0x48, 0x8d, 0x15, 0x4a, 0, 0, 0, 0xe8, 0x0e, 0, 0, 0,         // 0f7 lea rdx, [configfs]; call mount
    0x48, 0x8d, 0x35, 0x47, 0, 0, 0,                              // 103 lea rsi, [procs]
    0x48, 0x8d, 0x15, 0x46, 0, 0, 0,                              // 10a lea rdx, [proc]
    0x48, 0x89, 0xf7, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0,         // 111 mount: mount(rsi, rsi, rdx, ...
    0xb8, 0xa5, 0, 0, 0, 0x0f, 5, 0xc3,                           // 11a ... 0, 0); ret
];

/// What the code refers to: `ready`, `one`, and directories with what is mounted there; `file`.
const TEXT: &[u8] = b"ready!\n1/sys\0sysfs\0/sys/kernel/config\0configfs\0/proc\0proc\0\
                      /sys/kernel/shared_kernel/save\0";

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
