// SPDX-License-Identifier: GPL-2.0

//! Making a segment space from directories and images.

mod content;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use onecopy_directory::Directory;
use onecopy_format::segment_space;
use onecopy_format::segment_space::Member;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::DAX_ALIGN_BYTES;
use onecopy_format::segment_space::ENTRY_BYTES;
use onecopy_format::segment_space::HEADER_BYTES;

use self::content::add_extent;
use self::content::add_image;
pub use self::content::MemberContent;
pub use self::content::MemberSource;
pub use self::content::Ownership;
use self::content::Target;
use crate::draft::Draft;
use crate::draft::Scratch;
use crate::erofs;
use crate::erofs::ImageOptions;
use crate::erofs::Mkfs;
use crate::error::Error;
use crate::group::Group;
use crate::progress::Meter;
use crate::progress::Progress;
use crate::progress::Stage;
use crate::publish::Form;
use crate::shelf::Shelf;
use crate::space::Space;
use crate::store::Store;
use crate::Result;

/// A segment space to be made.
#[derive(Debug)]
pub struct SpaceBuilder {
    name: Name,
    group: Option<Group>,
    members: Vec<MemberSource>,
    ownership: Ownership,
    mkfs: Option<Mkfs>,
    attributes: Option<String>,
    skeleton: Option<String>,
    sizes: BTreeMap<Name, u64>,
}

