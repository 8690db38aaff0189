// SPDX-License-Identifier: GPL-2.0

//! The random number generator.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// Makes sure that what the generator returns from now on depends on `secret`, which must be
/// random, known to nobody else and never used before.
///
/// For a virtual machine that was copied: without this its copies get the same random numbers.
/// `secret` counts as eight bits of entropy for each byte. Does not sleep: those who keep random
/// numbers of their own are told by [`notify_reseeded`], which has to follow.
#[cfg(CONFIG_VMGENID)]
pub fn reseed(secret: &[u8]) {
    // SAFETY: The functions only read so many bytes. The first one does not sleep, as its last
    // argument says.
    unsafe {
        bindings::add_hwgenerator_randomness(
            secret.as_ptr().cast(),
            secret.len(),
            secret.len() * 8,
            false,
        );
        bindings::reseed_after_vmfork(secret.as_ptr().cast(), secret.len());
    }
}

/// Tells all who have asked for it that this virtual machine was copied. May sleep.
#[cfg(CONFIG_VMGENID)]
pub fn notify_reseeded() {
    // SAFETY: This is not atomic context.
    unsafe { bindings::notify_vmfork() }
}
