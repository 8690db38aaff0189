// SPDX-License-Identifier: GPL-2.0

//! The driver of virtio-console devices that are made for messages.

use crate::link::{
    Link,
    RunningLink, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    prelude::*,
    virtio::{
        self,
        QueueSet, //
    }, //
};

/// The device knows how large the screen is: one for people.
const VIRTIO_CONSOLE_F_SIZE: u32 = 0;
/// The device has many ports, and queues to control them.
const VIRTIO_CONSOLE_F_MULTIPORT: u32 = 1;
/// The device takes the last words of a kernel that has no driver for it yet.
const VIRTIO_CONSOLE_F_EMERG_WRITE: u32 = 2;

/// What a device must not have to be ours.
const FOREIGN: [u32; 3] = [
    VIRTIO_CONSOLE_F_SIZE,
    VIRTIO_CONSOLE_F_MULTIPORT,
    VIRTIO_CONSOLE_F_EMERG_WRITE,
];

/// The driver.
pub(crate) struct SmsgDriver;

/// A bound device.
pub(crate) struct SmsgDevice<'bound> {
    // Dropped in this order: first who uses the queues.
    running: RunningLink,
    _queues: QueueSet<'bound>,
}

impl<'bound> SmsgDevice<'bound> {
    fn new(vdev: &'bound virtio::Device<Core<'_>>) -> Result<Self> {
        if FOREIGN.iter().any(|&bit| vdev.has_feature(bit)) {
            // A console or a set of ports, which virtio_console drives.
            return Err(ENODEV);
        }
        let link = Link::new()?;
        let queues = QueueSet::find(vdev, link.queues()?)?;
        let running = RunningLink::new(link)?;

        vdev.ready();
        running.link.start()?;
        Ok(Self {
            running,
            _queues: queues,
        })
    }
}

kernel::virtio_device_table!(
    VIRTIO_IDS,
    [virtio::DeviceId::new(virtio::DeviceId::CONSOLE)]
);

#[vtable]
impl virtio::Driver for SmsgDriver {
    type Data<'bound> = SmsgDevice<'bound>;
    const ID_TABLE: virtio::IdTable = &VIRTIO_IDS;
    /// To know them. They are negotiated for a device that is left to another driver, too, which
    /// cannot have them changed any more.
    const FEATURES: &'static [u32] = &FOREIGN;

    fn probe<'bound>(
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> impl PinInit<SmsgDevice<'bound>, Error> + 'bound {
        SmsgDevice::new(vdev)
    }

    fn unbind<'bound>(_vdev: &'bound virtio::Device<Core<'_>>, this: Pin<&SmsgDevice<'bound>>) {
        // While the queues still work, so that the last message is answered.
        this.running.stop();
    }

    fn freeze<'bound>(
        _vdev: &'bound virtio::Device<Bound>,
        this: Pin<&SmsgDevice<'bound>>,
    ) -> Result {
        this.running.link.pause();
        Ok(())
    }

    fn restore<'bound>(
        _vdev: &'bound virtio::Device<Bound>,
        this: Pin<&SmsgDevice<'bound>>,
    ) -> Result {
        this.running.link.start()
    }
}
