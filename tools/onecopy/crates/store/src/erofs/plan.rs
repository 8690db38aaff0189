// SPDX-License-Identifier: GPL-2.0

//! Deciding where file data goes.

use std::collections::BTreeMap;

use super::format::BLOCK_BYTES;
use super::image::FileData;
use super::image::LayoutError;
use super::image::Reference;
use super::image::Run;

/// Alignment of large files, in blocks: 2 MiB.
pub(super) const ALIGN_BLOCKS: u64 = (2 << 20) / BLOCK_BYTES;

/// Where data moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    /// The blocks in the old image.
    pub(super) run: Run,
    /// Address of the first block in the new image.
    pub(super) to: u32,
}

/// A pointer in the image and its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    /// Offset in bytes of the 32-bit address.
    pub(super) pointer: u64,
    /// The new address.
    pub(super) address: u32,
}

/// A new layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Blocks at the start of the image that hold everything but file data.
    pub(super) fixed_blocks: u64,
    /// Data to be moved; no two destinations overlap.
    pub(super) moves: Vec<Move>,
    /// Pointers to be changed.
    pub(super) patches: Vec<Patch>,
    /// Number of blocks of the new image.
    pub(super) blocks: u64,
}

impl Plan {
    /// Lays out the data of `files` behind the part of the image that is not file data.
    ///
    /// Files of 2 MiB or more start at multiples of 2 MiB, and so does each of their chunks. The
    /// others fill the gaps in between.
    pub(super) fn new(files: &[FileData], old_blocks: u64) -> Result<Self, LayoutError> {
        let fixed_blocks = fixed_blocks(files, old_blocks);
        let mut layout = Allocator::new(fixed_blocks);
        let (large, small): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_large(file));
        for reference in large.iter().flat_map(|file| &file.references) {
            layout.place(*reference, true)?;
        }
        for reference in small.iter().flat_map(|file| &file.references) {
            layout.place(*reference, false)?;
        }
        Ok(Self {
            fixed_blocks,
            moves: layout.placed.into_values().flatten().collect(),
            patches: layout.patches,
            blocks: layout.end,
        })
    }
}

/// Whether large mappings of the file are possible and its chunks allow them.
fn is_large(file: &FileData) -> bool {
    let align_bytes = ALIGN_BLOCKS * BLOCK_BYTES;
    file.size_bytes >= align_bytes && file.chunk_bytes >= align_bytes
}

/// Returns the number of blocks up to the last one that is not file data.
fn fixed_blocks(files: &[FileData], old_blocks: u64) -> u64 {
    let mut runs: Vec<Run> = files
        .iter()
        .flat_map(|file| &file.references)
        .map(|reference| reference.run)
        .collect();
    runs.sort_unstable_by_key(|run| run.end());
    let mut fixed = old_blocks;
    for run in runs.iter().rev() {
        if run.end() < fixed {
            break;
        }
        fixed = fixed.min(run.start.into());
    }
    fixed
}

/// Gives out blocks.
#[derive(Debug, Default)]
struct Allocator {
    end: u64,
    /// First blocks of the gaps, by their size in blocks.
    gaps: BTreeMap<u64, Vec<u64>>,
    /// What has been placed, by the old address; the largest first for each address.
    placed: BTreeMap<u32, Vec<Move>>,
    patches: Vec<Patch>,
}

impl Allocator {
    fn new(start: u64) -> Self {
        Self {
            end: start,
            ..Self::default()
        }
    }

    /// Finds a place for a run, unless the same data has one already.
    fn place(&mut self, reference: Reference, aligned: bool) -> Result<(), LayoutError> {
        let Reference { pointer, run } = reference;
        let address = match self.find(run, aligned) {
            Some(address) => address,
            None => {
                let to = self.allocate(run.blocks.into(), aligned)?;
                self.placed
                    .entry(run.start)
                    .or_default()
                    .push(Move { run, to });
                to
            }
        };
        self.patches.push(Patch { pointer, address });
        Ok(())
    }

    /// Returns the new address of a run that lies in one that has been placed.
    fn find(&self, run: Run, aligned: bool) -> Option<u32> {
        let (_, moves) = self.placed.range(..=run.start).next_back()?;
        moves.iter().find_map(|placed| {
            let address = placed.to.checked_add(run.start - placed.run.start)?;
            let fits = run.end() <= placed.run.end();
            let usable = !aligned || u64::from(address) % ALIGN_BLOCKS == 0;
            (fits && usable).then_some(address)
        })
    }

    fn allocate(&mut self, blocks: u64, aligned: bool) -> Result<u32, LayoutError> {
        let at = match self.take_gap(blocks, aligned) {
            Some(at) => at,
            None => {
                let at = if aligned {
                    self.end.next_multiple_of(ALIGN_BLOCKS)
                } else {
                    self.end
                };
                self.add_gap(self.end, at - self.end);
                self.end = at + blocks;
                at
            }
        };
        u32::try_from(at).map_err(|_| LayoutError::Unknown("an image beyond 16 TiB".to_owned()))
    }

