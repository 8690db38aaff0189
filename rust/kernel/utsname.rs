// SPDX-License-Identifier: GPL-2.0

//! The names of the system.
//!
//! C header: [`include/linux/utsname.h`](srctree/include/linux/utsname.h)

use crate::{
    bindings,
    prelude::*, //
};
use core::ptr;

/// The longest host name, in bytes.
pub const MAX_NODENAME_BYTES: usize = 64;

/// Sets the host name of the first name space as `sethostname()` does, and tells those who poll it.
///
/// May sleep.
///
/// Returns `EINVAL` if it is longer than [`MAX_NODENAME_BYTES`] or has a NUL byte.
pub fn set_nodename(name: &str) -> Result {
    if name.len() > MAX_NODENAME_BYTES || name.contains('\0') {
        return Err(EINVAL);
    }

    // SAFETY: The name of the system is changed under `uts_sem` only, which is valid for ever. The
    // field has room for one byte more than the longest name. No reference to it is made, because
    // there are readers who take no lock.
    unsafe {
        bindings::down_write(&raw mut bindings::uts_sem);
        let to = (&raw mut bindings::init_uts_ns.name.nodename).cast::<u8>();
        ptr::write_bytes(to, 0, MAX_NODENAME_BYTES + 1);
        ptr::copy_nonoverlapping(name.as_ptr(), to, name.len());
        #[cfg(CONFIG_SYSCTL)]
        bindings::uts_proc_notify(bindings::uts_proc_UTS_PROC_HOSTNAME);
        bindings::up_write(&raw mut bindings::uts_sem);
    }
    Ok(())
}
