// SPDX-License-Identifier: GPL-2.0

//! An attached device: one segment, or several contiguous ones.

use crate::{
    flush::FlushQueue,
    onecopy::segment_space::{
        Member,
        Name, //
    },
    plan::Plan,
    space::Space, //
};
use kernel::{
    block::{
        bio::{
            Bio,
            Operation, //
        },
        disk::{
            self,
            Disk,
            Feature,
            Features,
            OpenMode, //
        },
        SECTOR_SHIFT, //
    },
    dax,
    fmt,
    memremap::{
        Access,
        DeviceMemory,
        MemRemap,
        PageMap,
        Reservation, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

/// How many failed requests of a device are logged.
const MAX_REPORTS: u32 = 10;

/// Whether programs on a device can be executed in place.
#[derive(Clone, Copy)]
pub(crate) enum Dax {
    /// They can.
    On,
    /// One end of the device does not lie on a boundary of this many bytes.
    Misaligned(u64),
    /// There was no memory for the struct pages, or the kernel refused the range.
    NoPages(Error),
    /// The segment is not attached.
    NotAttached,
}

impl fmt::Display for Dax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Misaligned(bytes) => write!(f, "off: not aligned to {bytes} bytes"),
            Self::NoPages(error) => write!(f, "off: no struct pages: {error:?}"),
            Self::NotAttached => f.write_str("off: not attached"),
        }
    }
}

/// The memory of a device as the kernel sees it.
enum Window {
    /// With struct pages, so that it can be mapped to user space.
    Pages(Arc<PageMap>),
    /// For reading and writing only.
    Plain(MemRemap),
}

impl Window {
    #[inline]
    fn memory(&self) -> &DeviceMemory {
        match self {
            Self::Pages(pages) => pages,
            Self::Plain(mapping) => mapping,
        }
    }
}

/// How many use a device.
struct Users {
    count: usize,
    /// The device is being detached, so nobody may open it anymore.
    retired: bool,
}

/// What an attached device consists of, apart from its disk.
///
/// It lives until the device was detached and the last user has closed the disk.
#[pin_data]
pub(crate) struct Segment {
    plan: Plan,
    names: KVec<Name>,
    window: Window,
    dax: Dax,
    flush: Option<Arc<FlushQueue>>,
    space: Arc<Space>,
    #[pin]
    users: Mutex<Users>,
    reports: Atomic<u32>,
}

