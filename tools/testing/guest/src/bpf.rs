// SPDX-License-Identifier: GPL-2.0

//! A BPF program that does nothing, attached to a function of the kernel: the system calls of `bpf(2)`
//! and `perf_event_open(2)`.
#![expect(
    unsafe_code,
    reason = "nobody wraps these system calls, whose arguments have pointers"
)]

use std::ffi::CStr;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

/// A program that returns 0: `r0 = 0; exit`.
static PROGRAM: [u64; 2] = [0xb7, 0x95];

/// The license that programs of this type must have.
static LICENSE: &CStr = c"GPL";

/// From `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_KPROBE: u32 = 2;

/// From `linux/perf_event.h`.
const PERF_ATTR_SIZE_VER1: u32 = 72;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;

/// Where the kernel says which number its kprobes have among the events.
const KPROBE_TYPE: &str = "/sys/bus/event_source/devices/kprobe/type";

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The beginning of `struct perf_event_attr`.
#[derive(Default)]
#[repr(C)]
struct EventAttributes {
    kind: u32,
    size: u32,
    config: u64,
    sample: [u64; 3],
    flags: u64,
    wakeup: u32,
    bp_type: u32,
    kprobe_func: u64,
    probe_offset: u64,
}

/// Attaches the program to the beginning of a function of the kernel, until the file is closed.
pub(crate) fn attach(function: &CStr) -> io::Result<File> {
    let program = load()?;
    let event = probe(function)?;
    for (request, argument) in [
        (PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()),
        (PERF_EVENT_IOC_ENABLE, 0),
    ] {
        // SAFETY: Both requests take a number.
        check(unsafe { libc::ioctl(event.as_raw_fd(), request, argument) }.into())?;
    }
    Ok(File::from(event))
}

fn load() -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        prog_type: BPF_PROG_TYPE_KPROBE,
        insn_cnt: 2,
        insns: PROGRAM.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        ..LoadAttributes::default()
    };
    let size = size_of_val(&attributes);
    // SAFETY: The attributes have this size, and the pointers in them are valid for ever.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size) };
    owned(fd)
}

fn probe(function: &CStr) -> io::Result<OwnedFd> {
    let kind = fs::read_to_string(KPROBE_TYPE)?;
    let attributes = EventAttributes {
        kind: kind.trim().parse().map_err(io::Error::other)?,
        size: PERF_ATTR_SIZE_VER1,
        kprobe_func: function.as_ptr() as u64,
        ..EventAttributes::default()
    };
    let (any_process, first_processor, no_group) = (-1, 0, -1);
    // SAFETY: The attributes have the size that they say; the name in them is valid until the kernel
    // has copied it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            any_process,
            first_processor,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    owned(fd)
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(check(fd)?).map_err(io::Error::other)?;
    // SAFETY: The kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
