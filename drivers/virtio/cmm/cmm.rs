// SPDX-License-Identifier: GPL-2.0

//! Cooperative memory management: a balloon whose pages go to the host in large pieces.
//!
//! The host says through a virtio-balloon device how many pages it wants (SHRINK); this driver
//! takes them from the guest, largest blocks first, and has the host discard them through the
//! reporting queue. It brings the two pools of z/VM's CMM, their files below `/proc/sys/vm`, and
//! gives pages back before a process is killed.
//!
//! - [`target`], [`reuse`], [`ranges`], [`report`], [`options`], [`numbers`]: pure logic.
//! - [`pools`], [`source`]: which pages are held, and where they come from.
//! - [`channel`], [`release`], [`answers`], [`statistics`]: the queues.
//! - [`balloon`], [`worker`]: the state that all share, and the thread that changes it.
//! - [`driver`], [`sysctl`], [`commands`], [`counters`]: the virtio driver, and the interfaces to
//!   user space and to the host's messages.
//!
//! See `Documentation/mm/cmm.rst`.

mod answers;
mod balloon;
mod channel;
mod commands;
mod counters;
mod driver;
mod numbers;
mod options;
mod pools;
mod ranges;
mod release;
mod report;
mod reuse;
mod source;
mod statistics;
mod sysctl;
mod target;
mod worker;

kernel::module_virtio_driver! {
    type: driver::CmmDriver,
    name: "cmm",
    authors: ["the onecopy developers"],
    description: "Cooperative memory management on virtio-balloon",
    license: "GPL",
    params: {
        floor_mib: u64 {
            default: 0,
            description: "MiB that must stay available; 0: a 32nd of the memory, 16 to 256 MiB",
        },
        max_order: u32 {
            default: 9,
            description: "Largest block that is given to the host, as a power of two of 4 KiB",
        },
        keep: kernel::module_param::StringParam<400> {
            default: kernel::module_param::StringParam::EMPTY,
            description: "Memory that is never given to the host: START-END[,...], hexadecimal",
        },
        sender: kernel::module_param::StringParam<8> {
            default: kernel::module_param::StringParam::new("VMRMSVM"),
            description: "Who may send CMM messages; empty: everybody whom the host lets",
        },
        tell_host: bool {
            default: false,
            description: "Tell the host of small blocks that come back, even if it need not know",
        },
    },
}
