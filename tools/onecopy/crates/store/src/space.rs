// SPDX-License-Identifier: GPL-2.0

//! Reading a segment space and checking what it holds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;

use onecopy_format::segment_space::Directory;
use onecopy_format::segment_space::Header;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::HEADER_BYTES;

use crate::digest::sha256;
use crate::error::Error;
use crate::progress::Meter;
use crate::progress::Progress;
use crate::progress::Stage;
use crate::shelf::hold;
use crate::Result;

/// A segment space whose header and directory are valid.
#[derive(Debug)]
pub struct Space {
    path: PathBuf,
    file: File,
    header: Header,
    members: Vec<Member>,
}

/// What the recomputed digest of a member says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// The content is what was saved.
    Intact,
    /// The content differs, and the type of the member lets guests change it in the file.
    Changed,
    /// The content differs although nothing may change it.
    Corrupt {
        /// SHA-256 of what is there now.
        found: [u8; 32],
    },
    /// The type of the member has no saved content.
    NoData,
}

/// One checked member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCheck {
    /// Name of the member.
    pub name: Name,
    /// What the check found.
    pub state: MemberState,
}

impl Space {
    /// Opens a segment space and validates its header and directory.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or breaks a rule of the format.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        Self::read(file, path)
    }

    /// As [`Self::open`], in an open directory; a link is an error.
    pub(crate) fn open_in(directory: &onecopy_directory::Directory, name: &str) -> Result<Self> {
        let path = directory.path(name);
        let missing = || Error::io("open", &path)(std::io::ErrorKind::NotFound.into());
        let file = directory.file(name)?.ok_or_else(missing)?;
        Self::read(file, &path)
    }

    fn read(file: File, path: &Path) -> Result<Self> {
        let invalid = |source| Error::Format {
            path: path.to_owned(),
            source,
        };
        let file_bytes = file.metadata().map_err(Error::io("examine", path))?.len();
        let block = read_at_most(&file, 0, HEADER_BYTES as u64, file_bytes)
            .map_err(Error::io("read", path))?;
        let header = Header::parse(&block, file_bytes).map_err(invalid)?;
        let bytes = read_at_most(
            &file,
            header.directory_offset_bytes() as u64,
            header.directory_len_bytes() as u64,
            file_bytes,
        )
        .map_err(Error::io("read", path))?;
        let members = Directory::parse(&header, &bytes)
            .map_err(invalid)?
            .members()
            .collect();
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            members,
        })
    }

    /// Takes the generation into use for as long as this lives; `false` if it is being removed.
    ///
    /// # Errors
    ///
    /// When it cannot be locked.
    pub fn hold(&self) -> Result<bool> {
        hold(&self.file, &self.path)
    }

    /// Returns the open file; who has a copy of it holds what this holds.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the segment space.
    pub fn name(&self) -> Name {
        self.header.name
    }

    /// Returns the generation, from 1.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }

    /// Returns the size of the segment space in bytes, a multiple of 2 MiB.
    pub fn size_bytes(&self) -> u64 {
        self.header.space_bytes
    }

    /// Returns the members in ascending order of their offsets.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Computes the digest of every member again.
    ///
    /// # Errors
    ///
    /// When the file cannot be read; a wrong digest is a result, not an error.
    pub fn verify(&self, report: &mut dyn FnMut(Progress)) -> Result<Vec<MemberCheck>> {
        self.members
            .iter()
            .map(|member| self.verify_member(member, report))
            .collect()
    }

    fn verify_member(
        &self,
        member: &Member,
        report: &mut dyn FnMut(Progress),
    ) -> Result<MemberCheck> {
        if !member.kind.saved() {
            return Ok(MemberCheck {
                name: member.name,
                state: MemberState::NoData,
            });
        }
        let mut meter = Meter::start(report, Stage::Hashing, Some(member.name), member.size_bytes);
        let found = sha256(
            &self.file,
            member.offset_bytes,
            member.size_bytes,
            &mut meter,
        )
        .map_err(Error::io("read", &self.path))?;
        let state = if found == member.sha256 {
            MemberState::Intact
        } else if changes_in_place(member) {
            MemberState::Changed
        } else {
            MemberState::Corrupt { found }
        };
        Ok(MemberCheck {
            name: member.name,
            state,
        })
    }
}

/// Returns whether guests may store to the member in the file itself.
pub(crate) fn changes_in_place(member: &Member) -> bool {
    member.kind.shared() && !member.kind.read_only()
}

/// Reads `len` bytes, or fewer at the end of the file: what is missing is for the parser to say.
fn read_at_most(file: &File, offset: u64, len: u64, file_bytes: u64) -> std::io::Result<Vec<u8>> {
    let len = len.min(file_bytes.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
