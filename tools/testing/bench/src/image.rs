// SPDX-License-Identifier: GPL-2.0

//! The file system that guests run from: once as a segment, once as a plain disk image.

use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_machine::accounting::Residency;
use onecopy_machine::options::Access;
use onecopy_machine::SegmentDevice;
use onecopy_store::MemberContent;
use onecopy_store::MemberSource;
use onecopy_store::SpaceBuilder;
use onecopy_store::Store;
use rustix::fs::fadvise;
use rustix::fs::Advice;

/// Where the programs of the demo are in the root.
pub(crate) const PROGRAMS: &str = "usr/lib/onecopy-demo";

/// Name, mode and text of the programs of the demo.
const PROGRAM_FILES: [(&str, u32, &str); 3] = [
    ("init.sh", 0o755, include_str!("../guest/init.sh")),
    ("job.py", 0o644, include_str!("../guest/job.py")),
    (
        "file_cache.py",
        0o644,
        include_str!("../guest/file_cache.py"),
    ),
];

/// One EROFS image in two files.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Name of the segment.
    pub(crate) name: Name,
    /// The segment space that holds nothing but the segment.
    pub(crate) segment: SegmentDevice,
    /// The image alone.
    pub(crate) disk: PathBuf,
    /// Its size in bytes.
    pub(crate) disk_bytes: u64,
}

impl Image {
    /// Saves a directory as a segment, in a store of its own below `output`, and copies the image
    /// out of it.
    pub(crate) fn save(name: &str, directory: &Path, output: &Path) -> Result<Self> {
        let name: Name = name.parse()?;
        let root = output.join(format!("{name}.store"));
        remove_if_there(&root)?;
        let member = MemberSource {
            name,
            kind: SegmentType::Sr,
            content: MemberContent::Directory(directory.to_owned()),
        };
        let space = SpaceBuilder::new(name)
            .member(member)
            .save(&Store::open(&root), &mut |_| ())
            .with_context(|| format!("cannot save {} as a segment", directory.display()))?;
        let member = space
            .members()
            .first()
            .context("the segment space is empty")?;
        let disk = output.join(format!("{name}.erofs"));
        copy_extent(space.path(), member.offset_bytes, member.size_bytes, &disk)
            .with_context(|| format!("cannot write {}", disk.display()))?;
        Ok(Self {
            name,
            segment: SegmentDevice {
                path: space.path().to_owned(),
                size_bytes: space.size_bytes(),
                access: Access::ReadOnly,
            },
            disk,
            disk_bytes: member.size_bytes,
        })
    }

    /// Removes the files.
    pub(crate) fn remove(&self, output: &Path) -> Result<()> {
        fs::remove_file(&self.disk)?;
        remove_if_there(&output.join(format!("{}.store", self.name)))
    }
}

/// Puts the programs of the demo into the root.
pub(crate) fn install_programs(root: &Path) -> Result<()> {
    let directory = root.join(PROGRAMS);
    let install = || -> io::Result<()> {
        fs::create_dir_all(&directory)?;
        for (name, mode, text) in PROGRAM_FILES {
            let path = directory.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    install().with_context(|| format!("cannot put the demo into {}", directory.display()))
}

/// Makes the host's page cache forget a file that nobody maps.
///
/// # Errors
///
/// When the file stays: what guests cause to be read could not be measured then.
pub(crate) fn forget_cached(path: &Path) -> Result<()> {
    File::open(path)?.sync_all()?;
    drop_unmapped(path)?;
    let resident_bytes = Residency::of_file(path)?.resident_bytes;
    ensure!(
        resident_bytes == 0,
        "{resident_bytes} bytes of {} stay in the page cache; the page cache cannot be measured on \
         this file system",
        path.display()
    );
    Ok(())
}

/// Makes the host's page cache forget what nobody maps of a file.
pub(crate) fn drop_unmapped(path: &Path) -> Result<()> {
    Ok(fadvise(&File::open(path)?, 0, None, Advice::DontNeed)?)
}

fn copy_extent(from: &Path, offset: u64, len: u64, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    source.seek(SeekFrom::Start(offset))?;
    let mut destination = File::create(to)?;
    io::copy(&mut source.take(len), &mut destination)?;
    destination.set_len(len)
}

fn remove_if_there(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_is_copied_and_forgotten() {
        let directory = tempfile::tempdir_in(".").unwrap();
        let from = directory.path().join("from");
        let to = directory.path().join("to");
        fs::write(&from, [vec![1; 4096], vec![2; 8192], vec![3; 10]].concat()).unwrap();
        copy_extent(&from, 4096, 8192, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), vec![2; 8192]);
        assert_eq!(Residency::of_file(&to).unwrap().resident_bytes, 8192);
        forget_cached(&to).unwrap();
        assert_eq!(Residency::of_file(&to).unwrap().resident_bytes, 0);
    }
}
