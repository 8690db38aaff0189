// SPDX-License-Identifier: GPL-2.0

//! Segment spaces of guests: who has which, and who may.

mod attach;
mod attachment;
mod definition;
mod plan;
mod rules;

pub use self::attachment::Attachment;
pub use self::definition::DefinedMember;
pub use self::definition::SpaceDefinition;
pub use self::plan::SpaceWishes;
pub use self::rules::Rules;
