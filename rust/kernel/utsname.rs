// SPDX-License-Identifier: GPL-2.0

//! The names of the system.
//!
//! C header: [`include/linux/utsname.h`](srctree/include/linux/utsname.h)

use crate::{
    bindings,
    prelude::*, //
};

/// The longest host name, in bytes.
pub const MAX_NODENAME_BYTES: usize = 64;

/// Sets the host name of the first name space, as `sethostname()` does. May sleep.
///
/// Returns `EINVAL` if it is longer than [`MAX_NODENAME_BYTES`] or has a NUL byte.
pub fn set_nodename(name: &str) -> Result {
    if name.len() > MAX_NODENAME_BYTES || name.contains('\0') {
        return Err(EINVAL);
    }

    // SAFETY: The name of the system is changed under `uts_sem` only, which is valid for ever. The
    // field has room for one byte more than the longest name.
    unsafe {
        bindings::down_write(&raw mut bindings::uts_sem);
        let uts_ns = &raw mut bindings::init_uts_ns;
        let to = &mut (*uts_ns).name.nodename;
        to.fill(0);
        for (to, from) in to.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        bindings::up_write(&raw mut bindings::uts_sem);
    }
    Ok(())
}
