// SPDX-License-Identifier: GPL-2.0

//! What `onecopy top` shows: a [`View`] of a sample, drawn into a buffer.
//!
//! Nothing here reads or writes anything: the same view gives the same picture, and a key gives the
//! next view.

mod column;
mod draw;
mod keys;

pub use self::column::Column;
pub use self::draw::draw;
pub use self::draw::height;
pub use self::draw::text;
pub use self::keys::Next;
use crate::GuestSample;
use crate::Sample;

/// What is looked at, and how.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The sample that is shown.
    pub sample: Sample,
    /// The one before, for what is said per second.
    pub previous: Option<Sample>,
    /// By what guests are sorted.
    pub sort: Column,
    /// Whether the order is the other way round.
    pub reversed: bool,
    /// Only guests whose name or system holds this.
    pub filter: String,
    /// Whether keys go to the filter.
    pub editing: bool,
    /// The place of the chosen guest among those that are shown.
    pub selected: usize,
    /// Whether somebody presses keys: then the choice, its details and the keys are shown.
    pub interactive: bool,
}

impl View {
    /// Takes a newer sample.
    pub fn update(&mut self, sample: Sample) {
        let chosen = self.chosen().map(|guest| guest.name.clone());
        self.previous = Some(std::mem::replace(&mut self.sample, sample));
        // The choice follows its guest when the order changes.
        let place = self
            .guests()
            .iter()
            .position(|guest| Some(&guest.name) == chosen.as_ref());
        self.selected = place.unwrap_or(self.selected);
        self.clamp();
    }

    /// Returns the guests that are shown, in order.
    pub fn guests(&self) -> Vec<&GuestSample> {
        let holds = |text: &str| text.to_lowercase().contains(&self.filter.to_lowercase());
        let mut guests: Vec<_> = self
            .sample
            .guests
            .iter()
            .filter(|guest| holds(&guest.name) || holds(&guest.system))
            .collect();
        // Stable, so guests of which the same is known stay in the order of their names.
        guests.sort_by(|one, other| self.sort.compare(self, one, other));
        if self.reversed {
            guests.reverse();
        }
        guests
    }

    /// Returns the chosen guest.
    pub fn chosen(&self) -> Option<&GuestSample> {
        self.guests().get(self.selected).copied()
    }

    /// Returns how much of one processor a guest has used between the two samples, in percent.
    pub fn cpu_percent(&self, guest: &GuestSample) -> Option<f64> {
        let previous = self.previous.as_ref()?;
        let before = previous
            .guests
            .iter()
            .find(|before| before.name == guest.name && before.pid == guest.pid)?;
        let elapsed_ms = self
            .sample
            .time_unix_ms
            .checked_sub(previous.time_unix_ms)?;
        if elapsed_ms == 0 {
            return None;
        }
        let used = guest.process?.cpu_seconds - before.process?.cpu_seconds;
        Some((used * 1e5 / elapsed_ms as f64).max(0.0))
    }

    fn clamp(&mut self) {
        let last = self.guests().len().saturating_sub(1);
        self.selected = self.selected.min(last);
    }
}
