// SPDX-License-Identifier: GPL-2.0

//! A guest without an operating system that drives QEMU's virtio balloon.
//!
//! It shows how fast memory can go back to the host at all, and checks what the device does. Its
//! command line is in [`onecopy_baremetal::options`].

#![no_std]
#![no_main]

extern crate alloc;

mod balloon;
#[expect(unsafe_code, reason = "queues hand memory to the device")]
mod channel;
mod check;
#[expect(unsafe_code, reason = "reads the time stamp counter")]
mod clock;
#[expect(
    unsafe_code,
    reason = "the machine enters here and says where things are in memory"
)]
mod entry;
mod error;
#[expect(
    unsafe_code,
    reason = "the trait is unsafe: it gives memory to the device"
)]
mod hal;
#[expect(unsafe_code, reason = "gives memory to the allocator")]
mod heap;
#[expect(unsafe_code, reason = "the trait has an unsafe method")]
mod pci;
#[expect(unsafe_code, reason = "instructions for ports")]
mod port;
#[expect(unsafe_code, reason = "uses memory by its address")]
mod ram;
mod serial;
mod serve;

use alloc::string::ToString;

use onecopy_baremetal::contract::Features;
use onecopy_baremetal::options::Mode;
use onecopy_baremetal::options::Options;
use onecopy_baremetal::options::Order;
use onecopy_baremetal::options::Queue;
use onecopy_baremetal::pool::Pool;
use onecopy_baremetal::start_info::MemoryEntry;
use onecopy_baremetal::PAGE_BYTES;
use virtio_drivers::transport::pci::bus::PciRoot;

use crate::balloon::Balloon;
use crate::check::Checker;
use crate::clock::Clock;
use crate::entry::Boot;
use crate::error::Error;
use crate::pci::Ports;
use crate::ram::Ram;
use crate::serve::Server;

/// Does what the command line says. Returns whether all went well.
fn run(boot: &Boot) -> Result<bool, Error> {
    let mut options =
        Options::parse(boot.command_line).map_err(|bad| Error::Options(bad.to_string()))?;
    if options.mode == Mode::Check {
        // Checks need ranges without gaps, and sizes of their own.
        options.order = Order::Linear;
    }
    let clock = Clock::new()?;
    let ram = claim_ram(boot, options);
    if options.touch_bytes > 0 {
        touch(&ram, options.touch_bytes)?;
    }

    let mut root = PciRoot::new(Ports);
    let function = pci::find_balloon(&mut root)?;
    let wanted = match options.queue {
        Queue::Auto => Features::USUAL,
        Queue::Inflate => Features::USUAL.difference(Features::REPORTING),
    };
    match options.mode {
        Mode::Serve => {
            let mut balloon = Balloon::start(&mut root, function, clock, wanted)?;
            Server::new(&mut balloon, &ram, clock, options).run()?;
            Ok(true)
        }
        Mode::Check => Checker::new(root, function, clock, &ram, wanted)?.run(options.host),
    }
}

#[expect(unsafe_code, reason = "the one place where the pool becomes memory")]
fn claim_ram(boot: &Boot, options: Options) -> Ram {
    let map = MemoryEntry::parse_list(boot.map).filter_map(|entry| entry.ram());
    let pool = Pool::new(map, &boot.image, options.order, options.piece_bytes);
    // SAFETY: The machine says that the pool is RAM. The program's own memory is in its image, which
    // the pool leaves out, and there is nobody else. The entry has mapped everything.
    unsafe { Ram::new(pool) }
}

fn touch(ram: &Ram, bytes: u64) -> Result<(), Error> {
    let pages = bytes / PAGE_BYTES;
    if pages > ram.pool().pages() {
        return Err(Error::TooSmall("what is to be touched"));
    }
    ram.touch(0..pages)?;
    say!("touched {}", pages * PAGE_BYTES);
    Ok(())
}
