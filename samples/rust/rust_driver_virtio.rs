// SPDX-License-Identifier: GPL-2.0

//! Rust virtio driver sample: asks the host for 64 random bytes, once.
//!
//! To make this driver probe, QEMU must be run with `-device virtio-rng-pci`, and the kernel must
//! not have `CONFIG_HW_RANDOM_VIRTIO` built in.

use kernel::{
    device::Core,
    prelude::*,
    sync::Arc,
    virtio::{
        self,
        AnyQueue,
        Handler,
        QueueSet,
        Request,
        Virtqueue, //
    }, //
};

struct Printer;

impl Handler for Printer {
    type Out = ();
    type In = [u8; 64];
    type Payload = ();

    fn used(&self, queue: &Virtqueue<Self>) {
        while let Some((request, written_bytes)) = queue.pop() {
            let first = request.input()[0];
            pr_info!("the device wrote {written_bytes} bytes, the first is {first:#04x}\n");
        }
    }
}

struct SampleDriver;

struct SampleData<'bound> {
    _queues: QueueSet<'bound>,
}

impl<'bound> SampleData<'bound> {
    fn new(vdev: &'bound virtio::Device<Core<'_>>) -> Result<Self> {
        let queue = Arc::pin_init(Virtqueue::new(c"requests", Printer), GFP_KERNEL)?;
        let mut queues: KVec<Arc<dyn AnyQueue>> = KVec::new();
        queues.push(queue.clone(), GFP_KERNEL)?;
        let _queues = QueueSet::find(vdev, queues)?;

        vdev.ready();
        let request = Request::new((), (), GFP_KERNEL)?;
        queue.add(request).map_err(|(error, _)| error)?;
        queue.kick()?;
        Ok(Self { _queues })
    }
}

kernel::virtio_device_table!(VIRTIO_IDS, [virtio::DeviceId::new(virtio::DeviceId::RNG)]);

#[vtable]
impl virtio::Driver for SampleDriver {
    type Data<'bound> = SampleData<'bound>;
    const ID_TABLE: virtio::IdTable = &VIRTIO_IDS;
    const FEATURES: &'static [u32] = &[];

    fn probe<'bound>(
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> impl PinInit<SampleData<'bound>, Error> + 'bound {
        SampleData::new(vdev)
    }
}

kernel::module_virtio_driver! {
    type: SampleDriver,
    name: "rust_driver_virtio",
    authors: ["onecopy"],
    description: "Rust virtio driver sample",
    license: "GPL v2",
}
