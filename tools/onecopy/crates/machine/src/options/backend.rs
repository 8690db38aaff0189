// SPDX-License-Identifier: GPL-2.0

//! Back ends: guest memory and block devices as the host holds them.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Map;
use serde_json::Value;

use super::push;
use super::Params;
use super::Switch;
use crate::qmp::commands::BlockdevAdd;
use crate::qmp::commands::ObjectAdd;

/// Who sees what a guest stores into a segment space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: the guest cannot store.
    ReadOnly,
    /// The guest alone; the host copies a page when the guest changes it.
    Private,
    /// All guests that map the file, and the file itself.
    Shared,
}

/// `-object memory-backend-file`: guest memory that is a mapping of a file.
#[derive(Debug, Clone)]
pub struct MemoryBackendFile {
    /// Object id, unique in the machine.
    pub id: String,
    /// The file to map.
    pub mem_path: PathBuf,
    /// Bytes to map from the start of the file.
    pub size_bytes: u64,
    /// Stores by the guest reach the file (and every other guest that maps it).
    pub share: bool,
    /// Open the file read-only and map it so.
    pub readonly: bool,
    /// Whether the memory is ROM for the guest; `None` leaves QEMU's default, which is ROM if the
    /// file is read-only. QEMU refuses RAM on a file that is shared and read-only.
    pub rom: Option<bool>,
    /// Alignment of the mapping in the host's and the guest's address space; `None` leaves it at
    /// the page size.
    pub align_bytes: Option<u64>,
}

impl MemoryBackendFile {
    /// The memory of a segment space.
    pub fn segment(id: &str, mem_path: &Path, size_bytes: u64, access: Access) -> Self {
        let read_only = Self::shared_read_only(id, mem_path, size_bytes);
        match access {
            Access::ReadOnly => read_only,
            // The file is opened for reading only, so no store can reach it.
            Access::Private => Self {
                share: false,
                rom: Some(false),
                ..read_only
            },
            Access::Shared => Self {
                readonly: false,
                rom: Some(false),
                ..read_only
            },
        }
    }

    /// Memory that all guests read and none can write: one copy in the host's page cache.
    ///
    /// It is aligned to 2 MiB, so that the host can map it by large pages.
    pub fn shared_read_only(id: &str, mem_path: &Path, size_bytes: u64) -> Self {
        Self {
            id: id.to_owned(),
            mem_path: mem_path.to_owned(),
            size_bytes,
            share: true,
            readonly: true,
            rom: Some(true),
            align_bytes: Some(2 << 20),
        }
    }
}

impl MemoryBackendFile {
    /// Returns the command that makes it while the guest runs.
    ///
    /// A path that is not UTF-8 cannot be said in JSON; QEMU will not find what arrives.
    pub fn object_add(&self) -> ObjectAdd {
        let mut properties = Map::new();
        let mut add = |key: &str, value: Value| properties.insert(key.to_owned(), value);
        add("mem-path", self.mem_path.to_string_lossy().into());
        add("size", self.size_bytes.into());
        add("share", self.share.into());
        add("readonly", self.readonly.into());
        if let Some(rom) = self.rom {
            add("rom", if rom { "on" } else { "off" }.into());
        }
        if let Some(align_bytes) = self.align_bytes {
            add("align", align_bytes.into());
        }
        ObjectAdd {
            qom_type: "memory-backend-file".to_owned(),
            id: self.id.clone(),
            properties,
        }
    }
}

impl Switch for MemoryBackendFile {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let mut value = Params::new("memory-backend-file")
            .with("id", &self.id)
            .with("mem-path", &self.mem_path)
            .with_number("size", self.size_bytes)
            .with_switch("share", self.share)
            .with_switch("readonly", self.readonly);
        if let Some(rom) = self.rom {
            value = value.with_switch("rom", rom);
        }
        if let Some(align_bytes) = self.align_bytes {
            value = value.with_number("align", align_bytes);
        }
        push(args, "-object", value);
    }
}

/// `-object memory-backend-ram`: anonymous guest memory, which the host can take back.
#[derive(Debug, Clone)]
pub struct MemoryBackendRam {
    /// Object id, unique in the machine.
    pub id: String,
    /// Size in bytes.
    pub size_bytes: u64,
}

impl Switch for MemoryBackendRam {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::new("memory-backend-ram")
            .with("id", &self.id)
            .with_number("size", self.size_bytes);
        push(args, "-object", value);
    }
}

