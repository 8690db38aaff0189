// SPDX-License-Identifier: GPL-2.0

//! Which segment spaces exist, and which of their segments are attached.
//!
//! Lock order: [`REGISTRY`], then the user count of a segment. The registry is not locked while a
//! device is taken down: that waits for everybody who has one of its pages, however long it takes,
//! and must not keep others from their devices.

use crate::{
    known::Known,
    names::{
        split_devices,
        NameList, //
    },
    onecopy::segment_space::{
        Member,
        Name, //
    },
    plan::Plan,
    segment::Attached,
    space::Space, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

kernel::sync::global_lock! {
    // SAFETY: `init` below initialises it before the driver and configfs are registered.
    unsafe(uninit) static REGISTRY: Mutex<Registry> = Registry::new();
}

/// The state of the driver.
struct Registry {
    /// What the boot parameter wants attached.
    wanted: KVec<NameList>,
    spaces: KVec<Arc<Space>>,
    attached: KVec<Attached>,
    /// Devices that are being taken down: their memory is not free yet.
    leaving: KVec<Place>,
}

/// Where a device is: the index of the virtio device and the offset of the first segment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(i32, u64);

impl Place {
    fn of(attached: &Attached) -> Self {
        let segment = attached.segment();

        Self(segment.space().id, segment.plan().offset_bytes)
    }

    fn is_within(self, space: &Space, plan: &Plan) -> bool {
        let end_bytes = plan.offset_bytes + plan.size_bytes;

        self.0 == space.id && (plan.offset_bytes..end_bytes).contains(&self.1)
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            wanted: KVec::new(),
            spaces: KVec::new(),
            attached: KVec::new(),
            leaving: KVec::new(),
        }
    }

    /// Finds the attached device that contains segment `name`.
    fn find_attached(&self, name: Name) -> Option<usize> {
        self.attached
            .iter()
            .position(|attached| attached.segment().names().contains(&name))
    }

    /// Takes the attached device at `index` out, for [`take_down`] with the registry unlocked.
    fn take(&mut self, index: usize) -> Result<Attached> {
        let attached = self.attached.remove(index).map_err(|_| ENODEV)?;

        self.leaving.push(Place::of(&attached), GFP_KERNEL)?;
        Ok(attached)
    }

    /// Finds the space that has segment `name`; the oldest one if there are several.
    fn find_space(&self, name: Name) -> Option<&Arc<Space>> {
        self.spaces.iter().find(|space| space.find(name).is_some())
    }

    /// Finds the segments that `names` lists, all of which must be in one space.
    fn resolve(&self, names: &NameList) -> Result<(Arc<Space>, KVec<Member>)> {
        let mut members = KVec::new();
        let mut found: Option<&Arc<Space>> = None;

        for &name in names.as_slice() {
            let Some(space) = self.find_space(name) else {
                pr_err!("segment {name}: there is no such segment\n");
                return Err(ENOENT);
            };
            let space = *found.get_or_insert(space);
            let Some(member) = space.find(name) else {
                pr_err!("segment {name}: not in segment space {}\n", space.name);
                return Err(EINVAL);
            };
            members.push(*member, GFP_KERNEL)?;
        }
        Ok((found.ok_or(EINVAL)?.clone(), members))
    }

    fn attach(&mut self, names: &NameList) -> Result {
        for &name in names.as_slice() {
            if self.find_attached(name).is_some() {
                pr_err!("segment {name}: attached already\n");
                return Err(EEXIST);
            }
        }
        let (space, mut members) = self.resolve(names)?;
        let plan = Plan::new(&mut members)?;
        if self.leaving.iter().any(|it| it.is_within(&space, &plan)) {
            pr_err!("segment {}: still being detached\n", plan.name);
            return Err(EBUSY);
        }

        self.attached.reserve(1, GFP_KERNEL)?;
        // So that taking the device down needs no memory.
        self.leaving.reserve(self.attached.len() + 1, GFP_KERNEL)?;
        let attached = Attached::new(space, plan, &members)
            .inspect_err(|error| pr_err!("segment {}: not attached: {error:?}\n", plan.name))?;
        self.attached.push(attached, GFP_KERNEL)?;
        Ok(())
    }

    /// Attaches what the boot parameter lists and what is in `space`, which is new.
    fn attach_wanted(&mut self, space: &Space) {
        let wanted = core::mem::take(&mut self.wanted);

        for names in &wanted {
            let name = names.as_slice();
            let known = name.iter().all(|&name| space.find(name).is_some());
            let attached = name.iter().any(|&name| self.find_attached(name).is_some());
            if known && !attached {
                // The reason is in the log; a missing segment must not keep the others away.
                let _ = self.attach(names);
            }
        }
        self.wanted = wanted;
    }
}

/// Frees what the registry has when it is dropped, at the end of the module: a static is not.
pub(crate) struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        *REGISTRY.lock() = Registry::new();
    }
}

/// Prepares the registry for the segments that the boot parameter lists.
///
/// Must be called once, first of all functions of this module.
pub(crate) fn init(segments: &[u8]) -> Result<Guard> {
    // SAFETY: Called once, when the module is initialised.
    unsafe { REGISTRY.init() };

    let mut wanted = KVec::new();
    for device in split_devices(segments) {
        // The reason is in the log; a bad name must not keep the others away.
        if let Ok(names) = NameList::parse(device) {
            wanted.push(names, GFP_KERNEL)?;
        }
    }
    REGISTRY.lock().wanted = wanted;
    Ok(Guard(()))
}

