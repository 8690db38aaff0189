// SPDX-License-Identifier: GPL-2.0

//! The driver of virtio-balloon devices.

use crate::{
    balloon::{
        Balloon,
        Phase, //
    },
    channel::Channel,
    commands,
    counters::Shown,
    module_parameters,
    options::Options,
    release::{
        Release,
        Unused, //
    },
    statistics::Statistics,
    sysctl,
    worker::{
        Progress,
        Worker, //
    }, //
};
use kernel::{
    debugfs,
    device::{
        Bound,
        Core, //
    },
    mm::{
        memory_hotplug,
        oom,
        shrinker,
        stats::MemInfo, //
    },
    prelude::*,
    smsg,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release as Releasing, //
        },
        Arc,
        Completion, //
    },
    sysctl::Table,
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    virtio::{
        self,
        AnyQueue,
        QueueSet,
        SharedConfig,
        Virtqueue, //
    },
    workqueue::OwnedQueue, //
};

/// The host must be told before a page of the inflate queue is used again.
const VIRTIO_BALLOON_F_MUST_TELL_HOST: u32 = 0;
/// The device has a statistics queue.
const VIRTIO_BALLOON_F_STATS_VQ: u32 = 1;
/// The guest may take pages back when it is out of memory.
const VIRTIO_BALLOON_F_DEFLATE_ON_OOM: u32 = 2;
/// The device has a queue for free page hints, which this driver has no use for.
const VIRTIO_BALLOON_F_FREE_PAGE_HINT: u32 = 3;
/// The device has a reporting queue.
const VIRTIO_BALLOON_F_REPORTING: u32 = 5;

/// The out-of-memory handler runs after those that have something which is easier to do without.
const OOM_PRIORITY: c_int = 80;

/// How long the worker may take to return all pages.
const PARK_TIMEOUT_MS: Msecs = 60_000;

/// Whether a device is bound: the files below `/proc/sys/vm` are those of one balloon.
static BOUND: Atomic<bool> = Atomic::new(false);

/// The driver.
pub(crate) struct CmmDriver;

/// A bound device.
#[pin_data]
pub(crate) struct CmmDevice<'bound> {
    // Dropped in this order: first who changes the balloon, then who does the work.
    _messages: smsg::Registration,
    _sysctl: Table,
    _oom: oom::Registration,
    _hotplug: memory_hotplug::Registration,
    _shrinker: shrinker::Registration,
    #[pin]
    _counters: debugfs::File<Shown>,
    worker: RunningWorker,
    _queues: QueueSet<'bound>,
    _claim: Claim,
}

/// That this device, and no other, is bound.
struct Claim;

impl Claim {
    fn new() -> Result<Self> {
        BOUND
            .cmpxchg(false, true, Acquire)
            .map_err(|_| EBUSY)
            .map(|_| Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        BOUND.store(false, Releasing);
    }
}

/// The worker and its queue. Dropping it returns all pages and waits for its end.
struct RunningWorker {
    balloon: Arc<Balloon>,
    _queue: OwnedQueue,
}

impl RunningWorker {
    fn start(worker: Worker) -> Result<Self> {
        let balloon = worker.balloon.clone();
        let queue = OwnedQueue::new(c"cmm")?;

        queue.try_spawn(GFP_KERNEL, move || worker.run())?;
        Ok(Self {
            balloon,
            _queue: queue,
        })
    }

    /// Returns all pages and leaves the device alone, until [`Self::resume`].
    fn park(&self) -> Result {
        self.balloon.parked.reinit();
        self.balloon.set_phase(Phase::Park);
        let timeout = msecs_to_jiffies(PARK_TIMEOUT_MS);
        if self
            .balloon
            .parked
            .wait_for_completion_timeout(timeout)
            .is_none()
        {
            self.resume();
            return Err(EBUSY);
        }
        Ok(())
    }

    fn resume(&self) {
        self.balloon.set_phase(Phase::Run);
    }

    /// Returns all pages, for ever.
    fn stop(&self) {
        if self.balloon.phase() == Phase::Stop {
            return;
        }
        self.balloon.parked.reinit();
        self.balloon.set_phase(Phase::Stop);
        let timeout = msecs_to_jiffies(PARK_TIMEOUT_MS);
        // If the host does not answer, its pages come back when the device is reset.
        let _ = self.balloon.parked.wait_for_completion_timeout(timeout);
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Finds the queues of the device, in the order of the virtio specification; those that the device
/// does not offer do not count.
fn find_queues<'bound>(
    vdev: &'bound virtio::Device<Core<'_>>,
    release: &Release,
    statistics: &Option<Statistics>,
) -> Result<QueueSet<'bound>> {
    let mut queues: KVec<Arc<dyn AnyQueue>> = KVec::with_capacity(5, GFP_KERNEL)?;

