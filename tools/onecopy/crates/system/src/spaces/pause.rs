// SPDX-License-Identifier: GPL-2.0

//! Guests that are paused while their memory is copied, and go on always.
//!
//! Who pauses a guest notes that in its directory. If he is killed in between, whoever finds the note lets
//! the guest go on: the next copy, or `doctor --clean`.

use std::fs;
use std::io;
use std::path::PathBuf;

use onecopy_machine::qmp::commands;

use crate::control::Running;
use crate::error::Error;
use crate::guests::PAUSED_BY;
use crate::process::Process;
use crate::Result;

/// A guest that is paused by us, unless somebody else had paused it before. When this is dropped it goes on.
pub(super) struct Paused<'a> {
    running: &'a Running,
    is_ours: bool,
}

impl<'a> Paused<'a> {
    /// Pauses a guest whose lock we have.
    pub(super) fn new(running: &'a Running) -> Result<Self> {
        if running.is_left_paused() {
            running.go_on_and_forget()?;
        }
        let is_ours = running.state()? == "running";
        if is_ours {
            let note = running.note();
            Process::ours()
                .and_then(|process| {
                    let text = toml::to_string(&process).map_err(io::Error::other)?;
                    fs::write(&note, text)
                })
                .map_err(Error::io("write", &note))?;
        }
        // From here on the guest goes on, also if it was stopped and QEMU's answer was lost.
        let paused = Self { running, is_ours };
        if is_ours {
            running.ask(&commands::Stop {})?;
        }
        Ok(paused)
    }

    /// Lets the guest go on.
    pub(super) fn go_on(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_ours) {
            self.running.go_on_and_forget()?;
        }
        Ok(())
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // The error that has brought us here is told. If this fails the note stays.
        let _ = self.end();
    }
}

impl Running {
    /// Returns whether the guest was paused by somebody who was killed before it could go on.
    pub fn is_left_paused(&self) -> bool {
        let Ok(text) = fs::read_to_string(self.note()) else {
            return false;
        };
        // One that is being written is his who lives.
        let process = toml::from_str::<Process>(&text);
        process.is_ok_and(|process| !process.is_alive())
    }

    /// Lets the guest go on if it [was left paused](Self::is_left_paused).
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.lock_running()?;
        if self.is_left_paused() {
            self.go_on_and_forget()?;
        }
        Ok(())
    }

    fn go_on_and_forget(&self) -> Result<()> {
        self.ask(&commands::Cont {})?;
        let note = self.note();
        fs::remove_file(&note).map_err(Error::io("remove", &note))
    }

    fn note(&self) -> PathBuf {
        self.directory().join(PAUSED_BY)
    }
}
