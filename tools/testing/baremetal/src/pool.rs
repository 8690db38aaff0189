// SPDX-License-Identifier: GPL-2.0

//! The memory that the guest can give back, as one row of pages.
//!
//! The balloon is always the first `n` pages of the row. Its whole state is therefore one number:
//! growing it gives back the pages that come next, shrinking it forgets them from the end.

use alloc::vec::Vec;
use core::ops::Range;

use crate::options::Order;
use crate::PAGE_BYTES;

/// Below this address are the firmware's tables and what it tells the guest, in bytes.
const LOW_MEMORY_BYTES: u64 = 1 << 20;
/// Rows begin at multiples of this at most, in bytes: two huge pages, the largest usual piece.
const MAX_ALIGN_BYTES: u64 = 4 << 20;

/// A range of addresses that one descriptor gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub address: u64,
    /// How long it is.
    pub bytes: u64,
}

impl Piece {
    /// Returns whether an address is in it.
    pub fn contains(&self, address: u64) -> bool {
        address
            .checked_sub(self.address)
            .is_some_and(|offset| offset < self.bytes)
    }
}

/// Pages at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    address: u64,
    pages: u64,
}

/// The pages that the guest can give back, in the order in which it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    extents: Vec<Extent>,
    piece_bytes: u64,
    /// Distance of two pages of an extent, in pages.
    stride_pages: u64,
}

impl Pool {
    /// Makes the row out of all RAM but the first MiB and the guest's own `image`.
    ///
    /// `piece_bytes` is a power of two of at least a page.
    pub fn new(
        ram: impl Iterator<Item = Range<u64>>,
        image: &Range<u64>,
        order: Order,
        piece_bytes: u64,
    ) -> Self {
        let stride_pages = match order {
            Order::Linear => 1,
            Order::Fragmented => 2,
        };
        let align_bytes = piece_bytes.min(MAX_ALIGN_BYTES);
        let extents = ram
            .flat_map(|range| cut_out(&range, image))
            .filter_map(|range| extent(&range, align_bytes, stride_pages))
            .collect();
        Self {
            extents,
            piece_bytes,
            stride_pages,
        }
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.extents.iter().map(|extent| extent.pages).sum()
    }

    /// Returns where the pages with these numbers are, in as few pieces as the size of pieces and
    /// the gaps allow. Numbers past the end of the row are left out.
    ///
    /// A piece never crosses a multiple of the size of pieces: that would split huge pages of the
    /// host that need not be split.
    pub fn pieces(&self, pages: Range<u64>) -> Pieces<'_> {
        Pieces { pool: self, pages }
    }

    /// Returns the first range of addresses without a gap, if it has this many bytes.
    pub fn contiguous(&self, bytes: u64) -> Option<Piece> {
        let extent = self.extents.first()?;
        let fits = self.stride_pages == 1 && extent.pages * PAGE_BYTES >= bytes;
        fits.then_some(Piece {
            address: extent.address,
            bytes,
        })
    }

    /// Returns whether a range of whole pages lies between the first and the last page of an extent.
    ///
    /// The pages that `order=fragmented` leaves out belong to the guest as well.
    pub fn covers(&self, range: Piece) -> bool {
        let aligned = (range.address | range.bytes) % PAGE_BYTES == 0;
        aligned
            && self.extents.iter().any(|extent| {
                let span = Piece {
                    address: extent.address,
                    bytes: extent.pages * self.stride_pages * PAGE_BYTES,
                };
                let offset = range.address.wrapping_sub(span.address);
                span.contains(range.address) && range.bytes <= span.bytes - offset
            })
    }

    /// Returns where a page is and how many pages follow it in its extent, itself included.
    fn locate(&self, page: u64) -> Option<(u64, u64)> {
        let mut rest = page;
        for extent in &self.extents {
            if rest < extent.pages {
                let address = extent.address + rest * self.stride_pages * PAGE_BYTES;
                return Some((address, extent.pages - rest));
            }
            rest -= extent.pages;
        }
        None
    }
}

/// The pieces of a part of the row; see [`Pool::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    pool: &'a Pool,
    pages: Range<u64>,
}

impl Pieces<'_> {
    /// Returns the number of the next page.
    pub fn position(&self) -> u64 {
        self.pages.start
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.pages.is_empty() {
            return None;
        }
        let (address, in_extent) = self.pool.locate(self.pages.start)?;
        let to_boundary = self.pool.piece_bytes - address % self.pool.piece_bytes;
        let pages = if self.pool.stride_pages > 1 {
            1
        } else {
            let wanted = self.pages.end - self.pages.start;
            wanted.min(in_extent).min(to_boundary / PAGE_BYTES)
        };
        self.pages.start += pages;
        Some(Piece {
            address,
            bytes: pages * PAGE_BYTES,
        })
    }
}

