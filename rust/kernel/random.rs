// SPDX-License-Identifier: GPL-2.0

//! The random number generator.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// Makes sure that what the generator returns from now on depends on `secret`, which must be
/// random, known to nobody else and never used before.
///
/// For a virtual machine that was copied: without this its copies get the same random numbers. May
/// sleep. `secret` counts as eight bits of entropy for each byte.
#[cfg(CONFIG_VMGENID)]
pub fn reseed(secret: &[u8]) {
    // SAFETY: The functions only read so many bytes. Neither is called in atomic context.
    unsafe {
        bindings::add_hwgenerator_randomness(
            secret.as_ptr().cast(),
            secret.len(),
            secret.len() * 8,
            false,
        );
        bindings::add_vmfork_randomness(secret.as_ptr().cast(), secret.len());
    }
}