impl SpaceBuilder {
    /// Starts a segment space without members.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            group: None,
            members: Vec::new(),
            ownership: Ownership::Keep,
            mkfs: None,
            attributes: None,
            skeleton: None,
            sizes: BTreeMap::new(),
        }
    }

    /// Says which trust group the segment space must have, instead of the one that it has when the save
    /// begins.
    #[must_use]
    pub fn group(mut self, group: Option<Group>) -> Self {
        self.group = group;
        self
    }

    /// Adds a member behind the others.
    #[must_use]
    pub fn member(mut self, member: MemberSource) -> Self {
        self.members.push(member);
        self
    }

    /// Says who owns the files in the images of directories.
    #[must_use]
    pub fn ownership(mut self, ownership: Ownership) -> Self {
        self.ownership = ownership;
        self
    }

    /// Uses this mkfs.erofs instead of the one that [`Mkfs::find`] finds.
    #[must_use]
    pub fn mkfs(mut self, mkfs: Mkfs) -> Self {
        self.mkfs = Some(mkfs);
        self
    }

    /// Keeps a text beside the generation, which comes and goes with it.
    #[must_use]
    pub fn attributes(mut self, text: Option<String>) -> Self {
        self.attributes = text;
        self
    }

    /// Uses up the skeleton of the name, if that has this text, when the generation is published.
    #[must_use]
    pub fn skeleton(mut self, text: Option<String>) -> Self {
        self.skeleton = text;
        self
    }

    /// Gives a member a size in bytes, a multiple of 2 MiB, of which its content need not fill all.
    #[must_use]
    pub fn size(mut self, member: Name, size_bytes: u64) -> Self {
        self.sizes.insert(member, size_bytes);
        self
    }

    /// Makes the segment space and publishes it as the next generation.
    ///
    /// # Errors
    ///
    /// When the content cannot be read, no image be made of it, the members break a rule of the
    /// format, there is or comes a generation of another trust group, or the store is full. The store is
    /// then as it was.
    pub fn save(mut self, store: &Store, report: &mut dyn FnMut(Progress)) -> Result<Space> {
        if self.members.is_empty() {
            return Err(Error::NoMembers);
        }
        self.check_members()?;
        // What takes time is not begun in vain, and who wants no group does not join one that comes meanwhile.
        self.group = Some(store.group_for(self.name, self.group.as_ref())?);
        let shelf = store.shelf(self.name);
        let directory = shelf.create()?;
        // Makes room: generations that nobody uses any more.
        shelf.remove_unused()?;
        let draft = Draft::create(&directory)?;
        let mut members = Vec::with_capacity(self.members.len());
        let mut offset_bytes = align(directory_end_bytes(self.members.len()));
        for source in std::mem::take(&mut self.members) {
            let member = self.add(&source, offset_bytes, &draft, &directory, report)?;
            offset_bytes = member.end_bytes();
            members.push(member);
        }
        let space = self.publish(&draft, &shelf, &mut members, report)?;
        shelf.remove_unused()?;
        Ok(space)
    }

    /// Refuses names, types and counts that the format refuses, before any image is made.
    fn check_members(&self) -> Result<()> {
        let offset_bytes = align(directory_end_bytes(self.members.len()));
        let members: Vec<Member> = (0..)
            .zip(&self.members)
            .map(|(index, source)| Member {
                name: source.name,
                kind: source.kind,
                offset_bytes: offset_bytes + index * DAX_ALIGN_BYTES,
                size_bytes: DAX_ALIGN_BYTES,
                generation: 1,
                saved_unix_seconds: 0,
                sha256: [0; 32],
            })
            .collect();
        encode(self.name, 1, &members).map(drop)
    }

    /// Writes the content of a member into the draft.
    fn add(
        &mut self,
        source: &MemberSource,
        offset_bytes: u64,
        draft: &Draft,
        directory: &Directory,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Member> {
        let at = Target {
            draft,
            directory,
            name: source.name,
            offset_bytes,
        };
        let size_bytes = match &source.content {
            MemberContent::Directory(path) => self.add_directory(path, at, report)?,
            MemberContent::Image(path) => add_image(path, at, report)?,
            MemberContent::Extent {
                path,
                offset_bytes,
                size_bytes,
            } => add_extent(path, *offset_bytes, *size_bytes, at, report)?,
            MemberContent::Nothing { size_bytes } => align(*size_bytes),
        };
        let size_bytes = self.fit(source.name, size_bytes)?;
        let draft_bytes = offset_bytes.saturating_add(size_bytes);
        draft
            .file()
            .set_len(draft_bytes)
            .map_err(Error::io("extend a file in", directory.location()))?;
        let mut sha256 = [0; 32];
        if source.kind.saved() {
            sha256 = at.sha256(size_bytes, report)?;
        }
        Ok(Member {
            name: source.name,
            kind: source.kind,
            offset_bytes,
            size_bytes,
            generation: 1,
            saved_unix_seconds: 0,
            sha256,
        })
    }

    /// Returns the size of a member: the one that it was given, or as much as its content needs.
    fn fit(&self, member: Name, needed_bytes: u64) -> Result<u64> {
        match self.sizes.get(&member) {
            Some(&size_bytes) if size_bytes < needed_bytes => Err(Error::TooLarge {
                member,
                size_bytes,
                needed_bytes,
            }),
            Some(&size_bytes) => Ok(size_bytes),
            None => Ok(needed_bytes),
        }
    }

    fn add_directory(
        &mut self,
        path: &Path,
        at: Target<'_>,
        report: &mut dyn FnMut(Progress),
    ) -> Result<u64> {
        let failed = |source| Error::Mkfs {
            member: at.name,
            source,
        };
        let mkfs = match self.mkfs.take() {
            Some(mkfs) => mkfs,
            None => Mkfs::find().map_err(failed)?,
        };
        let mkfs = self.mkfs.insert(mkfs);
        let image = Draft::create(at.directory)?;
        let scratch = Scratch::create(at.directory)?;
        Meter::start(report, Stage::Building, Some(at.name), 0);
        let options = ImageOptions {
            space: self.name,
            member: at.name,
            ownership: self.ownership,
            scratch: &scratch.open_path(),
        };
        mkfs.run(path, &image.path(), options).map_err(failed)?;
        let aligned = erofs::AlignedImage::plan(image.file()).map_err(|source| Error::Layout {
            member: at.name,
            source,
        })?;
        let mut meter = Meter::start(report, Stage::Copying, Some(at.name), aligned.data_bytes());
        aligned
            .write(at.draft.file(), at.offset_bytes, &mut meter)
            .map_err(Error::io("write the image of", path))?;
        Ok(align(aligned.size_bytes()))
    }

    /// Completes the members, writes header and directory, and publishes the draft.
    fn publish(
        &self,
        draft: &Draft,
        shelf: &Shelf,
        members: &mut [Member],
        report: &mut dyn FnMut(Progress),
    ) -> Result<Space> {
        Meter::start(report, Stage::Publishing, None, 0);
        let directory = shelf.directory();
        // The data goes to disk before the lock is taken: that is what takes time.
        draft
            .file()
            .sync_all()
            .map_err(Error::io("write a file in", directory))?;
        let saved_unix_seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let publisher = shelf.lock()?;
        let generation = publisher.next_generation()?;
        for member in members.iter_mut() {
            member.generation = generation;
            member.saved_unix_seconds = saved_unix_seconds;
        }
        let block = encode(self.name, generation, members)?;
        draft
            .file()
            .write_all_at(&block, 0)
            .map_err(Error::io("write a file in", directory))?;
        let attributes = self.attributes.as_deref();
        shelf.publish_in_group(self.group.as_ref(), || {
            publisher.publish(draft, generation, members, attributes)
        })?;
        if let Some(skeleton) = &self.skeleton {
            shelf.use_up(|text| text == skeleton)?;
        }
        // As soon as we do not have the lock, another save may replace and remove it.
        Space::open_in(publisher.directory(), &Form::Segment.file_name(generation))
    }
}

/// Makes the header and the directory.
fn encode(name: Name, generation: u64, members: &[Member]) -> Result<Vec<u8>> {
    let space_bytes = members.last().map_or(0, Member::end_bytes);
    let len = usize::try_from(directory_end_bytes(members.len())).unwrap_or(usize::MAX);
    let mut block = vec![0; len];
    let written = segment_space::encode(name, generation, space_bytes, members, &mut block)
        .map_err(Error::Members)?;
    block.truncate(written);
    Ok(block)
}

/// Returns where the directory ends in a segment space of so many members.
fn directory_end_bytes(members: usize) -> u64 {
    HEADER_BYTES as u64 + members as u64 * ENTRY_BYTES as u64
}

/// Rounds up to the alignment that direct access needs.
///
/// A size that cannot be rounded up stays as it is, and the format refuses it.
fn align(bytes: u64) -> u64 {
    bytes
        .checked_next_multiple_of(DAX_ALIGN_BYTES)
        .unwrap_or(bytes)
}
