// SPDX-License-Identifier: GPL-2.0

//! A wish to give up what is being done.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Whether what is being done is to be given up: the number of the signal that has said so.
///
/// Clones share it. Whatever waits looks at it several times a second and fails then, so that all is
/// undone as after any other failure.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

/// A signal has said that this is to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Interrupted by signal {signal}")]
pub struct Interrupted {
    /// Its number.
    pub signal: usize,
}

impl Interrupt {
    /// Gives up what is being done, as if a signal had come.
    pub fn raise(&self, signal: usize) {
        self.signal.store(signal, Ordering::Relaxed);
    }

    /// Returns the number of the last signal, if one has come.
    pub fn signal(&self) -> Option<usize> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// Fails if a signal has come.
    ///
    /// # Errors
    ///
    /// With its number.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.signal() {
            None => Ok(()),
            Some(signal) => Err(Interrupted { signal }),
        }
    }
}

impl From<Arc<AtomicUsize>> for Interrupt {
    /// Uses what a handler of signals stores their numbers in.
    fn from(signal: Arc<AtomicUsize>) -> Self {
        Self { signal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_are_interrupted() {
        let interrupt = Interrupt::default();
        let clone = interrupt.clone();
        assert_eq!(clone.check(), Ok(()));
        interrupt.raise(15);
        assert_eq!(clone.signal(), Some(15));
        let error = clone.check().unwrap_err();
        assert_eq!(error.to_string(), "Interrupted by signal 15");
    }
}
