// SPDX-License-Identifier: GPL-2.0

//! Special messages: lines of text that the host sends to drivers of the guest.
//!
//! The host writes a line to a virtio-console device; this driver has [`kernel::smsg`] carry the
//! message out, and writes the answer.
//!
//! - [`protocol`], [`lines`]: pure logic, what a line says and where it ends.
//! - [`link`]: the queues, and the thread that takes a message from one to an answer in the other.
//! - [`driver`]: the virtio driver.
//!
//! See `Documentation/virt/smsg.rst`.

mod driver;
mod lines;
mod link;
mod protocol;

kernel::module_virtio_driver! {
    type: driver::SmsgDriver,
    name: "smsg",
    authors: ["the onecopy developers"],
    description: "Special messages from the host on virtio-console",
    license: "GPL",
}
