// SPDX-License-Identifier: GPL-2.0

//! Segment spaces of guests: who has which, and who may.

mod attach;
mod attachment;
mod copy;
mod definition;
mod error;
mod leftover;
mod pause;
mod plan;
mod private;
mod rules;

pub use self::attachment::Attachment;
pub use self::copy::SpaceCopy;
pub use self::definition::DefinedMember;
pub use self::definition::SpaceDefinition;
pub use self::error::SpaceError;
pub use self::plan::SpaceWishes;
pub use self::private::check_non_shared;
pub use self::rules::Rules;
