// SPDX-License-Identifier: GPL-2.0

//! From the resources of a guest to its identity.

use crate::{
    clock,
    onecopy::resources::{
        self,
        ResourceError,
        Resources, //
    }, //
};
use kernel::{
    fmt,
    fw_cfg::FwCfg,
    new_mutex,
    new_spinlock,
    prelude::*,
    random,
    shared_kernel,
    str::CString,
    sync::{
        Mutex,
        SpinLock, //
    },
    sysfs::FirmwareDirectory,
    timekeeping,
    utsname, //
};

// The format knows nothing of the kernel.
impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Where user space finds the resources: below `/sys/firmware`.
const DIRECTORY: &CStr = c"ipl";

/// The identity of this guest; none while it is not one that was started from a saved system.
#[pin_data]
pub(crate) struct Identity {
    /// What the host says, from the first moment until the guest has become that.
    #[pin]
    text: SpinLock<Option<KVec<u8>>>,
    #[pin]
    directory: Mutex<Option<FirmwareDirectory>>,
}

impl Identity {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            text <- new_spinlock!(None),
            directory <- new_mutex!(None),
        })
    }

    /// Makes the guest what the resources say.
    fn assume(&self, resources: &Resources<'_>) -> Result {
        random::notify_reseeded();
        let host_ns = resources.time_ns().map_err(refuse)?;
        let time_ns = clock::wall_clock(timekeeping::persistent_clock(), host_ns);
        timekeeping::set_wall_clock(time_ns)?;

        let guest = resources.require(resources::GUEST).map_err(refuse)?;
        resources.machine_id().map_err(refuse)?;
        utsname::set_nodename(resources.get(resources::HOSTNAME).unwrap_or(guest))?;
        // Also if there is none: a guest that is saved again has had another one.
        let parm = resources.get(resources::PARM).unwrap_or("");
        shared_kernel::set_parm(&CString::try_from_fmt(fmt!("{parm}"))?)
            .inspect_err(|_| pr_err!("the parm is too long\n"))?;

        let mut directory = self.directory.lock();
        // The old one first: both have the same name.
        *directory = None;
        *directory = Some(show(resources)?);
        pr_info!("{guest}: started from a saved system\n");
        Ok(())
    }
}

impl shared_kernel::Handler for Identity {
    fn woken(&self) -> Result {
        let file = resources::FW_CFG_FILE;
        let mut fw_cfg =
            FwCfg::new().inspect_err(|_| pr_err!("there is no fw_cfg device with resources\n"))?;
        let text = fw_cfg
            .read_file(file, resources::MAX_BYTES, GFP_ATOMIC)?
            .ok_or(ENOENT)
            .inspect_err(|_| pr_err!("the host has no resources for this guest ({file})\n"))?;

        // Whatever happens from now on may need random numbers.
        let resources = Resources::parse(&text).map_err(refuse)?;
        random::reseed(&resources.seed().map_err(refuse)?);
        *self.text.lock() = Some(text);
        Ok(())
    }

    fn resumed(&self) -> Result {
        let text = self.text.lock().take().ok_or(ENOENT)?;

        self.assume(&Resources::parse(&text).map_err(refuse)?)
    }
}

fn refuse(error: ResourceError) -> Error {
    pr_err!("the resources of this guest are damaged: {error}\n");
    EINVAL
}

/// Shows all resources but the secret ones, one file each.
fn show(resources: &Resources<'_>) -> Result<FirmwareDirectory> {
    let mut directory = FirmwareDirectory::new(DIRECTORY)?;

    for (key, value) in resources.iter().filter(|(key, _)| *key != resources::SEED) {
        let mut content = KVec::with_capacity(value.len() + 1, GFP_KERNEL)?;
        content.extend_from_slice(value.as_bytes(), GFP_KERNEL)?;
        content.push(b'\n', GFP_KERNEL)?;
        directory.add(CString::try_from_fmt(fmt!("{key}"))?, content)?;
    }
    Ok(directory)
}
