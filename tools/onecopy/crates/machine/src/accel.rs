// SPDX-License-Identifier: GPL-2.0

//! Which accelerator to use.
//!
//! `/dev/kvm` may exist and be of no use, for example in a sandbox that interprets most of the
//! guest's code. KVM is therefore chosen only after a small guest has really run on it, and fast
//! enough; the answer is remembered until the host boots again.

mod cache;
mod trial;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::options::Accel;
use crate::qemu::Qemu;

pub use self::trial::Verdict;

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// KVM if a trial boot succeeds on it, else TCG.
    #[default]
    Auto,
    /// This one, tried or not.
    Fixed(Accel),
}

/// A word that is not an accelerator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of auto, kvm, tcg")]
pub struct UnknownChoice(String);

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, UnknownChoice> {
        match word {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Fixed(Accel::Kvm)),
            "tcg" => Ok(Self::Fixed(Accel::Tcg)),
            other => Err(UnknownChoice(other.to_owned())),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(accel) => accel.fmt(f),
        }
    }
}

/// Decides on an accelerator, with a trial boot if the answer is not known yet.
pub fn choose(choice: Choice, qemu: &Qemu) -> Accel {
    match choice {
        Choice::Fixed(accel) => accel,
        Choice::Auto if kvm_verdict(qemu) == Verdict::Works => Accel::Kvm,
        Choice::Auto => Accel::Tcg,
    }
}

/// Says whether KVM works, and if not, why.
pub fn kvm_verdict(qemu: &Qemu) -> Verdict {
    if !Path::new("/dev/kvm").exists() {
        return Verdict::Fails("there is no /dev/kvm".to_owned());
    }
    let cache = cache::Cache::of_this_boot(qemu);
    if let Some(verdict) = cache.as_ref().and_then(cache::Cache::load) {
        return verdict;
    }
    let verdict = trial::boot(qemu, Accel::Kvm);
    if let Some(cache) = cache {
        cache.store(&verdict);
    }
    verdict
}

/// Says whether a guest runs on the accelerator, by a trial boot now.
pub fn try_boot(qemu: &Qemu, accel: Accel) -> Verdict {
    trial::boot(qemu, accel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_spelled_as_they_are_shown() {
        for word in ["auto", "kvm", "tcg"] {
            assert_eq!(word.parse::<Choice>().unwrap().to_string(), word);
        }
        let error = "hvf".parse::<Choice>().unwrap_err();
        assert_eq!(error.to_string(), "\"hvf\" is not one of auto, kvm, tcg");
    }
}
