// SPDX-License-Identifier: GPL-2.0

//! The test cases, one file per thing that is tested.

mod attach;
mod attached;
mod cmm;
mod cmm_faults;
mod cmm_hog;
mod cmm_module;
mod cmm_stress;
mod concurrency;
mod contents;
mod devices;
mod directories;
mod erofs;
mod ext4;
mod hotplug;
mod lost;
mod module;
mod names;
mod nics;
mod saved;
mod saved_again;
mod saved_segments;
mod saved_text;
mod sharing;
mod smsg;
mod smsg_faults;
mod types;
mod unplug;
mod vmrm;

use anyhow::Result;
use onecopy_boot::Driver;
use onecopy_boot::Kernel;

pub(crate) use self::directories::Evidence;
pub(crate) use self::saved_text::LIVEPATCH;
pub(crate) use self::saved_text::TRAMPOLINE;
use crate::context::Context;

/// Which kernels a case can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The driver is built in.
    BuiltIn,
    /// The driver is built in, and the kernel is not slowed down by checks of itself.
    BuiltInFast,
    /// The driver is built in, and the kernel checks itself.
    BuiltInDebug,
    /// The driver is a module.
    Module,
}

impl Needs {
    pub(crate) fn are_met(self, kernel: &Kernel) -> bool {
        match self {
            Self::BuiltIn => kernel.driver() == Driver::BuiltIn,
            Self::BuiltInFast => kernel.driver() == Driver::BuiltIn && !kernel.is_debug(),
            Self::BuiltInDebug => kernel.driver() == Driver::BuiltIn && kernel.is_debug(),
            Self::Module => kernel.driver() == Driver::Module,
        }
    }
}

/// A test case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// What is expected.
    pub(crate) name: &'static str,
    /// Where that can be tested.
    pub(crate) needs: Needs,
    /// The test.
    pub(crate) run: fn(&Context) -> Result<()>,
}

/// Makes a table of cases of functions: each is a case of the function's name.
macro_rules! cases {
    ($($needs:ident: $($function:ident),+;)+) => {
        pub(super) const CASES: &[$crate::cases::Case] = &[
            $($($crate::cases::Case {
                name: stringify!($function),
                needs: $crate::cases::Needs::$needs,
                run: $function,
            }),+),+
        ];
    };
}
use cases;

/// Fails unless two values are equal, and shows both.
macro_rules! ensure_eq {
    ($left:expr, $right:expr $(, $($what:tt)+)?) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            let what: &[String] = &[$(format!($($what)+))?];
            let what = what.concat();
            anyhow::bail!(
                "{}:{}: {} is {left:?}, not {right:?} {what}",
                file!(), line!(), stringify!($left)
            );
        }
    }};
}
use ensure_eq;

/// Returns all cases.
pub(crate) fn all() -> Vec<Case> {
    [
        attach::CASES,
        attached::CASES,
        cmm::CASES,
        cmm_faults::CASES,
        cmm_hog::CASES,
        cmm_module::CASES,
        cmm_stress::CASES,
        concurrency::CASES,
        contents::CASES,
        devices::CASES,
        directories::CASES,
        erofs::CASES,
        ext4::CASES,
        hotplug::CASES,
        lost::CASES,
        module::CASES,
        names::CASES,
        nics::CASES,
        saved::CASES,
        saved_again::CASES,
        saved_segments::CASES,
        saved_text::CASES,
        sharing::CASES,
        smsg::CASES,
        smsg_faults::CASES,
        types::CASES,
        unplug::CASES,
        vmrm::CASES,
    ]
    .concat()
}
