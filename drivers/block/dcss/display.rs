// SPDX-License-Identifier: GPL-2.0

//! Lets the kernel print the values of the shared formats.
//!
//! The formats implement the trait of `core`, since they know nothing of the kernel.

use crate::onecopy::segment_space::{
    FormatError,
    Name,
    NameError,
    SegmentType, //
};
use kernel::fmt;

macro_rules! impl_display {
    ($($type:ty),*) => {
        $(
            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    core::fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}

impl_display!(FormatError, Name, NameError, SegmentType);
