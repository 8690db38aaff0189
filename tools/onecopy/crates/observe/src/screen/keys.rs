// SPDX-License-Identifier: GPL-2.0

//! What keys do.

use ratatui::crossterm::event::KeyCode;
use ratatui::crossterm::event::KeyEvent;
use ratatui::crossterm::event::KeyModifiers;

use super::View;

/// How many guests a page is.
const PAGE: usize = 10;

/// What follows a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The view is drawn again.
    Draw,
    /// It was the last.
    Quit,
}

impl View {
    /// Does what a key asks for; other keys change nothing.
    pub fn press(&mut self, key: KeyEvent) -> Next {
        // In raw mode Ctrl-C is a key and no signal.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Quit,
                _ => Next::Draw,
            };
        }
        if self.editing {
            self.edit(key.code);
            return Next::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Char('s' | '>') | KeyCode::Right => self.sort = self.sort.step(true),
            KeyCode::Char('<') | KeyCode::Left => self.sort = self.sort.step(false),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected += 1,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(PAGE),
            KeyCode::PageDown => self.selected += PAGE,
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = usize::MAX,
            _ => {}
        }
        self.clamp();
        Next::Draw
    }

    fn edit(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.editing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) => self.filter.push(character),
            _ => {}
        }
        self.clamp();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Column;
    use super::*;
    use crate::sample::tests::sample;

    fn press(view: &mut View, codes: impl IntoIterator<Item = KeyCode>) -> Next {
        let mut next = Next::Draw;
        for code in codes {
            next = view.press(KeyEvent::new(code, KeyModifiers::NONE));
        }
        next
    }

    fn names(view: &View) -> Vec<String> {
        view.guests()
            .iter()
            .map(|guest| guest.name.clone())
            .collect()
    }

    #[test]
    fn keys_sort_and_reverse() {
        let mut view = View {
            sample: sample(3),
            ..View::default()
        };
        assert_eq!(view.sort, Column::Unique);
        press(&mut view, [KeyCode::Left, KeyCode::Left, KeyCode::Left]);
        assert_eq!(names(&view), ["lx1", "lx2", "lx3"]);
        press(&mut view, [KeyCode::Char('r')]);
        assert_eq!(names(&view), ["lx3", "lx2", "lx1"]);
        // From the first column back to the last: only one guest has a balloon.
        press(&mut view, [KeyCode::Char('r'), KeyCode::Char('<')]);
        assert_eq!(view.sort, Column::Balloon);
        assert_eq!(names(&view), ["lx2", "lx1", "lx3"]);
    }

    #[test]
    fn a_filter_takes_all_keys_until_it_is_finished() {
        let mut view = View {
            sample: sample(12),
            selected: 11,
            ..View::default()
        };
        let keys = ['/', 'X', '1', 'q'].map(KeyCode::Char);
        assert_eq!(press(&mut view, keys), Next::Draw);
        assert_eq!((view.filter.as_str(), names(&view).len()), ("X1q", 0));
        press(&mut view, [KeyCode::Backspace, KeyCode::Enter]);
        assert_eq!(names(&view), ["lx1", "lx10", "lx11", "lx12"]);
        assert_eq!(view.selected, 0);
        press(&mut view, [KeyCode::Esc]);
        assert_eq!(names(&view).len(), 12);
        assert_eq!(press(&mut view, [KeyCode::Char('q')]), Next::Quit);
    }

    #[test]
    fn the_choice_stays_in_the_list_and_follows_its_guest() {
        let mut view = View {
            sample: sample(3),
            ..View::default()
        };
        press(&mut view, [KeyCode::End]);
        assert_eq!(view.chosen().unwrap().name, "lx3");
        press(&mut view, [KeyCode::PageDown, KeyCode::Down]);
        assert_eq!(view.selected, 2);
        let mut newer = sample(3);
        newer.guests[2].unique_bytes = Some(1 << 30);
        view.update(newer);
        assert_eq!(
            (view.selected, view.chosen().unwrap().name.as_str()),
            (0, "lx3")
        );
        view.update(sample(0));
        assert_eq!((view.selected, view.chosen()), (0, None));
    }

    #[test]
    fn control_c_ends_it_always() {
        let mut view = View {
            editing: true,
            ..View::default()
        };
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(view.press(key), Next::Quit);
    }
}
