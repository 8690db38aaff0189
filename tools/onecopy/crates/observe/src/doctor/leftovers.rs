// SPDX-License-Identifier: GPL-2.0

//! What a crash has left, and removing it.

use std::env::temp_dir;
use std::fmt;
use std::path::PathBuf;

use onecopy_format::segment_space::Name;
use onecopy_store::Form;
use onecopy_store::Shelf;
use onecopy_store::Store;
use onecopy_system::guests::Stale;
use onecopy_system::GuestName;
use onecopy_system::Guests;
use onecopy_system::Running;

use crate::guest::chain;

/// Something that belongs to nobody any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// Of a guest whose keeper has ended.
    Guest(Stale),
    /// A directory with sockets of a machine whose process has ended without removing it.
    Sockets(PathBuf),
    /// Of a save that was killed: drafts, and a generation that was never current.
    Save {
        /// The saved system or the segment space.
        name: Name,
        /// Which of both it is.
        form: Form,
        /// What is left.
        paths: Vec<PathBuf>,
    },
    /// A guest that somebody has paused to copy its memory who was killed before it could go on.
    Paused(GuestName),
    /// Generations of a saved system or a segment space that new guests do not get, and whose last guest has ended
    /// without removing them.
    Generations {
        /// The saved system or the segment space.
        name: Name,
        /// Which of both it is.
        form: Form,
        /// The generations.
        generations: Vec<u64>,
    },
}

impl Leftover {
    /// Finds everything, and what could not be looked at. Nothing is changed, but a lock may be made
    /// in each directory.
    pub fn find(store: &Store, guests: &Guests) -> (Vec<Self>, Vec<String>) {
        let (mut found, mut failed) = (Vec::new(), Vec::new());
        match guests.stale() {
            Ok(stale) => found.extend(stale.into_iter().map(Self::Guest)),
            Err(error) => failed.push(chain(&error)),
        }
        match onecopy_machine::abandoned() {
            Ok(paths) => found.extend(paths.into_iter().map(Self::Sockets)),
            Err(error) => failed.push(format!("Cannot read {}: {error}", temp_dir().display())),
        }
        // That they cannot be read was said just now.
        let listed = guests.examine().unwrap_or_default();
        // Whether these are left of a crash is not known.
        failed.extend(listed.unknown.iter().map(|unknown| chain(&unknown.error)));
        let paused = listed.guests.into_iter();
        let paused = paused.filter(|record| Running::listed(guests, record).is_left_paused());
        found.extend(paused.map(|record| Self::Paused(record.guest)));
        for form in [Form::Segment, Form::System] {
            match Shelf::all(store.root(), form) {
                Ok(shelves) => saved(&shelves, &mut found, &mut failed),
                Err(error) => failed.push(chain(&error)),
            }
        }
        (found, failed)
    }

    /// Removes it, if it still belongs to nobody.
    ///
    /// # Errors
    ///
    /// With the reason in words, when it cannot be removed.
    pub fn clean(&self, store: &Store, guests: &Guests) -> Result<(), String> {
        match self {
            Self::Guest(stale) => {
                let removed = guests.remove_stale(stale);
                removed.map(|_| ()).map_err(|error| chain(&error))
            }
            Self::Sockets(path) => {
                let removed = onecopy_machine::remove_abandoned(path);
                let failed = |error| format!("Cannot remove {}: {error}", path.display());
                removed.map(|_| ()).map_err(failed)
            }
            Self::Paused(guest) => {
                let resumed = Running::find(guests, guest).and_then(|running| running.resume());
                resumed.map_err(|error| chain(&error))
            }
            Self::Save { name, form, .. } => {
                // To get this right is to remove what others have left.
                let right = Shelf::new(store.root(), *form, *name).lock();
                right.map(|_| ()).map_err(|error| chain(&error))
            }
            Self::Generations { name, form, .. } => {
                let removed = Shelf::new(store.root(), *form, *name).remove_unused();
                removed.map(|_| ()).map_err(|error| chain(&error))
            }
        }
    }

    /// Returns a word for its kind, for programs that read this.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Guest(_) => "stale-guest",
            Self::Sockets(_) => "stale-sockets",
            Self::Paused(_) => "paused-guest",
            Self::Save { .. } => "killed-save",
            Self::Generations { .. } => "unused-generations",
        }
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guest(stale) => {
                write!(f, "Guest {} has no keeper any more:", stale.guest)?;
                let mut separator = " ";
                for emulator in &stale.emulators {
                    write!(f, "{separator}QEMU {} still runs", emulator.pid)?;
                    separator = ", ";
                }
                if let Some(directory) = &stale.directory {
                    write!(f, "{separator}directory {}", directory.display())?;
                }
                Ok(())
            }
            Self::Sockets(path) => {
                let path = path.display();
                write!(f, "A process with a guest has ended and left {path}")
            }
            Self::Paused(guest) => {
                write!(
                    f,
                    "Guest {guest} was paused to be copied, and who did it was killed"
                )
            }
            Self::Save { paths, .. } => {
                write!(f, "A save was killed and has left")?;
                let mut separator = " ";
                for path in paths {
                    write!(f, "{separator}{}", path.display())?;
                    separator = ", ";
                }
                Ok(())
            }
            Self::Generations {
                name, generations, ..
            } => {
                let numbers: Vec<_> = generations.iter().map(u64::to_string).collect();
                let plural = if numbers.len() == 1 { "" } else { "s" };
                let numbers = numbers.join(", ");
                write!(
                    f,
                    "Nobody uses generation{plural} {numbers} of {name} (class P)"
                )
            }
        }
    }
}

/// Finds what is left of saves and their generations.
fn saved(shelves: &[Shelf], found: &mut Vec<Leftover>, failed: &mut Vec<String>) {
    for shelf in shelves {
        let (name, form) = (shelf.name(), shelf.form());
        let looked = shelf.leftovers().and_then(|paths| {
            if !paths.is_empty() {
                found.push(Leftover::Save { name, form, paths });
            }
            shelf.unused()
        });
        match looked {
            Ok(generations) if generations.is_empty() => {}
            Ok(generations) => found.push(Leftover::Generations {
                name,
                form,
                generations,
            }),
            Err(error) => failed.push(chain(&error)),
        }
    }
}
