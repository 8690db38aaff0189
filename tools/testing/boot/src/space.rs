// SPDX-License-Identifier: GPL-2.0

//! Segment spaces for tests: valid ones, and valid ones with changed bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_format::segment_space;
use onecopy_format::segment_space::crc32c;
use onecopy_format::segment_space::encoded_bytes;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_format::segment_space::DAX_ALIGN_BYTES;
use onecopy_format::segment_space::ENTRY_BYTES;
use onecopy_format::segment_space::HEADER_BYTES;
use sha2::Digest;
use sha2::Sha256;

/// A mebibyte.
pub const MIB: u64 = 1 << 20;

/// The generation of the spaces made here.
pub const GENERATION: u64 = 7;

/// A segment space in the making: its members in the order of their offsets.
#[derive(Debug, Clone)]
pub struct Layout {
    name: &'static str,
    members: Vec<MemberLayout>,
}

#[derive(Debug, Clone)]
struct MemberLayout {
    name: String,
    kind: SegmentType,
    offset_bytes: u64,
    size_bytes: u64,
}

/// A segment space in a file.
#[derive(Debug, Clone)]
pub struct SpaceFile {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The members; of a space with changed bytes, those before the change.
    pub members: Vec<Member>,
}

impl Layout {
    /// Starts a segment space without members.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            members: Vec::new(),
        }
    }

    /// Adds a member right behind the others, at the next boundary for DAX.
    #[must_use]
    pub fn member(self, name: &str, kind: SegmentType, size_bytes: u64) -> Self {
        let offset_bytes = self.end_bytes().next_multiple_of(DAX_ALIGN_BYTES);
        self.member_at(name, kind, offset_bytes, size_bytes)
    }

    /// Leaves out a range.
    #[must_use]
    pub fn member_after_gap(self, name: &str, kind: SegmentType, size_bytes: u64) -> Self {
        let offset_bytes = self.end_bytes().next_multiple_of(DAX_ALIGN_BYTES) + DAX_ALIGN_BYTES;
        self.member_at(name, kind, offset_bytes, size_bytes)
    }

    /// Adds a member at an offset.
    #[must_use]
    pub fn member_at(
        mut self,
        name: &str,
        kind: SegmentType,
        offset_bytes: u64,
        size_bytes: u64,
    ) -> Self {
        self.members.push(MemberLayout {
            name: name.to_owned(),
            kind,
            offset_bytes,
            size_bytes,
        });
        self
    }

    /// Writes the segment space to a new file `NAME.seg` in a directory. Members of types that
    /// save data have contents that differ from block to block.
    ///
    /// # Errors
    ///
    /// When the format refuses the members, or the file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<SpaceFile> {
        let path = directory.join(format!("{}.seg", self.name));
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let size_bytes = self.end_bytes().next_multiple_of(DAX_ALIGN_BYTES);
        file.set_len(size_bytes)?;
        let members: Vec<Member> = self
            .members
            .iter()
            .map(|member| member.write(&file))
            .collect::<Result<_>>()?;
        let mut head = vec![0; encoded_bytes(members.len())];
        let name = Name::new(self.name.as_bytes())?;
        segment_space::encode(name, GENERATION, size_bytes, &members, &mut head)?;
        file.write_all_at(&head, 0)?;
        Ok(SpaceFile {
            path,
            size_bytes,
            members,
        })
    }

    fn end_bytes(&self) -> u64 {
        let directory_end = u64::try_from(encoded_bytes(self.members.len())).unwrap_or(u64::MAX);
        self.members
            .last()
            .map_or(directory_end, |last| last.offset_bytes + last.size_bytes)
    }
}

impl MemberLayout {
    fn write(&self, file: &File) -> Result<Member> {
        let mut sha256 = [0; 32];
        if self.kind.saved() {
            let mut hasher = Sha256::new();
            let mut at = self.offset_bytes;
            let end = at + self.size_bytes;
            while at < end {
                let len = usize::try_from(MIB.min(end - at))?;
                let block = pattern(at, len);
                file.write_all_at(&block, at)?;
                hasher.update(&block);
                at += len as u64;
            }
            sha256 = hasher.finalize().into();
        }
        Ok(Member {
            name: Name::new(self.name.as_bytes())?,
            kind: self.kind,
            offset_bytes: self.offset_bytes,
            size_bytes: self.size_bytes,
            generation: GENERATION - 1,
            saved_unix_seconds: 1_700_000_000,
            sha256,
        })
    }
}

