// SPDX-License-Identifier: GPL-2.0

//! `vm.cmm_pages`, `vm.cmm_timed_pages`, `vm.cmm_timeout`, as in the CMM module for s390.

use crate::{
    balloon::Balloon,
    numbers, //
};
use kernel::{
    fmt,
    prelude::*,
    sync::Arc,
    sysctl::{
        File,
        Table,
        Value, //
    }, //
};

/// Registers the files for `balloon`.
pub(crate) fn register(balloon: &Arc<Balloon>) -> Result<Table> {
    let mut files = KVec::with_capacity(3, GFP_KERNEL)?;
    let mut add =
        |name, value: Arc<dyn Value>| files.push(File::new(name, 0o644, value), GFP_KERNEL);

    add(
        c"cmm_pages",
        Arc::new(StaticPages(balloon.clone()), GFP_KERNEL)?,
    )?;
    add(
        c"cmm_timed_pages",
        Arc::new(TimedPages(balloon.clone()), GFP_KERNEL)?,
    )?;
    add(
        c"cmm_timeout",
        Arc::new(Timeout(balloon.clone()), GFP_KERNEL)?,
    )?;
    Table::register(c"vm", files)
}

/// Reading says what the static pool holds, writing sets what it is to hold.
struct StaticPages(Arc<Balloon>);

impl Value for StaticPages {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        write!(to, "{}", self.0.held().fixed)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.shrink(numbers::number(text)?);
        Ok(())
    }
}

/// Reading says what the timed pool holds, writing adds to what it is to hold.
struct TimedPages(Arc<Balloon>);

impl Value for TimedPages {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        write!(to, "{}", self.0.held().timed)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.release(numbers::number(text)?);
        Ok(())
    }
}

/// Pages and seconds: how the timed pool gives pages back.
struct Timeout(Arc<Balloon>);

impl Value for Timeout {
    fn show(&self, to: &mut fmt::Formatter<'_>) -> Result {
        let reuse = self.0.with(|state| state.reuse);

        write!(to, "{} {}", reuse.pages, reuse.seconds)?;
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        self.0.set_reuse(numbers::reuse(text)?);
        Ok(())
    }
}
