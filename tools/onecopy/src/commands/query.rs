// SPDX-License-Identifier: GPL-2.0

//! `onecopy query`

pub(super) mod guests;
pub(super) mod memory;
pub(super) mod segments;
pub(super) mod systems;