impl SpaceFile {
    /// Returns the member of a name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn member(&self, name: &str) -> Result<&Member> {
        let found = self
            .members
            .iter()
            .find(|member| member.name.as_str() == name);
        found.with_context(|| format!("no member {name}"))
    }

    /// Returns the digest of a range of the file.
    ///
    /// # Errors
    ///
    /// When the file does not have the range.
    pub fn digest(&self, offset_bytes: u64, len: usize) -> Result<String> {
        let mut bytes = vec![0; len];
        File::open(&self.path)?.read_exact_at(&mut bytes, offset_bytes)?;
        Ok(hexadecimal(&Sha256::digest(&bytes)))
    }

    /// Gives a member other contents; the digest in the directory stays.
    ///
    /// # Errors
    ///
    /// When there is no such member, or it is smaller.
    pub fn overwrite(&self, name: &str, contents: &[u8]) -> Result<()> {
        let member = self.member(name)?;
        ensure!(
            contents.len() as u64 <= member.size_bytes,
            "{name} has no room for {} bytes",
            contents.len()
        );
        let file = File::options().write(true).open(&self.path)?;
        Ok(file.write_all_at(contents, member.offset_bytes)?)
    }

    /// Changes bytes of the header and the directory, and leaves the rest as it is.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub fn change(&self, change: impl FnOnce(&mut Head)) -> Result<()> {
        let file = File::options().read(true).write(true).open(&self.path)?;
        let mut bytes = vec![0; encoded_bytes(self.members.len())];
        file.read_exact_at(&mut bytes, 0)?;
        let mut head = Head { bytes };
        change(&mut head);
        Ok(file.write_all_at(&head.bytes, 0)?)
    }

    /// Changes the size of the file, and of the device that it becomes.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    pub fn resize(&mut self, size_bytes: u64) -> Result<()> {
        File::options()
            .write(true)
            .open(&self.path)?
            .set_len(size_bytes)?;
        self.size_bytes = size_bytes;
        Ok(())
    }
}

/// The header and the directory of a segment space as bytes.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
}

impl Head {
    /// Overwrites bytes of the header.
    pub fn header(&mut self, offset: usize, bytes: &[u8]) {
        self.put(offset, bytes);
    }

    /// Overwrites bytes of the directory entry at `index`.
    pub fn entry(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        self.put(HEADER_BYTES + index * ENTRY_BYTES + offset, bytes);
    }

    /// Makes both checksums those of the contents again, so that only the contents are wrong.
    pub fn fix_checksums(&mut self) {
        let directory = crc32c(self.bytes.get(HEADER_BYTES..).unwrap_or_default());
        self.put(56, &directory.to_le_bytes());
        self.fix_header_checksum();
    }

    /// Makes the checksum of the header that of its contents again.
    pub fn fix_header_checksum(&mut self) {
        let header = crc32c(self.bytes.get(..HEADER_BYTES - 4).unwrap_or_default());
        self.put(HEADER_BYTES - 4, &header.to_le_bytes());
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    }
}

/// Returns contents for the range at `offset`: each 8 bytes are the mixed number of their place.
fn pattern(offset: u64, len: usize) -> Vec<u8> {
    let words = (offset / 8..).map(|index| {
        // The finaliser of SplitMix64.
        let mut word = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 27)
    });
    words.flat_map(u64::to_le_bytes).take(len).collect()
}

/// Spells bytes as the guest program does.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use onecopy_format::segment_space::Directory;
    use onecopy_format::segment_space::Header;

    use super::*;

    fn layout() -> Layout {
        Layout::new("T")
            .member("A", SegmentType::Sr, 2 * MIB)
            .member_after_gap("B", SegmentType::En, 4 * MIB)
            .member_at("C", SegmentType::Ew, 12 * MIB + 4096, 8192)
    }

    fn parse(space: &SpaceFile) -> std::result::Result<usize, i32> {
        let bytes = std::fs::read(&space.path).unwrap();
        let header = Header::parse(&bytes, space.size_bytes).map_err(|error| error.errno())?;
        let directory = Directory::parse(&header, &bytes[HEADER_BYTES..]);
        directory
            .map(|directory| directory.len())
            .map_err(|error| error.errno())
    }

    #[test]
    fn the_spaces_made_here_are_valid() {
        let directory = tempfile::tempdir().unwrap();
        let space = layout().write(directory.path()).unwrap();
        assert_eq!(parse(&space), Ok(3));
        assert_eq!(space.member("B").unwrap().offset_bytes, 6 * MIB);
        let a = space.member("A").unwrap();
        assert_eq!(
            space.digest(a.offset_bytes, 2 << 20).unwrap(),
            hexadecimal(&a.sha256)
        );
        assert_ne!(
            space.digest(2 << 20, 4096).unwrap(),
            space.digest(3 << 20, 4096).unwrap()
        );
    }

    #[test]
    fn changes_are_seen_with_and_without_their_checksums() {
        let directory = tempfile::tempdir().unwrap();
        let space = layout().write(directory.path()).unwrap();
        space.change(|head| head.entry(1, 8, &[9])).unwrap();
        assert_eq!(parse(&space), Err(5), "checksum");
        space.change(Head::fix_checksums).unwrap();
        assert_eq!(parse(&space), Err(22), "type");
    }
}
