// SPDX-License-Identifier: GPL-2.0

//! Block devices on shared segments: discontiguous saved segments for virtio-pmem.
//!
//! The host offers *segment spaces*, files with named *segments* in them, as virtio-pmem devices.
//! This driver attaches segments by name as `/dev/dcss/NAME`, with DAX, so that all guests execute
//! programs from the same host pages. It does for x86-64 guests what `dcssblk` does under z/VM.
//!
//! - [`names`], [`plan`]: pure logic, what the user asked for and what device results from it.
//! - [`onecopy`], [`display`]: the format of segment spaces, the same source as that of the host's
//!   tools.
//! - [`space`]: a segment space as found on a virtio device.
//! - [`segment`], [`flush`]: an attached device and its I/O.
//! - [`registry`], [`known`]: which spaces exist and which segments are attached.
//! - [`driver`], [`config`], [`lines`], [`commands`]: the virtio driver, and the interfaces to user
//!   space and to the host's messages.
//!
//! See `Documentation/block/dcss.rst`.

use kernel::{
    driver::Registration,
    prelude::*,
    virtio, //
};

mod commands;
mod config;
mod display;
mod driver;
mod flush;
mod known;
mod lines;
mod names;
#[path = "../../../lib/onecopy/lib.rs"]
mod onecopy;
mod plan;
mod registry;
mod segment;
mod space;

/// The module. First the interfaces go away, then the devices, then the rest.
#[pin_data]
struct DcssModule {
    _messages: kernel::smsg::Registration,
    #[pin]
    _config: kernel::configfs::Subsystem<config::Root>,
    #[pin]
    _driver: Registration<virtio::Adapter<driver::DcssDriver>>,
    _registry: registry::Guard,
}

impl kernel::InPlaceModule for DcssModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _registry: registry::init(module_parameters::segments.value_ref().as_bytes())?,
            _config <- config::subsystem(),
            _driver <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            _messages: commands::register()?,
            _: { registry::report_missing() },
        })
    }
}

module! {
    type: DcssModule,
    name: "dcss",
    authors: ["the onecopy developers"],
    description: "Block devices on shared segments",
    license: "GPL",
    params: {
        segments: kernel::module_param::StringParam<400> {
            default: kernel::module_param::StringParam::EMPTY,
            description: "Segments to attach as soon as they are found: NAME[:NAME...][,...]",
        },
        sender: kernel::module_param::StringParam<8> {
            default: kernel::module_param::StringParam::new("VMRMSVM"),
            description: "Who may send DCSS messages; empty: everybody whom the host lets",
        },
    },
}
