// SPDX-License-Identifier: GPL-2.0

//! What guests share and what they cost, now and over time.
//!
//! - A [`Collector`] takes a [`Sample`] of everything: the host, each guest, each saved file. All
//!   guests are asked at the same time, and one that does not answer is shown as silent.
//! - [`Totals`] adds it up, a [`History`] is many of them.
//! - [`screen`] draws it for a terminal, [`metrics()`] writes it for Prometheus, and [`report()`] a
//!   page with plots.
//! - [`doctor`] looks for what is wrong.
//!
//! What is shown is made of samples by functions without I/O.

mod collect;
pub mod doctor;
mod files;
mod guest;
mod history;
mod host;
mod listing;
mod memory;
mod metrics;
mod pool;
mod report;
mod sample;
pub mod screen;
pub mod size;
pub mod time;
mod totals;

pub use self::collect::Collector;
pub use self::collect::ANSWER_TIMEOUT;
pub use self::history::History;
pub use self::history::HistoryError;
pub use self::history::Recorder;
pub use self::history::Shrink;
pub use self::listing::Listing;
pub use self::memory::FileMemory;
pub use self::memory::GuestMemory;
pub use self::memory::HostMemory;
pub use self::memory::Memory;
pub use self::memory::TotalMemory;
pub use self::metrics::metrics;
pub use self::report::report;
pub use self::report::PlotError;
pub use self::sample::AttachedSample;
pub use self::sample::FileSample;
pub use self::sample::GuestSample;
pub use self::sample::HostSample;
pub use self::sample::Pressure;
pub use self::sample::ProcessSample;
pub use self::sample::RangeSample;
pub use self::sample::Sample;
pub use self::sample::Stall;
pub use self::totals::Totals;
