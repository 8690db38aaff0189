// SPDX-License-Identifier: GPL-2.0

//! What a guest costs its host.
//!
//! The figures are unique bytes (anonymous pages in the guest's memory, which only this guest
//! uses) and the proportional set size. The resident set size is reported too but says little: it
//! counts a page of a shared file once per guest, so sharing does not show in it.

mod page_cache;
mod pagemap;
mod pages;
mod ramblock;
mod smaps;
mod status;
mod usage;

pub use self::page_cache::Residency;
pub use self::pages::BlockPages;
pub use self::pages::Pages;
pub use self::ramblock::RamBlock;
pub use self::smaps::Mapping;
pub use self::smaps::Sizes;
pub use self::status::anonymous_bytes;
pub use self::usage::BlockUsage;
pub use self::usage::Usage;
