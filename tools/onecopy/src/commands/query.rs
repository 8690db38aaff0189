// SPDX-License-Identifier: GPL-2.0

//! `onecopy query`

pub(super) mod guests;
pub(super) mod memory;
pub(super) mod segments;
pub(super) mod systems;

use std::error::Error as _;
use std::io;

use onecopy_system::guests::Record;
use onecopy_system::Error;
use onecopy_system::Guests;

/// Returns the guests that run. Who may read the store but not look at guests sees what is in it all the
/// same, and is told what is missing.
fn visible(guests: &Guests) -> onecopy_system::Result<Vec<Record>> {
    guests.list().or_else(|error| {
        if !is_hidden(&error) {
            return Err(error);
        }
        let error = anyhow::Error::from(error);
        eprintln!("onecopy: shown without guests: {error:#}");
        Ok(Vec::new())
    })
}

/// Returns whether a directory of guests is closed to us, and not refused by us.
fn is_hidden(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
    matches!(error, Error::Directory(_)) && source.is_some_and(denied)
}