/// Returns what is left of a range below and above another.
fn cut_out(range: &Range<u64>, hole: &Range<u64>) -> [Range<u64>; 2] {
    [
        range.start..range.end.min(hole.start),
        range.start.max(hole.end)..range.end,
    ]
}

/// Returns the pages of a range, from its first aligned address on.
fn extent(range: &Range<u64>, align_bytes: u64, stride_pages: u64) -> Option<Extent> {
    let start = range.start.max(LOW_MEMORY_BYTES);
    let address = start.checked_next_multiple_of(align_bytes)?;
    let pages = range.end.checked_sub(address)? / PAGE_BYTES / stride_pages;
    (pages > 0).then_some(Extent { address, pages })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const PAGES_PER_MIB: u64 = MIB / PAGE_BYTES;

    fn pool(order: Order, piece_bytes: u64) -> Pool {
        let ram = [0..0x9_fc00, MIB..64 * MIB + 5000, 4096 * MIB..4100 * MIB];
        Pool::new(ram.into_iter(), &(MIB..3 * MIB), order, piece_bytes)
    }

    fn all(pool: &Pool) -> Vec<Piece> {
        pool.pieces(0..u64::MAX).collect()
    }

    #[test]
    fn the_image_low_memory_and_odd_bytes_are_left_out() {
        let pieces = all(&pool(Order::Linear, 4 * MIB));
        assert_eq!(pieces.first().unwrap().address, 4 * MIB);
        assert_eq!(pieces.len(), 15 + 1 + 1);
        assert_eq!(
            pieces[15],
            Piece {
                address: 64 * MIB,
                bytes: PAGE_BYTES
            }
        );
        assert_eq!(pieces[16].address, 4096 * MIB);
    }

    #[test]
    fn all_pages_are_in_exactly_one_piece() {
        for piece_bytes in [PAGE_BYTES, 65536, 2 * MIB, 4 * MIB, 1024 * MIB] {
            let pool = pool(Order::Linear, piece_bytes);
            let mut end = 0;
            let mut bytes = 0;
            for piece in all(&pool) {
                assert!(piece.address >= end && piece.bytes <= piece_bytes);
                end = piece.address + piece.bytes;
                bytes += piece.bytes;
            }
            assert_eq!(bytes, pool.pages() * PAGE_BYTES);
        }
    }

    #[test]
    fn pieces_end_at_multiples_of_their_size() {
        let pool = pool(Order::Linear, 4 * MIB);
        let pieces: Vec<_> = pool.pieces(PAGES_PER_MIB..9 * PAGES_PER_MIB).collect();
        let sizes: Vec<_> = pieces.iter().map(|piece| piece.bytes / MIB).collect();
        assert_eq!(sizes, [3, 4, 1]);
        assert_eq!(pieces[1].address, 8 * MIB);
    }

    #[test]
    fn a_part_continues_where_it_stopped() {
        let pool = pool(Order::Linear, 2 * MIB);
        let mut pieces = pool.pieces(0..4 * PAGES_PER_MIB);
        pieces.next().unwrap();
        assert_eq!(pieces.position(), 2 * PAGES_PER_MIB);
        assert_eq!(pieces.next().unwrap().address, 6 * MIB);
        assert_eq!(pieces.next(), None);
    }

    #[test]
    fn fragmented_pages_never_touch() {
        let pool = pool(Order::Fragmented, 4 * MIB);
        let pieces = all(&pool);
        assert!(pieces.iter().all(|piece| piece.bytes == PAGE_BYTES));
        assert!(pieces
            .windows(2)
            .all(|pair| pair[1].address - pair[0].address >= 2 * PAGE_BYTES));
        assert_eq!(pool.contiguous(PAGE_BYTES), None);
    }

    #[test]
    fn contiguous_memory_is_in_the_first_range() {
        let pool = pool(Order::Linear, 4 * MIB);
        assert_eq!(pool.contiguous(60 * MIB).unwrap().address, 4 * MIB);
        assert_eq!(pool.contiguous(61 * MIB), None);
    }

    #[test]
    fn only_whole_pages_of_the_pool_are_covered() {
        for order in [Order::Linear, Order::Fragmented] {
            let pool = pool(order, 4 * MIB);
            for (address, bytes, covered) in [
                (4 * MIB, 60 * MIB, true),
                (4096 * MIB, 4 * MIB, true),
                (3 * MIB, MIB, false),
                (4 * MIB, 61 * MIB, false),
                (4 * MIB + 8, 4096, false),
                (4 * MIB, 100, false),
                (4095 * MIB, 2 * MIB, false),
            ] {
                assert_eq!(
                    pool.covers(Piece { address, bytes }),
                    covered,
                    "{address:#x}"
                );
            }
        }
    }

    #[test]
    fn a_piece_ends_before_its_end() {
        let piece = Piece {
            address: 8192,
            bytes: 4096,
        };
        assert!(piece.contains(8192) && piece.contains(12_287));
        assert!(!piece.contains(8191) && !piece.contains(12_288));
    }
}
