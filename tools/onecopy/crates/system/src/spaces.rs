// SPDX-License-Identifier: GPL-2.0

//! Segment spaces of guests: who has which, and who may.

mod attach;
mod attachment;
mod rules;

pub use self::attachment::Attachment;
pub use self::rules::Rules;