    /// Takes blocks from the smallest gap that has enough; large files do not fit in gaps.
    fn take_gap(&mut self, blocks: u64, aligned: bool) -> Option<u64> {
        if aligned {
            return None;
        }
        let (&size, _) = self.gaps.range(blocks..).next()?;
        let starts = self.gaps.get_mut(&size)?;
        let start = starts.pop()?;
        if starts.is_empty() {
            self.gaps.remove(&size);
        }
        self.add_gap(start + blocks, size - blocks);
        Some(start)
    }

    fn add_gap(&mut self, start: u64, blocks: u64) {
        if blocks > 0 {
            self.gaps.entry(blocks).or_default().push(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK_BYTES: u64 = 2 << 20;

    /// A file whose chunks lie at the given blocks; the last chunk has `tail` blocks.
    fn file(starts: &[u32], tail: u32, pointer: u64) -> FileData {
        let last = starts.len() - 1;
        let references = (0..).zip(starts).map(|(index, &start)| Reference {
            pointer: pointer + index as u64 * 4,
            run: Run {
                start,
                blocks: if index == last { tail } else { 512 },
            },
        });
        FileData {
            size_bytes: last as u64 * CHUNK_BYTES + u64::from(tail) * BLOCK_BYTES,
            chunk_bytes: CHUNK_BYTES,
            references: references.collect(),
        }
    }

    fn address(plan: &Plan, pointer: u64) -> u32 {
        plan.patches
            .iter()
            .find(|patch| patch.pointer == pointer)
            .unwrap()
            .address
    }

    /// Checks what holds for every plan.
    fn check(plan: &Plan) {
        let mut taken: Vec<(u64, u64)> = plan
            .moves
            .iter()
            .map(|m| (u64::from(m.to), u64::from(m.to) + u64::from(m.run.blocks)))
            .collect();
        taken.sort_unstable();
        assert!(
            taken.windows(2).all(|pair| pair[0].1 <= pair[1].0),
            "{taken:?}"
        );
        assert!(taken
            .iter()
            .all(|&(start, end)| start >= plan.fixed_blocks && end <= plan.blocks));
    }

    #[test]
    fn large_files_are_aligned_and_small_ones_fill_the_gaps() {
        // Blocks 0..3 are metadata; small, large (700 blocks), small, large (512 blocks).
        let files = [
            file(&[3], 5, 100),
            file(&[8, 520], 188, 200),
            file(&[708], 9, 300),
            file(&[717], 512, 400),
        ];
        let plan = Plan::new(&files, 717 + 512).unwrap();
        check(&plan);
        assert_eq!(plan.fixed_blocks, 3);
        assert_eq!([address(&plan, 200), address(&plan, 204)], [512, 1024]);
        assert_eq!(address(&plan, 400), 1536);
        assert!(address(&plan, 100) < 1536 && address(&plan, 300) < 1536);
        assert_eq!(plan.blocks, 2048);
    }

    #[test]
    fn shared_data_is_moved_once() {
        let files = [file(&[1], 4, 100), file(&[1], 4, 200), file(&[5], 1, 300)];
        let plan = Plan::new(&files, 6).unwrap();
        check(&plan);
        assert_eq!(plan.moves.len(), 2);
        assert_eq!(address(&plan, 100), address(&plan, 200));
        assert_eq!(plan.blocks, 6);
    }

    #[test]
    fn a_part_of_a_larger_run_is_found_in_it() {
        // One chunk of 4 MiB, and a file of 2 MiB that equals its second half.
        let mut merged = file(&[16], 512, 100);
        merged.references[0].run.blocks = 1024;
        merged.size_bytes = 4 << 20;
        merged.chunk_bytes = 4 << 20;
        let plan = Plan::new(&[merged, file(&[528], 512, 200)], 16 + 1024).unwrap();
        check(&plan);
        assert_eq!(plan.moves.len(), 1);
        assert_eq!([address(&plan, 100), address(&plan, 200)], [512, 1024]);
    }

    #[test]
    fn a_large_file_does_not_share_data_at_an_unaligned_place() {
        // The large file's second chunk begins inside the first one's data.
        let plan = Plan::new(&[file(&[4, 104], 100, 100)], 516).unwrap();
        check(&plan);
        assert!(plan
            .patches
            .iter()
            .all(|patch| u64::from(patch.address) % ALIGN_BLOCKS == 0));
    }

    #[test]
    fn metadata_behind_the_data_stays_where_it_is() {
        let plan = Plan::new(&[file(&[3], 5, 100)], 20).unwrap();
        check(&plan);
        assert_eq!(plan.fixed_blocks, 20);
        assert_eq!(address(&plan, 100), 20);
    }

    #[test]
    fn an_image_without_data_keeps_its_size() {
        let plan = Plan::new(&[], 7).unwrap();
        assert_eq!(
            plan,
            Plan {
                fixed_blocks: 7,
                blocks: 7,
                ..Plan::default()
            }
        );
    }
}
