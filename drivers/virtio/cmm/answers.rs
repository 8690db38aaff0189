// SPDX-License-Identifier: GPL-2.0

//! Waiting for the host.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    }, //
};

/// How long the host may take for what it was given.
const HOST_TIMEOUT_MS: Msecs = 30_000;

/// How long, if the device is about to be reset anyway.
const HURRY_TIMEOUT_MS: Msecs = 1_000;

/// What the worker waits with for the answers of all queues.
#[pin_data]
pub(crate) struct Answers {
    #[pin]
    arrived: Completion,
    hurry: Atomic<bool>,
}

impl Answers {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                arrived <- Completion::new(),
                hurry: Atomic::new(false),
            }),
            GFP_KERNEL,
        )
    }

    /// There may be an answer. May be called in interrupt context.
    pub(crate) fn arrived(&self) {
        self.arrived.complete_all();
    }

    /// Whether to wait for a short time only, from now on.
    pub(crate) fn set_hurry(&self, hurry: bool) {
        self.hurry.store(hurry, Relaxed);
        self.arrived.complete_all();
    }

    /// Waits until `look` finds an answer, and returns it.
    ///
    /// `look` is called again when an answer may have come, and once more when the time is over.
    /// Returns its errors, and `ETIMEDOUT`.
    pub(crate) fn wait<T>(&self, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            self.arrived.reinit();
            let hurry = self.hurry.load(Relaxed);
            if let Some(found) = look()? {
                return Ok(found);
            }
            let timeout = if hurry {
                HURRY_TIMEOUT_MS
            } else {
                HOST_TIMEOUT_MS
            };
            let timeout = msecs_to_jiffies(timeout);
            if self.arrived.wait_for_completion_timeout(timeout).is_none() {
                return look()?.ok_or(ETIMEDOUT);
            }
        }
    }
}
