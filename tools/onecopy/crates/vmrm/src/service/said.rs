// SPDX-License-Identifier: GPL-2.0

//! What was said already, and need not be said again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::event::Event;
use crate::policy::Mode;

/// What was said in the rounds before.
#[derive(Debug, Default)]
pub(super) struct Said {
    is_busy: bool,
    /// Guests that do not answer, and why.
    silent: BTreeMap<String, String>,
    /// Guests that are named and do not run.
    unknown: BTreeSet<String>,
}

impl Said {
    /// Returns whether a round is worth a line: one in which something is done, and the first one after it.
    pub(super) fn is_worth_saying(&mut self, mode: Mode) -> bool {
        let is_busy = mode != Mode::Hold;
        std::mem::replace(&mut self.is_busy, is_busy) || is_busy
    }

    /// Returns what has changed with guests that do not answer, by the reason, and with those that do not run.
    /// `running` are the names of all that do.
    pub(super) fn changes(
        &mut self,
        silent: BTreeMap<String, String>,
        unknown: BTreeSet<String>,
        running: &[String],
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for (guest, error) in &silent {
            if self.silent.get(guest) != Some(error) {
                let (guest, error) = (guest.clone(), error.clone());
                events.push(Event::Silent { guest, error });
            }
        }
        let answers = |guest: &&String| !silent.contains_key(*guest) && running.contains(guest);
        let answering = self.silent.keys().filter(answers).cloned();
        events.extend(answering.map(|guest| Event::Answers { guest }));
        let missing = unknown.difference(&self.unknown).cloned();
        events.extend(missing.map(|guest| Event::Unknown { guest }));
        let found = self.unknown.difference(&unknown).cloned();
        events.extend(found.map(|guest| Event::Known { guest }));
        self.silent = silent;
        self.unknown = unknown;
        events
    }

    /// Returns whether everybody answers and runs, as of the last changes.
    pub(super) fn is_nobody_missing(&self) -> bool {
        self.silent.is_empty() && self.unknown.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(said: &mut Said, silent: &[(&str, &str)], unknown: &[&str]) -> Vec<String> {
        let silent = silent.iter();
        let silent = silent.map(|(name, error)| (name.to_string(), error.to_string()));
        let unknown = unknown.iter().map(|name| name.to_string());
        let running = ["web", "db"].map(str::to_owned);
        let events = said.changes(silent.collect(), unknown.collect(), &running);
        events.iter().map(Event::to_string).collect()
    }

    #[test]
    fn who_is_missing_is_mentioned_once_and_when_that_has_changed() {
        let mut state = Said::default();
        assert_eq!(said(&mut state, &[], &[]), [""; 0]);
        assert!(state.is_nobody_missing());
        assert_eq!(
            said(&mut state, &[("web", "hung")], &["mail"]),
            [
                "web: does not answer: hung",
                "mail: is named in the configuration, and does not run"
            ]
        );
        assert_eq!(said(&mut state, &[("web", "hung")], &["mail"]), [""; 0]);
        assert!(!state.is_nobody_missing(), "although nothing has changed");
        assert_eq!(
            said(&mut state, &[("web", "no balloon")], &["mail"]),
            ["web: does not answer: no balloon"]
        );
        assert_eq!(
            said(&mut state, &[], &[]),
            ["web: answers again", "mail: runs now"]
        );
        assert!(state.is_nobody_missing());
    }

    #[test]
    fn who_has_ended_does_not_answer_again() {
        let mut state = Said::default();
        said(&mut state, &[("gone", "hung")], &[]);
        assert_eq!(said(&mut state, &[], &[]), [""; 0]);
    }

    #[test]
    fn the_end_of_a_squeeze_is_worth_a_line_too() {
        let mut state = Said::default();
        let modes = [
            Mode::Hold,
            Mode::Squeeze,
            Mode::Hold,
            Mode::Hold,
            Mode::Ease,
        ];
        let said = modes.map(|mode| state.is_worth_saying(mode));
        assert_eq!(said, [false, true, true, false, true]);
    }
}
