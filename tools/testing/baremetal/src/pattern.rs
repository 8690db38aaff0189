// SPDX-License-Identifier: GPL-2.0

//! What memory holds before and after pieces of it were given back.

use core::fmt;

use crate::pool::Piece;

/// A word that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Where it is.
    pub address: u64,
    /// What is there.
    pub found: u64,
    /// What should be there.
    pub expected: u64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            found,
            expected,
        } = self;
        write!(f, "{address:#x} holds {found:#x} instead of {expected:#x}")
    }
}

/// Returns the word that the guest writes to an address: never zero, and different at each.
pub fn word_at(address: u64) -> u64 {
    // Odd, so that the product is a permutation of the addresses; the last bit keeps it from zero.
    address.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The words that the guest wrote to it.
    Pattern,
    /// Zeroes: the host has discarded it.
    Zero,
}

/// Returns what the page at an address should hold after `pieces` were given back.
pub fn content(page: u64, pieces: &[Piece]) -> Content {
    if pieces.iter().any(|piece| piece.contains(page)) {
        Content::Zero
    } else {
        Content::Pattern
    }
}

/// Compares a word with what should be there.
///
/// # Errors
///
/// When it is something else.
pub fn verify(address: u64, found: u64, content: Content) -> Result<(), Mismatch> {
    let expected = match content {
        Content::Pattern => word_at(address),
        Content::Zero => 0,
    };
    if found == expected {
        Ok(())
    } else {
        Err(Mismatch {
            address,
            found,
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [Piece; 2] = [
        Piece {
            address: 16384,
            bytes: 4096,
        },
        Piece {
            address: 4096,
            bytes: 8192,
        },
    ];

    #[test]
    fn no_word_of_a_page_is_zero_or_repeats() {
        let mut words: Vec<_> = (0..512).map(|word| word_at(0x40_0000 + word * 8)).collect();
        assert!(!words.contains(&0));
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 512);
    }

    #[test]
    fn given_back_pages_are_zero_and_their_neighbours_are_not() {
        let zero = [4096, 8192, 16384];
        for page in (0..24576).step_by(4096) {
            let is_zero = content(page, &PIECES) == Content::Zero;
            assert_eq!(is_zero, zero.contains(&page), "{page}");
        }
    }

    #[test]
    fn a_mismatch_says_where_and_what() {
        assert_eq!(verify(4096, 0, Content::Zero), Ok(()));
        assert_eq!(verify(4096, word_at(4096), Content::Pattern), Ok(()));
        let mismatch = verify(4096, 7, Content::Zero).unwrap_err();
        assert_eq!(mismatch.to_string(), "0x1000 holds 0x7 instead of 0x0");
        assert!(verify(0, 0, Content::Pattern).is_err());
    }
}
