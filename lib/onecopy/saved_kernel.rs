// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What a kernel with `CONFIG_SHARED_KERNEL` says of itself: the ELF note `onecopy` of type 1, and
//! the gate that the host and a template share in guest-physical memory.
//!
//! All numbers are little-endian. The other side is `arch/x86/kernel/shared_kernel.c`.

/// The name of the note, without the NUL behind it, and its type.
pub const NOTE_NAME: &str = "onecopy";
/// See [`NOTE_NAME`].
pub const NOTE_TYPE: u32 = 1;

/// The version of the layout that this code knows.
pub const NOTE_VERSION: u32 = 1;

/// The size of the note's descriptor, in bytes.
const NOTE_BYTES: usize = 40;

/// What shared ranges begin and end at.
pub const SEGMENT_BYTES: u64 = 2 << 20;

/// What is wrong with a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// The descriptor is too short.
    Length(usize),
    /// The version is one that this code does not know.
    Version(u32),
    /// The ranges are not in order, or the shared one is not in whole segments.
    Ranges,
}

impl core::fmt::Display for NoteError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(bytes) => write!(f, "the note has only {bytes} bytes"),
            Self::Version(version) => {
                write!(f, "the note has version {version}, not {NOTE_VERSION}")
            }
            Self::Ranges => f.write_str("the ranges in the note make no sense"),
        }
    }
}

/// Where the parts of a kernel are, as guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where text and read-only data begin.
    pub shared_start: u64,
    /// Where they end.
    pub shared_end: u64,
    /// Where the image ends.
    pub image_end: u64,
    /// Where the gate is.
    pub gate: u64,
    /// Whether all writers of the kernel's text can fail, so that the host may protect it.
    pub can_protect: bool,
}

/// Bit of the note's flags: see [`Layout::can_protect`].
const NOTE_CAN_PROTECT: u32 = 1;

impl Layout {
    /// Reads the descriptor of a note. What is behind the fields that are known is ignored.
    pub fn parse(descriptor: &[u8]) -> Result<Self, NoteError> {
        let short = NoteError::Length(descriptor.len());
        if descriptor.len() < NOTE_BYTES {
            return Err(short);
        }
        let version = u32::from_le_bytes(field(descriptor, 0).ok_or(short)?);
        if version != NOTE_VERSION {
            return Err(NoteError::Version(version));
        }
        let flags = u32::from_le_bytes(field(descriptor, 4).ok_or(short)?);
        let number = |offset| {
            field(descriptor, offset)
                .map(u64::from_le_bytes)
                .ok_or(short)
        };
        let layout = Self {
            shared_start: number(8)?,
            shared_end: number(16)?,
            image_end: number(24)?,
            gate: number(32)?,
            can_protect: flags & NOTE_CAN_PROTECT != 0,
        };
        layout.check()
    }

    fn check(self) -> Result<Self, NoteError> {
        let is_segment = |address: u64| address & (SEGMENT_BYTES - 1) == 0;
        let in_order = 0 < self.shared_start
            && self.shared_start < self.shared_end
            && self.shared_end <= self.gate
            && self.gate < self.image_end;

        if in_order && is_segment(self.shared_start) && is_segment(self.shared_end) {
            Ok(self)
        } else {
            Err(NoteError::Ranges)
        }
    }
}

/// The first eight bytes of the gate.
pub const GATE_MAGIC: [u8; 8] = *b"copygate";

/// Where the gate has its state, an `u32`, in bytes from its beginning.
pub const GATE_STATE: u64 = 8;

/// Bit of the gate's flags, an `u32` behind the state: stores into the shared range are lost.
const GATE_PROTECTED: u32 = 1;

/// How many bytes the gate has.
pub const GATE_BYTES: usize = 16;

/// The state of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The kernel is not at the save point.
    Closed,
    /// The template can be saved: set by the kernel.
    Waiting,
    /// The guest was started from what was saved: set by the host.
    Resumed,
    /// The template cannot be saved; its console says why.
    Refused,
    /// The host came too late.
    Left,
}

impl Gate {
    /// Reads a gate; [`None`] if this is none, or of a state that this code does not know.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if field(bytes, 0) != Some(GATE_MAGIC) {
            return None;
        }
        match u32::from_le_bytes(field(bytes, 8)?) {
            0 => Some(Self::Closed),
            1 => Some(Self::Waiting),
            2 => Some(Self::Resumed),
            3 => Some(Self::Refused),
            4 => Some(Self::Left),
            _ => None,
        }
    }

    /// Returns the state [`Self::Resumed`] with the flags behind it, which go to [`GATE_STATE`].
    pub fn resumed(is_protected: bool) -> [u8; 8] {
        let flags = if is_protected { GATE_PROTECTED } else { 0 };
        let number = u64::from(flags) << 32 | 2;
        number.to_le_bytes()
    }
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes
        .get(offset..)?
        .get(..N)
        .and_then(|bytes| bytes.try_into().ok())
}