    queues.push(release.inflate.queue(), GFP_KERNEL)?;
    queues.push(release.deflate.queue(), GFP_KERNEL)?;
    if let Some(statistics) = statistics {
        queues.push(statistics.queue(), GFP_KERNEL)?;
    }
    if vdev.has_feature(VIRTIO_BALLOON_F_FREE_PAGE_HINT) {
        let unused = Arc::pin_init(Virtqueue::new(c"free_page", Unused), GFP_KERNEL)?;
        queues.push(unused, GFP_KERNEL)?;
    }
    if let Some(reporting) = &release.reporting {
        queues.push(reporting.queue(), GFP_KERNEL)?;
    }
    QueueSet::find(vdev, queues)
}

/// Reads the parameters of the module.
fn options() -> Result<Options> {
    Options::new(
        *module_parameters::floor_mib.value_ref(),
        *module_parameters::max_order.value_ref(),
        module_parameters::keep.value_ref().as_bytes(),
        MemInfo::now().total_pages as u64,
    )
}

/// Returns whether the host is to be told before pages are used again.
fn must_tell(vdev: &virtio::Device<Bound>) -> bool {
    vdev.has_feature(VIRTIO_BALLOON_F_MUST_TELL_HOST) || *module_parameters::tell_host.value_ref()
}

/// Makes the queues that the device has.
fn release(vdev: &virtio::Device<Bound>, balloon: &Balloon) -> Result<Release> {
    let answers = &balloon.answers;
    let reporting = vdev
        .has_feature(VIRTIO_BALLOON_F_REPORTING)
        .then(|| Channel::reporting(answers))
        .transpose()?;

    Ok(Release {
        inflate: Channel::numbering(c"inflate", answers)?,
        deflate: Channel::numbering(c"deflate", answers)?,
        reporting,
        must_tell: balloon.must_tell,
    })
}

/// Fails unless the device says what it wants, and can be told what it has.
fn check_config(vdev: &virtio::Device<Bound>) -> Result {
    vdev.config()
        .read::<u64>(0)
        .map(drop)
        .inspect_err(|error| dev_err!(vdev, "no 8 bytes of configuration space: {error:?}\n"))
}

impl<'bound> CmmDevice<'bound> {
    fn new(
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> Result<impl PinInit<CmmDevice<'bound>, Error> + 'bound> {
        let claim = Claim::new().inspect_err(|_| {
            dev_err!(vdev, "there is a balloon already, this one is left alone\n");
        })?;
        check_config(vdev)?;
        let wake = Arc::pin_init(Completion::new(), GFP_KERNEL)?;
        let balloon = Balloon::new(options()?, must_tell(vdev), wake.clone())?;
        let release = release(vdev, &balloon)?;
        let statistics = vdev
            .has_feature(VIRTIO_BALLOON_F_STATS_VQ)
            .then(|| Statistics::new(wake.clone()))
            .transpose()?;
        let queues = find_queues(vdev, &release, &statistics)?;

        vdev.ready();
        let worker = RunningWorker::start(Worker {
            balloon: balloon.clone(),
            config: SharedConfig::new(vdev)?,
            release,
            statistics,
            wake,
            progress: Progress::new(),
        })?;
        let messages = commands::register(&balloon)?;
        let sysctl = sysctl::register(&balloon)?;
        let oom = oom::Registration::new(balloon.clone(), OOM_PRIORITY)?;
        let hotplug = memory_hotplug::Registration::new(balloon.clone())?;
        let shrinker = shrinker::Registration::new(c"cmm", balloon.clone())?;

        Ok(try_pin_init!(Self {
            _messages: messages,
            _sysctl: sysctl,
            _oom: oom,
            _hotplug: hotplug,
            _shrinker: shrinker,
            _counters <- debugfs::Dir::new(c"cmm").read_only_file(c"counters", Shown(balloon)),
            worker,
            _queues: queues,
            _claim: claim,
        }))
    }
}

kernel::virtio_device_table!(
    VIRTIO_IDS,
    [virtio::DeviceId::new(virtio::DeviceId::BALLOON)]
);

#[vtable]
impl virtio::Driver for CmmDriver {
    type Data<'bound> = CmmDevice<'bound>;
    const ID_TABLE: virtio::IdTable = &VIRTIO_IDS;
    const FEATURES: &'static [u32] = &[
        VIRTIO_BALLOON_F_MUST_TELL_HOST,
        VIRTIO_BALLOON_F_STATS_VQ,
        VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
        VIRTIO_BALLOON_F_FREE_PAGE_HINT,
        VIRTIO_BALLOON_F_REPORTING,
    ];

    fn probe<'bound>(
        vdev: &'bound virtio::Device<Core<'_>>,
    ) -> impl PinInit<CmmDevice<'bound>, Error> + 'bound {
        pin_init::pin_init_scope(move || CmmDevice::new(vdev))
    }

    fn unbind<'bound>(_vdev: &'bound virtio::Device<Core<'_>>, this: Pin<&CmmDevice<'bound>>) {
        // While the queues still work, so that the host can be told.
        this.worker.stop();
    }

    fn config_changed<'bound>(_vdev: &'bound virtio::Device<Bound>, this: Pin<&CmmDevice<'bound>>) {
        this.worker.balloon.wake();
    }

    fn freeze<'bound>(
        vdev: &'bound virtio::Device<Bound>,
        this: Pin<&CmmDevice<'bound>>,
    ) -> Result {
        this.worker
            .park()
            .inspect_err(|_| dev_err!(vdev, "the host does not answer, not frozen\n"))
    }

    fn restore<'bound>(
        _vdev: &'bound virtio::Device<Bound>,
        this: Pin<&CmmDevice<'bound>>,
    ) -> Result {
        this.worker.balloon.resets.fetch_add(1, Relaxed);
        this.worker.resume();
        Ok(())
    }
}
