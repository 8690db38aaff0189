// SPDX-License-Identifier: GPL-2.0

//! Remarks: what the user should know though nothing has failed. They go to standard error, each once.
//!
//! A keeper has no standard error: it passes its remarks on to the command that has started it.

use std::collections::BTreeSet;
use std::io;
use std::io::Write;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

/// What has been remarked.
static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Where remarks go instead of standard error.
static PASS_ON: OnceLock<fn(&str)> = OnceLock::new();

/// Lets this process pass its remarks on.
pub(crate) fn pass_on(pass: fn(&str)) {
    PASS_ON.get_or_init(|| pass);
}

/// Makes a remark, unless it was made before.
pub(crate) fn make(text: &str) {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.insert(text.to_owned()) {
        return;
    }
    match PASS_ON.get() {
        Some(pass) => pass(text),
        // Nothing fails because nobody reads remarks.
        None => drop(writeln!(io::stderr().lock(), "onecopy: {text}")),
    }
}
