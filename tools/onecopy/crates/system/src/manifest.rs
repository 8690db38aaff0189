// SPDX-License-Identifier: GPL-2.0

//! What a generation consists of, and the machine that it was saved on.
//!
//! The text is TOML. Its last line is a comment with the SHA-256 of what is before it, so that a
//! manifest that was cut or changed is noticed; it has the digests of all other files.

use onecopy_format::saved_kernel::SEGMENT_BYTES;
use onecopy_format::segment_space::Name;
use onecopy_format::segment_space::SegmentType;
use onecopy_store::Group;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest;
use sha2::Sha256;

use crate::content::hexadecimal;
use crate::guests::GuestName;
use crate::ranges::Range;
use crate::restriction;
use crate::text;

/// The version of the format that is read and written.
pub const FORMAT: u32 = 1;

/// The version of a system that is restricted, protected or of a trust group. Those who know only the first one would let
/// anybody start from it, write to it, or share pages with its guests, and refuse it by its number.
const FORMAT_LIMITED: u32 = 2;

/// Name of the file.
pub(crate) const FILE: &str = "manifest.toml";

/// What the last line begins with.
const SEAL: &str = "# sha256 = ";

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The last line is missing, or its digest is another one.
    #[error("its content is not what was written: it was cut or changed")]
    Seal,
    /// It is not of the form that we expect.
    #[error("it is not understood")]
    Form(#[source] Box<toml::de::Error>),
    /// It is of another version.
    #[error("it has format {found}, not {FORMAT} or {FORMAT_LIMITED}: it was saved by another version of onecopy")]
    Format {
        /// The version that was found.
        found: u32,
    },
    /// The values do not fit together.
    #[error("{0}")]
    Content(&'static str),
    /// It cannot be written.
    #[error("it cannot be written")]
    Write(#[from] toml::ser::Error),
}

/// A generation of a saved system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Name of the saved system.
    #[serde(with = "text")]
    pub name: Name,
    /// Number of the generation, from 1.
    pub generation: u64,
    /// When it was saved, in seconds since 1970.
    pub saved_unix_seconds: u64,
    /// Its trust group, which is that of all its guests.
    #[serde(default, with = "text", skip_serializing_if = "Group::is_default")]
    pub group: Group,
    /// Whether only some guests may start from it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub restricted: bool,
    /// Which these are.
    #[serde(default, with = "text::list", skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<GuestName>,
    /// Whether guests cannot write to the shared range at all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub protect: bool,
    /// The machine, which is that of every guest.
    pub machine: Machine,
    /// The kernel.
    pub kernel: SavedKernel,
    /// The ranges of memory, in ascending order and without gaps.
    pub ranges: Vec<Range>,
    /// All files.
    pub files: Vec<SavedFile>,
}

/// The machine that the template ran on. Guests must have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Version of QEMU.
    pub qemu: String,
    /// Board with its version, for example `pc-q35-10.0`.
    pub board: String,
    /// Accelerator: `kvm` or `tcg`.
    pub accel: String,
    /// Processor model.
    pub cpu: String,
    /// The host's processor, where the model is whatever that offers.
    pub host_cpu: Option<String>,
    /// What the processor offers, see [`onecopy_machine::Machine::cpu_features`]; nothing where a
    /// version of onecopy that did not ask has saved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_features: Vec<String>,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// How many processors a guest can have.
    pub max_cpus: u32,
    /// How many memory devices can be plugged.
    pub hotplug_slots: u32,
    /// Their room, in bytes.
    pub hotplug_bytes: u64,
    /// How many other devices can be plugged.
    pub root_ports: u32,
}

/// The kernel that was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedKernel {
    /// What identifies its build.
    pub build_id: Option<String>,
    /// Its command line.
    pub command_line: String,
    /// Where its image ends, as a guest-physical address.
    pub image_end: u64,
    /// Where its gate is.
    pub gate: u64,
}

/// A file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFile {
    /// Name in the directory of the generation.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Returns the text.
    pub(crate) fn to_text(&self) -> Result<String, ManifestError> {
        let body = toml::to_string(self)?;
        let seal = digest(&body);
        Ok(format!("{body}{SEAL}{seal}\n"))
    }

    /// Reads a text and checks it.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        let at = text.rfind(SEAL).ok_or(ManifestError::Seal)?;
        let (body, seal) = text.split_at_checked(at).ok_or(ManifestError::Seal)?;
        if seal != format!("{SEAL}{}\n", digest(body)) {
            return Err(ManifestError::Seal);
        }
        let form = |error| ManifestError::Form(Box::new(error));
        let version: Version = toml::from_str(body).map_err(form)?;
        if !(FORMAT..=FORMAT_LIMITED).contains(&version.format) {
            let found = version.format;
            return Err(ManifestError::Format { found });
        }
        let manifest: Self = toml::from_str(body).map_err(form)?;
        manifest.check().map_err(ManifestError::Content)?;
        Ok(manifest)
    }

    /// Makes sure that what is used without a further check fits together.
    fn check(&self) -> Result<(), &'static str> {
        restriction::check(self.restricted, &self.allow)?;
        if self.format != format_of(self.restricted, self.protect, &self.group) {
            return Err("it has the format of a system of another class");
        }
        let mut at = 0;
        for range in &self.ranges {
            let is_aligned = range.end % SEGMENT_BYTES == 0;
            if range.start != at || range.end <= at || !is_aligned {
                return Err("the ranges are not in order");
            }
            at = range.end;
            if !matches!(
                range.kind,
                SegmentType::Ew | SegmentType::Sr | SegmentType::En
            ) {
                return Err("a range has a type that no saved system has");
            }
            let size = range.file_name().map(|name| self.file(&name));
            if size.is_some_and(|file| file.map(|file| file.size_bytes) != Some(range.size_bytes()))
            {
                return Err("a range has no file of its size");
            }
        }
        if at != self.machine.memory_bytes {
            return Err("the ranges are not the memory");
        }
        if self.files.iter().any(|file| file.name.contains('/')) {
            return Err("a file has a name with a slash");
        }
        let state = self.file(crate::systems::STATE);
        state.map(|_| ()).ok_or("there is no state")
    }

    /// Returns a file by its name.
    pub fn file(&self, name: &str) -> Option<&SavedFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// Returns the version of the format that a system has.
