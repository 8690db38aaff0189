// SPDX-License-Identifier: GPL-2.0

//! What a guest does once after it was started from a saved system.
//!
//! - [`clock`]: which time it is; pure logic.
//! - [`identity`]: takes the resources from the host and gives them to the kernel.
//! - [`onecopy`]: the format of the resources, the same source as that of the host's tools.
//!
//! See `Documentation/arch/x86/shared-kernel.rst`.

mod clock;
mod identity;
#[path = "../../../lib/onecopy/lib.rs"]
mod onecopy;

use identity::Identity;
use kernel::{
    prelude::*,
    shared_kernel,
    sync::Arc, //
};

module! {
    type: Ipl,
    name: "ipl",
    authors: ["the onecopy developers"],
    description: "Identity of guests that are started from a saved system",
    license: "GPL",
}

struct Ipl {
    _registration: shared_kernel::Registration,
}

impl kernel::Module for Ipl {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let identity = Arc::pin_init(Identity::new(), GFP_KERNEL)?;

        Ok(Self {
            _registration: shared_kernel::Registration::new(identity)?,
        })
    }
}
