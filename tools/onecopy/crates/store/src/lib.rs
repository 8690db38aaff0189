// SPDX-License-Identifier: GPL-2.0

//! Segment spaces on disk: building, publishing, listing and verifying them.
//!
//! A store is a directory:
//!
//! ```text
//! ROOT/segments/NAME/1.seg, 2.seg ...   the generations of a segment space, read-only
//! ROOT/segments/NAME/1.toml ...         what is kept beside them: who may attach a restricted one
//! ROOT/segments/NAME/definition.toml    the skeleton: what the next save is to be like
//! ROOT/segments/NAME/current            symbolic link to the generation that new guests get
//! ROOT/segments/NAME/group              its trust group, if that is not the usual one
//! ROOT/segments/NAME/.lock              held while a generation is published
//! ```
//!
//! A generation is written as a file without a name, or under a hidden one where the file system
//! knows no nameless files. It gets its name when it is complete and on disk, and `current` then
//! changes in one rename. So a full disk or a kill leaves either the old state or the new one.
//! Older generations stay for as long as somebody [holds](hold) them, which whoever maps one does.
//!
//! [`Publisher`] does the same for directories, the [form](Form) that the generations of saved
//! systems have (crate `onecopy-system`), and a [`Shelf`] is what both have of one name.
//!
//! The format of the files is in [`onecopy_format::segment_space`].

mod builder;
mod copy;
mod digest;
mod draft;
mod erofs;
mod error;
mod group;
mod kind;
mod lock;
mod progress;
mod publish;
mod shelf;
mod space;
mod store;

pub use self::builder::MemberContent;
pub use self::builder::MemberSource;
pub use self::builder::Ownership;
pub use self::builder::SpaceBuilder;
pub use self::draft::Scratch;
pub use self::erofs::LayoutError;
pub use self::erofs::Mkfs;
pub use self::erofs::MkfsError;
pub use self::error::listed;
pub use self::error::Error;
pub use self::group::Group;
pub use self::group::GroupError;
pub use self::kind::Kind;
pub use self::lock::Lock;
pub use self::progress::Progress;
pub use self::progress::Stage;
pub use self::publish::Form;
pub use self::publish::Publisher;
pub use self::publish::CURRENT;
pub use self::shelf::hold;
pub use self::shelf::holders;
pub use self::shelf::Class;
pub use self::shelf::Purged;
pub use self::shelf::Shelf;
pub use self::space::MemberCheck;
pub use self::space::MemberState;
pub use self::space::Space;
pub use self::store::names_in;
pub use self::store::Store;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