/// Format of a disk image.
///
/// The format is never guessed from the content: a guest that can write to a raw disk could
/// otherwise turn it into an image that names files of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockFormat {
    /// Blocks as they are.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl BlockFormat {
    /// Chooses by the name: `.qcow2` is qcow2, everything else is raw.
    pub fn from_path(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension == "qcow2" => Self::Qcow2,
            _ => Self::Raw,
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// `-blockdev`: a disk image in a file.
#[derive(Debug, Clone)]
pub struct Blockdev {
    /// Node name, unique in the machine.
    pub node_name: String,
    /// The image.
    pub filename: PathBuf,
    /// Its format.
    pub format: BlockFormat,
    /// The guest may not write.
    pub read_only: bool,
}

impl Blockdev {
    /// Returns the command that opens it while the guest runs.
    ///
    /// A path that is not UTF-8 cannot be said in JSON; QEMU will not find what arrives.
    pub fn blockdev_add(&self) -> BlockdevAdd {
        let mut file = Map::new();
        file.insert("driver".to_owned(), "file".into());
        file.insert(
            "filename".to_owned(),
            self.filename.to_string_lossy().into(),
        );
        let mut properties = Map::new();
        properties.insert("read-only".to_owned(), self.read_only.into());
        properties.insert("file".to_owned(), file.into());
        BlockdevAdd {
            driver: self.format.driver().to_owned(),
            node_name: self.node_name.clone(),
            properties,
        }
    }
}

impl Switch for Blockdev {
    fn add_to(&self, args: &mut Vec<OsString>) {
        let value = Params::default()
            .with("driver", self.format.driver())
            .with("node-name", &self.node_name)
            .with_switch("read-only", self.read_only)
            .with("file.driver", "file")
            .with("file.filename", &self.filename);
        push(args, "-blockdev", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_backend_is_shared_read_only_rom() {
        let mut args = Vec::new();
        MemoryBackendFile::shared_read_only("seg0", Path::new("/s/a,b.seg"), 2 << 20)
            .add_to(&mut args);
        assert_eq!(
            args,
            [
                "-object",
                "memory-backend-file,id=seg0,mem-path=/s/a,,b.seg,size=2097152,share=on,\
                 readonly=on,rom=on,align=2097152"
            ]
        );
    }

    #[test]
    fn only_shared_access_opens_the_file_for_writing() {
        for (access, expected) in [
            (Access::ReadOnly, "share=on,readonly=on,rom=on,"),
            (Access::Private, "share=off,readonly=on,rom=off,"),
            (Access::Shared, "share=on,readonly=off,rom=off,"),
        ] {
            let mut args = Vec::new();
            MemoryBackendFile::segment("seg0", Path::new("/s"), 2 << 20, access).add_to(&mut args);
            let value = args.last().unwrap().to_str().unwrap();
            assert!(value.contains(expected), "{access:?}: {value}");
        }
    }

    #[test]
    fn a_back_end_is_the_same_on_the_command_line_and_while_the_guest_runs() {
        let object =
            MemoryBackendFile::segment("seg0", Path::new("/s,1"), 2 << 20, Access::Private)
                .object_add();
        assert_eq!(
            serde_json::to_value(object).unwrap(),
            serde_json::json!({
                "qom-type": "memory-backend-file", "id": "seg0", "mem-path": "/s,1",
                "size": 2 << 20, "share": false, "readonly": true, "rom": "off",
                "align": 2 << 20,
            })
        );
    }

    #[test]
    fn a_disk_is_the_same_on_the_command_line_and_while_the_guest_runs() {
        let disk = Blockdev {
            node_name: "disk0".to_owned(),
            filename: "/d,1.qcow2".into(),
            format: BlockFormat::Qcow2,
            read_only: true,
        };
        let mut args = Vec::new();
        disk.add_to(&mut args);
        assert_eq!(
            args,
            [
                "-blockdev",
                "driver=qcow2,node-name=disk0,read-only=on,file.driver=file,\
                 file.filename=/d,,1.qcow2"
            ]
        );
        assert_eq!(
            serde_json::to_value(disk.blockdev_add()).unwrap(),
            serde_json::json!({
                "driver": "qcow2", "node-name": "disk0", "read-only": true,
                "file": { "driver": "file", "filename": "/d,1.qcow2" },
            })
        );
    }

    #[test]
    fn disk_format_comes_from_the_name_alone() {
        assert_eq!(
            BlockFormat::from_path(Path::new("a.qcow2")),
            BlockFormat::Qcow2
        );
        assert_eq!(BlockFormat::from_path(Path::new("qcow2")), BlockFormat::Raw);
        assert_eq!(BlockFormat::from_path(Path::new("a.img")), BlockFormat::Raw);
    }
}
