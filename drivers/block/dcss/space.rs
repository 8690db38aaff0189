// SPDX-License-Identifier: GPL-2.0

//! A segment space, as found on a virtio-pmem device.

use crate::{
    flush::FlushQueue,
    onecopy::segment_space::{
        Directory,
        FormatError,
        Header,
        Member,
        Name,
        NameError,
        HEADER_BYTES, //
    }, //
};
use kernel::{
    device::Bound,
    memremap::{
        Access,
        DeviceRange,
        MemRemap,
        Reservation, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    virtio, //
};

/// A segment space and its directory.
pub(crate) struct Space {
    /// The index of the virtio device, unique as long as the device exists.
    pub(crate) id: i32,
    /// The name that the host gave to the space.
    pub(crate) name: Name,
    /// The virtio device, the parent of the disks.
    pub(crate) device: ARef<virtio::Device>,
    /// Where the space is in guest-physical memory.
    pub(crate) range: DeviceRange,
    members: KVVec<Member>,
    flush: Option<Arc<FlushQueue>>,
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Error::from_errno(-error.errno())
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Error::from_errno(-error.errno())
    }
}

impl Space {
    /// Reads and validates the header and the directory of the space in `range`.
    ///
    /// Only these are read, so no page of a segment is touched. They are copied first: the host
    /// could change them between a check and a use.
    ///
    /// Returns `ENODEV` without a message if there is no segment space, so that another driver can
    /// take the device, and the errors of the format with one.
    pub(crate) fn read(vdev: &virtio::Device<Bound>, range: DeviceRange) -> Result<Self> {
        let report = |error: FormatError| {
            if error.errno() == ENODEV.to_errno().abs() {
                dev_dbg!(vdev, "not a segment space: {error}\n");
            } else {
                dev_err!(vdev, "segment space refused: {error}\n");
            }
            Error::from(error)
        };
        let size_bytes = range.len_bytes();

        let bytes = read_bytes(range, HEADER_BYTES.min(usize::try_from(size_bytes)?))?;
        let header = Header::parse(&bytes, size_bytes).map_err(report)?;

        let end_bytes = header.directory_offset_bytes() + header.directory_len_bytes();
        let bytes = read_bytes(range, usize::try_from(end_bytes)?)?;
        let directory = usize::try_from(header.directory_offset_bytes())
            .ok()
            .and_then(|offset| bytes.get(offset..))
            .ok_or(EIO)?;
        let directory = Directory::parse(&header, directory).map_err(report)?;

        let mut members = KVVec::with_capacity(directory.len(), GFP_KERNEL)?;
        for member in directory.members() {
            members.push(member, GFP_KERNEL)?;
        }
        dev_info!(
            vdev,
            "segment space {} generation {}: {} segments, {} MiB at {:#x}\n",
            header.name,
            header.generation,
            members.len(),
            header.space_bytes >> 20,
            range.start()
        );
        Ok(Self {
            id: vdev.index(),
            device: vdev.into(),
            name: header.name,
            range,
            members,
            flush: None,
        })
    }

    /// Returns whether any segment may be written, so that the host must be asked to flush it.
    pub(crate) fn is_writable(&self) -> bool {
        self.members.iter().any(|member| !member.kind.read_only())
    }

    /// Sets the queue that flush requests go to.
    pub(crate) fn set_flush_queue(&mut self, flush: Arc<FlushQueue>) {
        self.flush = Some(flush);
    }

    /// Returns the queue that flush requests go to, if there is one.
    pub(crate) fn flush_queue(&self) -> Option<Arc<FlushQueue>> {
        self.flush.clone()
    }

    /// Returns the segments in order of their addresses.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the segment `name`.
    pub(crate) fn find(&self, name: Name) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// Copies the first `len` bytes of `range`.
fn read_bytes(range: DeviceRange, len: usize) -> Result<KVVec<u8>> {
    let reservation = Reservation::new(
        range.part(0, u64::try_from(len)?)?,
        Access::ReadOnly,
        fmt!("segment space directory"),
    )?;
    let mapping = MemRemap::new(reservation)?;
    let mut bytes = KVVec::from_elem(0, len, GFP_KERNEL)?;

    mapping.read_into(0, &mut bytes)?;
    Ok(bytes)
}

#[cfg(CONFIG_BLK_DEV_DCSS_KUNIT_TEST)]
#[kernel::macros::kunit_tests(dcss_space)]
mod tests {
    use super::*;
    use crate::onecopy::segment_space::{
        encode,
        SegmentType,
        DAX_ALIGN_BYTES, //
    };

    const SPACE_BYTES: u64 = 4 * DAX_ALIGN_BYTES;

    /// Returns the header and the directory of a space with one segment.
    fn one_segment() -> Result<KVVec<u8>> {
        let member = Member {
            name: Name::new(b"USR")?,
            kind: SegmentType::Sr,
            offset_bytes: DAX_ALIGN_BYTES,
            size_bytes: DAX_ALIGN_BYTES,
            generation: 1,
            saved_unix_seconds: 0,
            sha256: [7; 32],
        };
        let mut bytes = KVVec::from_elem(0, 2 * HEADER_BYTES, GFP_KERNEL)?;

        encode(Name::new(b"SPACE")?, 1, SPACE_BYTES, &[member], &mut bytes)?;
        Ok(bytes)
    }

    fn errno_of(bytes: &[u8], device_bytes: u64) -> Option<Error> {
        Header::parse(bytes, device_bytes).err().map(Error::from)
    }

    #[test]
    fn what_the_host_writes_is_read_back() -> Result {
        let bytes = one_segment()?;
        let header = Header::parse(&bytes, SPACE_BYTES)?;
        let directory = Directory::parse(&header, bytes.get(HEADER_BYTES..).ok_or(EIO)?)?;
        let member = directory.find(Name::new(b"USR")?).ok_or(ENOENT)?;

        assert_eq!(directory.len(), 1);
        assert_eq!(member.offset_bytes, DAX_ALIGN_BYTES);
        assert_eq!(member.sha256, [7; 32]);
        Ok(())
    }

    #[test]
    fn another_device_is_left_to_other_drivers() -> Result {
        let mut bytes = one_segment()?;

        bytes.fill(0);
        assert_eq!(errno_of(&bytes, SPACE_BYTES), Some(ENODEV));
        Ok(())
    }

    #[test]
    fn damage_and_a_device_that_is_too_small_have_errors_of_their_own() -> Result {
        let mut bytes = one_segment()?;

        assert_eq!(errno_of(&bytes, DAX_ALIGN_BYTES), Some(ERANGE));
        *bytes.get_mut(40).ok_or(EIO)? ^= 1;
        assert_eq!(errno_of(&bytes, SPACE_BYTES), Some(EIO));
        Ok(())
    }
}
