// SPDX-License-Identifier: GPL-2.0

//! Kernels that are saved once and started by name.
//!
//! A store is a directory:
//!
//! ```text
//! ROOT/systems/NAME/1/, 2/ ...          the generations of a saved system, read-only:
//!              manifest.toml            what there is, and the machine that it was saved on
//!              ew-0.img, sr-0.img ...   ranges of memory
//!              state                    devices, and the few pages of the rest of the memory
//! ROOT/systems/NAME/definition.toml     the skeleton: what the next save is to be like
//! ROOT/systems/NAME/current             symbolic link to the generation that new guests get
//! RUN/guests/GUEST/                     what belongs to a running guest, see [`guests`]
//! ```
//!
//! - [`kernel`] reads what a kernel says of itself, [`ranges`] divides memory for it. A
//!   [`Definition`] keeps that until the system is saved, and who may start from it.
//! - [`save()`] boots a template, stops it at the save point and publishes what it has become;
//!   [`save_running()`] does that with a guest.
//! - [`Systems`] lists, verifies and removes generations. A generation is in use while somebody
//!   has its directory locked, which ends with the process; it stays until then (class P).
//! - [`ipl()`] starts a guest from a generation. [`Running`] talks to one from another process.
//!
//! Everything is blocking, and every wait has a deadline, except that for the end of a guest.

mod balloon;
mod content;
mod control;
mod definition;
mod error;
mod evidence;
mod gate;
pub mod guests;
mod hardware;
mod ipl;
pub mod kernel;
pub mod manifest;
mod nic;
mod plug;
mod process;
pub mod ranges;
mod relay;
mod resources;
mod restriction;
mod save;
pub mod smsg;
mod spaces;
mod stamp;
mod systems;
mod text;

pub use onecopy_store::Class;
pub use onecopy_store::Purged;

pub use self::balloon::GuestMemory;
pub use self::balloon::MemoryQuery;
pub use self::control::Glance;
pub use self::control::Logoff;
pub use self::control::Observation;
pub use self::control::RangeUsage;
pub use self::control::Running;
pub use self::definition::Definition;
pub use self::definition::DefinitionError;
pub use self::definition::Plan;
pub use self::definition::Wishes;
pub use self::error::Error;
pub use self::guests::GuestName;
pub use self::guests::Guests;
pub use self::ipl::check;
pub use self::ipl::ipl;
pub use self::ipl::Guest;
pub use self::ipl::IplOptions;
pub use self::manifest::Manifest;
pub use self::nic::MacAddress;
pub use self::nic::MacAddressError;
pub use self::nic::NicError;
pub use self::nic::NicOptions;
pub use self::plug::PlugError;
pub use self::process::Process;
pub use self::resources::random_machine_id;
pub use self::resources::ResourceOptions;
pub use self::save::save;
pub use self::save::save_running;
pub use self::save::RunningOptions;
pub use self::save::SaveOptions;
pub use self::spaces::check_non_shared;
pub use self::spaces::Attachment;
pub use self::spaces::DefinedMember;
pub use self::spaces::Rules;
pub use self::spaces::SpaceCopy;
pub use self::spaces::SpaceDefinition;
pub use self::spaces::SpaceError;
pub use self::spaces::SpaceWishes;
pub use self::systems::FileCheck;
pub use self::systems::Generation;
pub use self::systems::Systems;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
