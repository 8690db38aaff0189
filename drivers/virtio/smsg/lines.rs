// SPDX-License-Identifier: GPL-2.0

//! Lines out of a stream of bytes that comes in pieces.

/// The longest line, in bytes, without its end.
pub(crate) const MAX_LINE_BYTES: usize = 512;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The beginning of one that is too long.
    Cut(&'a [u8]),
}

/// What has come of a line that has not ended yet.
pub(crate) struct Lines {
    bytes: [u8; MAX_LINE_BYTES],
    len: usize,
    is_cut: bool,
}

impl Lines {
    /// Begins with a new line.
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MAX_LINE_BYTES],
            len: 0,
            is_cut: false,
        }
    }

    /// Takes a piece of the stream, and calls `each` for all lines that end in it. Empty lines are
    /// no lines.
    pub(crate) fn take(&mut self, piece: &[u8], mut each: impl FnMut(Line<'_>)) {
        for &byte in piece {
            if byte == b'\n' {
                let line = self.bytes.get(..self.len).unwrap_or_default();

                if self.is_cut {
                    each(Line::Cut(line));
                } else if !line.is_empty() {
                    each(Line::Whole(line));
                }
                self.len = 0;
                self.is_cut = false;
            } else if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            } else {
                self.is_cut = true;
            }
        }
    }
}

#[cfg(CONFIG_VIRTIO_SMSG_KUNIT_TEST)]
#[kernel::macros::kunit_tests(smsg_lines)]
mod tests {
    use super::*;

    /// Says what `piece` ends: how many bytes each line has, with a minus if it was cut.
    fn ended<const N: usize>(lines: &mut Lines, piece: &[u8]) -> [isize; N] {
        let mut ended = [0; N];
        let mut count = 0;

        lines.take(piece, |line| {
            // CAST: Lines are short.
            let len = match line {
                Line::Whole(bytes) => bytes.len() as isize,
                Line::Cut(bytes) => -(bytes.len() as isize),
            };
            if let Some(place) = ended.get_mut(count) {
                *place = len;
            }
            count += 1;
        });
        assert_eq!(count, N);
        ended
    }

    #[test]
    fn lines_may_come_in_pieces_and_several_at_once() {
        let mut lines = Lines::new();

        assert_eq!(ended(&mut lines, b"ab"), []);
        assert_eq!(ended(&mut lines, b"c\nde\n\n\nf"), [3, 2]);
        assert_eq!(ended(&mut lines, b"\n"), [1]);
    }

    #[test]
    fn the_next_line_after_one_that_is_too_long_is_whole() {
        let mut lines = Lines::new();
        let long = [b'x'; MAX_LINE_BYTES];

        assert_eq!(ended(&mut lines, &long), []);
        // CAST: Lines are short.
        let max = MAX_LINE_BYTES as isize;
        assert_eq!(ended(&mut lines, b"\n"), [max]);
        assert_eq!(ended(&mut lines, &long), []);
        assert_eq!(ended(&mut lines, b"y\nabc\n"), [-max, 3]);
    }

    #[test]
    fn a_line_has_the_bytes_that_came() {
        let mut lines = Lines::new();
        let mut is_right = false;

        lines.take(b"old\n1 A", |_| ());
        lines.take(b" B\n", |line| is_right = line == Line::Whole(b"1 A B"));
        assert!(is_right);
    }
}