pub(crate) fn format_of(restricted: bool, protect: bool, group: &Group) -> u32 {
    if restricted || protect || !group.is_default() {
        FORMAT_LIMITED
    } else {
        FORMAT
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What every version of the format has.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

fn digest(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let range = |start, end, kind, index| Range {
            start,
            end,
            kind,
            index,
        };
        let file = |name: &str, size_bytes| SavedFile {
            name: name.to_owned(),
            size_bytes,
            sha256: hexadecimal(&Sha256::digest(name)),
        };
        let size = SEGMENT_BYTES;
        Manifest {
            format: FORMAT,
            name: "LX73".parse().unwrap(),
            generation: 3,
            protect: false,
            saved_unix_seconds: 1_800_000_000,
            group: Group::default(),
            restricted: false,
            allow: Vec::new(),
            machine: Machine {
                qemu: "10.0.2".to_owned(),
                board: "pc-q35-10.0".to_owned(),
                accel: "tcg".to_owned(),
                cpu: "max".to_owned(),
                host_cpu: None,
                cpu_features: vec!["1.EDX=078bfbff".to_owned(), "7.0.EBX=00000281".to_owned()],
                memory_bytes: 4 * size,
                max_cpus: 16,
                hotplug_slots: 16,
                hotplug_bytes: 16 << 30,
                root_ports: 8,
            },
            kernel: SavedKernel {
                build_id: None,
                command_line: "a=\"b\" c".to_owned(),
                image_end: 2 * size,
                gate: size,
            },
            ranges: vec![
                range(0, size, SegmentType::Ew, 0),
                range(size, 2 * size, SegmentType::Sr, 0),
                range(2 * size, 4 * size, SegmentType::En, 0),
            ],
            files: vec![
                file("ew-0.img", size),
                file("sr-0.img", size),
                file("state", 77),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let manifest = manifest();
        let text = manifest.to_text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest);
    }

    #[test]
    fn a_manifest_that_was_cut_or_changed_is_refused() {
        let text = manifest().to_text().unwrap();
        for len in 0..text.len() {
            let cut = Manifest::parse(text.get(..len).unwrap());
            assert!(matches!(cut, Err(ManifestError::Seal)), "{len}");
        }
        for (old, new) in [("tcg", "kvm"), ("generation = 3", "generation = 4")] {
            let changed = Manifest::parse(&text.replace(old, new));
            assert!(matches!(changed, Err(ManifestError::Seal)), "{new}");
        }
        assert!(Manifest::parse(&format!("{text}x")).is_err());
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let mut manifest = manifest();
        manifest.format = 3;
        let error = Manifest::parse(&manifest.to_text().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("it has format 3, not 1 or 2"));
    }

    #[test]
    fn a_limited_system_has_a_format_of_its_own() {
        let mut manifest = manifest();
        assert!(!manifest.to_text().unwrap().contains("restricted"));
        manifest.restricted = true;
        manifest.allow = vec!["web".parse().unwrap()];
        let error = Manifest::parse(&manifest.to_text().unwrap()).unwrap_err();
        let expected = "it has the format of a system of another class";
        assert_eq!(error.to_string(), expected);
        manifest.format = format_of(true, false, &Group::default());
        let text = manifest.to_text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest);
        manifest.allow.clear();
        assert!(Manifest::parse(&manifest.to_text().unwrap()).is_err());
    }

    #[test]
    fn values_that_do_not_fit_together_are_refused() {
        type Change = fn(&mut Manifest);
        let changes: [(Change, &str); 6] = [
            (|m| m.ranges[1].start += 1, "the ranges are not in order"),
            (|m| m.ranges[2].end += 4096, "the ranges are not in order"),
            (
                |m| m.machine.memory_bytes += 1,
                "the ranges are not the memory",
            ),
            (
                |m| m.files[0].size_bytes += 1,
                "a range has no file of its size",
            ),
            (
                |m| m.ranges[2].kind = SegmentType::Sw,
                "a range has a type that no saved system has",
            ),
            (|m| m.files.truncate(2), "there is no state"),
        ];
        for (change, expected) in changes {
            let mut manifest = manifest();
            change(&mut manifest);
            let error = Manifest::parse(&manifest.to_text().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