impl Segment {
    /// Maps the memory that `plan` says.
    ///
    /// DAX that is not possible makes a device without DAX, with a message that says why.
    fn new(space: Arc<Space>, plan: Plan, members: &[Member]) -> Result<Arc<Self>> {
        let mut names = KVec::with_capacity(members.len(), GFP_KERNEL)?;
        for member in members {
            names.push(member.name, GFP_KERNEL)?;
        }
        let (window, dax) = map(&space, &plan)?;
        if !matches!(dax, Dax::On) {
            pr_info!("segment {}: DAX {dax}\n", plan.name);
        }
        let flush = if plan.kind.read_only() {
            None
        } else {
            space.flush_queue()
        };

        Arc::pin_init(
            try_pin_init!(Self {
                plan,
                names,
                window,
                dax,
                flush,
                space,
                users <- new_mutex!(Users { count: 0, retired: false }),
                reports: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns the name of the device.
    pub(crate) fn name(&self) -> Name {
        self.plan.name
    }

    /// Returns the names of the segments of the device, in order of their addresses.
    pub(crate) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Returns the extent and the type of the device.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the space that the segments are in.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// Returns the guest-physical address of the device.
    pub(crate) fn address(&self) -> u64 {
        self.window.memory().phys_addr()
    }

    /// Returns whether DAX works.
    pub(crate) fn dax(&self) -> Dax {
        self.dax
    }

    /// Returns how many have opened the device; a mounted file system is one.
    pub(crate) fn users(&self) -> usize {
        self.users.lock().count
    }

    /// Keeps everybody from opening the device.
    ///
    /// Returns `EBUSY`, and keeps nobody from it, if the device is in use.
    pub(crate) fn retire(&self) -> Result {
        let mut users = self.users.lock();

        if users.count > 0 {
            return Err(EBUSY);
        }
        users.retired = true;
        Ok(())
    }

    fn flush(&self) -> Result {
        self.flush.as_ref().map_or(Ok(()), |flush| flush.flush())
    }

    /// Does what `bio` asks for.
    #[inline]
    fn serve(&self, bio: &Bio) -> Result {
        if bio.is_preflush() || bio.is_fua() {
            return self.serve_durably(bio);
        }
        self.copy(bio)
    }

    /// Copies the data of `bio`, if there is any.
    #[inline]
    fn copy(&self, bio: &Bio) -> Result {
        if !bio.has_data() {
            return Ok(());
        }
        let _accounting = bio.account();

        bio.transfer(self.window.memory())
            .inspect_err(|error| self.report(bio, *error))
    }

    /// Does what `bio` asks for, between flushes of the host's cache where it asks for them.
    #[cold]
    fn serve_durably(&self, bio: &Bio) -> Result {
        if bio.is_preflush() {
            self.flush()?;
        }
        self.copy(bio)?;
        if bio.is_fua() {
            self.flush()?;
        }
        Ok(())
    }

    /// Logs why `bio` failed, for the first few that do: user space could fill the log otherwise.
    #[cold]
    fn report(&self, bio: &Bio, error: Error) {
        let name = self.plan.name;

        if self.reports.fetch_add(1, Relaxed) >= MAX_REPORTS {
            return;
        }
        if bio.operation() == Operation::Write && self.plan.kind.read_only() {
            pr_warn!(
                "segment {name}: write to a read-only segment of type {} refused\n",
                self.plan.kind
            );
        } else {
            pr_warn!(
                "segment {name}: I/O at sector {} failed: {error:?}\n",
                bio.sector()
            );
        }
    }
}

/// Reserves and maps the memory of a device.
fn map(space: &Space, plan: &Plan) -> Result<(Window, Dax)> {
    let dax = if plan.dax_aligned(space.range.start()) {
        match Arc::pin_init(PageMap::new(reserve(space, plan)?), GFP_KERNEL) {
            Ok(pages) => return Ok((Window::Pages(pages), Dax::On)),
            Err(error) => Dax::NoPages(error),
        }
    } else {
        Dax::Misaligned(PageMap::align_bytes())
    };
    let mapping = MemRemap::new(reserve(space, plan)?)?;

    Ok((Window::Plain(mapping), dax))
}

/// Claims the memory of a device; the claim shows up in `/proc/iomem` as `NAME (DCSS)`.
fn reserve(space: &Space, plan: &Plan) -> Result<Reservation> {
    let access = if plan.kind.read_only() {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };

    let range = space.range.part(plan.offset_bytes, plan.size_bytes)?;

    Reservation::new(range, access, fmt!("{} (DCSS)", plan.name))
}

/// The operations of the disk.
struct SegmentDisk;

#[vtable]
impl disk::Operations for SegmentDisk {
    type Data = Arc<Segment>;
    type OwnerModule = crate::LocalModule;

    fn submit_bio(segment: ArcBorrow<'_, Segment>, bio: Bio) {
        let result = segment.serve(&bio);
        bio.end(result);
    }

    fn open(segment: ArcBorrow<'_, Segment>, mode: OpenMode) -> Result {
        if mode == OpenMode::ReadWrite && segment.plan.kind.read_only() {
            return Err(EROFS);
        }
        let mut users = segment.users.lock();
        if users.retired {
            return Err(ENXIO);
        }
        users.count += 1;
        Ok(())
    }

    fn release(segment: ArcBorrow<'_, Segment>) {
        let mut users = segment.users.lock();
        users.count = users.count.saturating_sub(1);
    }
}

/// An attached device with its disk. Dropping it detaches the device.
pub(crate) struct Attached {
    // Dropped first: the disk disappears while what it consists of is still there.
    _disk: disk::Registration<SegmentDisk>,
    segment: Arc<Segment>,
}

impl Attached {
    /// Makes a device of `members`, which `plan` was made for.
    pub(crate) fn new(space: Arc<Space>, plan: Plan, members: &[Member]) -> Result<Self> {
        let segment = Segment::new(space, plan, members)?;
        let options = disk::Options {
            capacity_sectors: plan.size_bytes >> SECTOR_SHIFT,
            read_only: plan.kind.read_only(),
            features: features(&segment),
            ..Default::default()
        };
        let mut disk =
            Disk::<SegmentDisk>::new(&options, fmt!("dcss!{}", plan.name), segment.clone())?;
        if let Window::Pages(pages) = &segment.window {
            disk.link_dax(dax::Device::new(pages.clone(), dax_flags(&segment))?)?;
        }

        let parent = segment.space.device.as_ref();

        Ok(Self {
            _disk: disk.register(Some(parent))?,
            segment,
        })
    }

    /// Returns what the device consists of.
    pub(crate) fn segment(&self) -> &Segment {
        &self.segment
    }
}

/// Returns what the block layer must know: I/O ends before `submit_bio` returns, and whether there
/// is anything to flush.
///
/// I/O statistics are off in the beginning, as for persistent memory: they cost more than the rest
/// of a small request. Writing 1 to `queue/iostats` switches them on.
fn features(segment: &Segment) -> Features {
    if segment.flush.is_some() {
        Feature::Synchronous | Feature::WriteCache | Feature::Fua
    } else {
        Feature::Synchronous.into()
    }
}

/// Returns whether user space may rely on its stores without a flush: where nothing can be stored.
fn dax_flags(segment: &Segment) -> dax::Flags {
    if segment.flush.is_some() {
        dax::Flags::empty()
    } else {
        dax::Flag::Synchronous.into()
    }
}
