// SPDX-License-Identifier: GPL-2.0

//! The driver of virtio-pmem devices that hold a segment space.

use crate::{
    flush::FlushQueue,
    registry,
    space::Space, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    memremap::DeviceRange,
    prelude::*,
    sync::Arc,
    virtio::{
        self,
        QueueSet, //
    }, //
};

/// The device has its memory in a shared memory region (virtio 1.2, "PMEM Device").
const VIRTIO_PMEM_F_SHMEM_REGION: u32 = 0;
/// The number of that region.
const SHMEM_REGION_ID: u8 = 0;

/// The driver.
pub(crate) struct DcssDriver;

/// A bound device.
///
/// When it is dropped, its segments that nobody uses are gone already; those in use are dead.
pub(crate) struct DcssDevice<'bound> {
    space: RegisteredSpace,
    /// Only devices with writable segments need the queue.
    _queues: Option<QueueSet<'bound>>,
}

/// A segment space that the registry knows, until this is dropped.
struct RegisteredSpace(i32);

impl RegisteredSpace {
    fn new(space: Space) -> Result<Self> {
        let id = space.id;
        registry::add_space(Arc::new(space, GFP_KERNEL)?)?;
        Ok(Self(id))
    }

    fn remove(&self) {
        registry::remove_space(self.0);
    }
}

impl Drop for RegisteredSpace {
    fn drop(&mut self) {
        self.remove();
    }
}

impl<'bound> DcssDevice<'bound> {
    fn new(vdev: &'bound virtio::Device<Core<'_>>) -> Result<Self> {
        let mut space = Space::read(vdev, memory_range(vdev)?)?;
        let queues = if space.is_writable() {
            let flush = FlushQueue::new()?;
            let queues = flush.find(vdev)?;
            space.set_flush_queue(flush);
            Some(queues)
        } else {
            None
        };

        // Segments that the boot parameter lists are attached, and may be flushed, right away.
        vdev.ready();
        Ok(Self {
            space: RegisteredSpace::new(space)?,
            _queues: queues,
        })
    }
}

kernel::virtio_device_table!(VIRTIO_IDS, [virtio::DeviceId::new(virtio::DeviceId::PMEM)]);

#[vtable]
impl virtio::Driver for DcssDriver {
    type Data<'bound> = DcssDevice<'bound>;
    const ID_TABLE: virtio::IdTable = &VIRTIO_IDS;
    const FEATURES: &'static [u32] = &[VIRTIO_PMEM_F_SHMEM_REGION];

    fn probe<'bound>(
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> impl PinInit<DcssDevice<'bound>, Error> + 'bound {
        DcssDevice::new(vdev)
    }

    fn unbind<'bound>(_vdev: &'bound virtio::Device<Core<'_>>, this: Pin<&DcssDevice<'bound>>) {
        // While the queues still work, so that what is written can be flushed.
        this.space.remove();
    }
}

/// Returns where the memory of the device is.
fn memory_range(vdev: &virtio::Device<Bound>) -> Result<DeviceRange> {
    if !vdev.has_feature(VIRTIO_PMEM_F_SHMEM_REGION) {
        return vdev.pmem_range();
    }
    vdev.shm_region(SHMEM_REGION_ID).ok_or_else(|| {
        dev_err!(
            vdev,
            "the device has no shared memory region {SHMEM_REGION_ID}\n"
        );
        ENXIO
    })
}
