// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests of the format of segment spaces.

mod directory;
mod document;
mod encode;
mod header;
mod oracle;
mod properties;
mod sample;
mod values;