/// Says which segments of the boot parameter are not there, now that all devices were probed.
pub(crate) fn report_missing() {
    let registry = REGISTRY.lock();

    for names in &registry.wanted {
        for &name in names.as_slice() {
            if registry.find_space(name).is_none() {
                pr_warn!("segment {name}: not found, will be attached when it appears\n");
            }
        }
    }
}

/// Adds a segment space and attaches those of its segments that the boot parameter lists.
pub(crate) fn add_space(space: Arc<Space>) -> Result {
    let mut registry = REGISTRY.lock();

    for member in space.members() {
        if let Some(other) = registry.find_space(member.name) {
            pr_warn!(
                "segment {}: in segment spaces {} and {}, the first one is used\n",
                member.name,
                other.name,
                space.name
            );
        }
    }
    registry.spaces.push(space.clone(), GFP_KERNEL)?;
    registry.attach_wanted(&space);
    Ok(())
}

/// Removes a segment space, because its device goes away.
///
/// Devices on it disappear. Where one is in use, its users get errors, and its struct pages stay
/// until the last one has closed it.
pub(crate) fn remove_space(id: i32) {
    REGISTRY.lock().spaces.retain(|space| space.id != id);

    while let Some(attached) = take_from_space(id) {
        let segment = attached.segment();
        if segment.users() > 0 {
            pr_err!(
                "segment {}: the device vanished while in use\n",
                segment.name()
            );
        }
        take_down(attached);
    }
}

/// Takes out a device that is on segment space `id`, if there is one left.
fn take_from_space(id: i32) -> Option<Attached> {
    let mut registry = REGISTRY.lock();
    let index = registry
        .attached
        .iter()
        .position(|attached| attached.segment().space().id == id)?;

    registry.take(index).ok()
}

/// Removes the disk and, unless somebody still uses it, the struct pages of a device.
fn take_down(attached: Attached) {
    let place = Place::of(&attached);

    drop(attached);
    REGISTRY.lock().leaving.retain(|leaving| *leaving != place);
}

/// Attaches the segments that a user lists as one device.
///
/// Returns the errors of [`NameList::parse`], `EEXIST` if a segment is attached already, `ENOENT`
/// if there is no such segment, `EINVAL` if the segments are not contiguous or have incompatible
/// types, `EBUSY` if a segment is still being detached or the memory is in use by another driver,
/// `ENOMEM`.
pub(crate) fn attach(input: &[u8]) -> Result {
    let names = NameList::parse(input)?;
    REGISTRY.lock().attach(&names)
}

/// Detaches the device that a user names.
///
/// Returns `ENAMETOOLONG` or `EINVAL` for a bad name, `ENODEV` if no such device is attached,
/// `EBUSY` while it is in use.
pub(crate) fn detach(input: &[u8]) -> Result {
    let names = NameList::parse(input)?;
    let [name] = names.as_slice() else {
        pr_err!("a device is detached by its own name only\n");
        return Err(EINVAL);
    };
    let mut registry = REGISTRY.lock();

    let position = registry
        .attached
        .iter()
        .position(|attached| attached.segment().name() == *name);
    let Some(position) = position else {
        pr_err!("segment {name}: cannot be detached, it is not attached\n");
        return Err(ENODEV);
    };
    if let Some(attached) = registry.attached.get(position) {
        attached.segment().retire().inspect_err(|_| {
            pr_err!("segment {name}: cannot be detached while it is in use\n");
        })?;
    }
    let attached = registry.take(position)?;
    // Who detaches a segment does not want it back when another space appears.
    registry
        .wanted
        .retain(|names| !names.as_slice().contains(name));
    drop(registry);

    take_down(attached);
    Ok(())
}

/// Calls `f` with what is known of segment `name`.
///
/// Returns `ENOENT` if there is no such segment.
pub(crate) fn with_known<T>(name: Name, f: impl FnOnce(Known<'_>) -> Result<T>) -> Result<T> {
    let registry = REGISTRY.lock();

    if let Some(attached) = registry
        .find_attached(name)
        .and_then(|index| registry.attached.get(index))
    {
        return f(Known::Attached(attached.segment()));
    }
    let space = registry.find_space(name).ok_or(ENOENT)?;
    f(Known::Available(space, space.find(name).ok_or(ENOENT)?))
}

/// Calls `f` for each segment that could be attached, until it fails.
pub(crate) fn for_each_available(mut f: impl FnMut(Name) -> Result) -> Result {
    let registry = REGISTRY.lock();
    let is_first = |space: &Arc<Space>, name| {
        let first = registry.find_space(name);
        first.is_some_and(|first| Arc::ptr_eq(first, space))
    };

    for space in &registry.spaces {
        for member in space.members() {
            let name = member.name;
            // A name that is in two spaces means the segment in the first one.
            if is_first(space, name) && registry.find_attached(name).is_none() {
                f(name)?;
            }
        }
    }
    Ok(())
}

/// Calls `f` for each device that is attached, until it fails.
pub(crate) fn for_each_attached(mut f: impl FnMut(Name) -> Result) -> Result {
    let registry = REGISTRY.lock();

    for attached in &registry.attached {
        f(attached.segment().name())?;
    }
    Ok(())
}
