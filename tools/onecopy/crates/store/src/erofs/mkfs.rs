// SPDX-License-Identifier: GPL-2.0

//! Running mkfs.erofs.

use std::env;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::time::Duration;

use onecopy_child::output_within;
use onecopy_child::tail;
use onecopy_child::DEADLINE;
use onecopy_format::segment_space::Name;
use sha2::Digest;
use sha2::Sha256;

use crate::builder::Ownership;

/// The oldest version with the options and the layout that we use.
const MINIMUM: (u32, u32) = (1, 8);

/// How long an image may take.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum MkfsError {
    /// The program cannot be run.
    #[error("Cannot run {}; install erofs-utils 1.8 or later, or set MKFS_EROFS", .path.display())]
    CannotRun {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The program does not say a version.
    #[error("{} does not say its version; it said: {said}", .path.display())]
    NoVersion {
        /// What was tried.
        path: PathBuf,
        /// Its answer.
        said: String,
    },
    /// The program is too old.
    #[error("{} is erofs-utils {found}; 1.8 or later is needed", .path.display())]
    TooOld {
        /// What was tried.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The source is not a directory that can be read.
    #[error("Cannot read the directory {}", .path.display())]
    Source {
        /// The directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The program failed.
    #[error("mkfs.erofs failed ({status}): {stderr}")]
    Failed {
        /// Its exit status.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// The program did not end.
    #[error("mkfs.erofs did not end within {} s", TIMEOUT.as_secs())]
    Timeout,
}

impl MkfsError {
    /// Whether there was no room for the image, as the program says.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Failed { stderr, .. } if stderr.contains("No space left on device"))
    }
}

/// What an image depends on besides its directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageOptions<'a> {
    /// Name of the segment space.
    pub(crate) space: Name,
    /// Name of the member.
    pub(crate) member: Name,
    /// Owner of the files.
    pub(crate) ownership: Ownership,
    /// Where temporary files go; mkfs.erofs needs as much room for them as for the image.
    pub(crate) scratch: &'a Path,
}

/// A mkfs.erofs that is new enough.
#[derive(Debug, Clone)]
pub struct Mkfs {
    path: PathBuf,
}

impl Mkfs {
    /// Finds mkfs.erofs: `$MKFS_EROFS`, else the one built in the tree that this program belongs
    /// to, else the one on `PATH`.
    ///
    /// # Errors
    ///
    /// When there is none or it is too old.
    pub fn find() -> Result<Self, MkfsError> {
        let path = env::var_os("MKFS_EROFS")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .or_else(|| built_with(&env::current_exe().ok()?))
            .unwrap_or_else(|| PathBuf::from("mkfs.erofs"));
        Self::at(&path)
    }

    /// Uses the given program.
    ///
    /// # Errors
    ///
    /// When it cannot be run or is too old.
    pub fn at(path: &Path) -> Result<Self, MkfsError> {
        let mut command = Command::new(path);
        command.arg("--version");
        let output = output_within(command, DEADLINE).map_err(|source| MkfsError::CannotRun {
            path: path.to_owned(),
            source,
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match parse_version(&said) {
            None => Err(MkfsError::NoVersion {
                path: path.to_owned(),
                said,
            }),
            Some((version, found)) if version < MINIMUM => Err(MkfsError::TooOld {
                path: path.to_owned(),
                found: found.to_owned(),
            }),
            Some(_) => Ok(Self {
                path: path.to_owned(),
            }),
        }
    }

    /// Returns the program's path, or its name when it is searched on `PATH`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes an image of `directory` in the file `image`.
    ///
    /// The same tree gives the same image: its UUID comes from the names of the segment space and
    /// of the member, its build time is fixed, and files keep their own times. With
    /// `SOURCE_DATE_EPOCH` set, all files get that time.
    pub(crate) fn run(
        &self,
        directory: &Path,
        image: &Path,
        options: ImageOptions<'_>,
    ) -> Result<(), MkfsError> {
        let source = |source| MkfsError::Source {
            path: directory.to_owned(),
            source,
        };
        // mkfs.erofs takes an image or an archive as a source too; here that is a mistake.
        std::fs::read_dir(directory).map_err(source)?;
        let mut command = Command::new(&self.path);
        command
            .env("TMPDIR", options.scratch)
            // What it says is looked at.
            .env("LC_ALL", "C")
            .args([
                "-b4096",
                "-Enoinline_data",
                "--chunksize=2097152",
                "--quiet",
                "-d1",
            ])
            .args(time_options(env::var("SOURCE_DATE_EPOCH").ok().as_deref()))
            .arg(format!("-U{}", uuid(options.space, options.member)));
        if options.ownership == Ownership::Root {
            command.arg("--all-root");
        }
        command.arg(image).arg(directory);
        match output_within(command, TIMEOUT) {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(MkfsError::Failed {
                status: output.status,
                stderr: tail(&output.stderr),
            }),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(MkfsError::Timeout),
            Err(source) => Err(MkfsError::CannotRun {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

/// Returns the mkfs.erofs of the tree under whose `build` directory `executable` lies.
fn built_with(executable: &Path) -> Option<PathBuf> {
    executable
        .ancestors()
        .filter(|directory| directory.file_name().is_some_and(|name| name == "build"))
        .map(|build| build.join("tools/bin/mkfs.erofs"))
        .find(|path| path.is_file())
}

/// Reads `mkfs.erofs (erofs-utils) 1.8.6` into major and minor number, and the whole version.
fn parse_version(banner: &str) -> Option<((u32, u32), &str)> {
    let version = banner
        .strip_prefix("mkfs.erofs")?
        .lines()
        .next()?
        .split_whitespace()
        .last()?;
    let mut numbers = version.split(['.', '-']).map(str::parse);
    Some(((numbers.next()?.ok()?, numbers.next()?.ok()?), version))
}

/// Chooses the times in the image.
fn time_options(source_date_epoch: Option<&str>) -> Vec<String> {
    match source_date_epoch {
        Some(seconds) => vec![format!("-T{seconds}"), "--all-time".to_owned()],
        None => vec!["-T0".to_owned(), "--mkfs-time".to_owned()],
    }
}

/// Derives a UUID from names (version 8 of RFC 9562: the meaning of the bits is ours).
fn uuid(space: Name, member: Name) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("onecopy:{space}:{member}")).into();
    let mut bits = digest
        .iter()
        .fold(0u128, |bits, &byte| bits.rotate_left(8) ^ u128::from(byte));
    bits = bits & !(0xf << 76) | 0x8 << 76;
    bits = bits & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32];
    parts
        .map(|range| hex.get(range).unwrap_or_default().to_owned())
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_last_word_of_the_first_line() {
        let banner = "mkfs.erofs (erofs-utils) 1.8.6\navailable compressors: lz4\n";
        assert_eq!(parse_version(banner), Some(((1, 8), "1.8.6")));
        assert_eq!(
            parse_version("mkfs.erofs 1.10-gdeadbeef\n"),
            Some(((1, 10), "1.10-gdeadbeef"))
        );
        assert!(parse_version("mkfs.erofs 1.7.1").is_some_and(|(version, _)| version < MINIMUM));
        assert_eq!(parse_version("mkfs.erofs"), None);
        assert_eq!(parse_version("true (GNU coreutils) 9.1\n"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn uuid_depends_on_both_names_and_has_the_right_form() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let uuids = [
            uuid(name("USR"), name("USR")),
            uuid(name("USR"), name("PY")),
            uuid(name("PY"), name("USR")),
        ];
        assert!(uuids[0] != uuids[1] && uuids[1] != uuids[2]);
        for uuid in uuids {
            assert_eq!(uuid.len(), 36);
            assert_eq!(uuid.get(14..15), Some("8"), "version in {uuid}");
            assert!(
                matches!(uuid.get(19..20), Some("8" | "9" | "a" | "b")),
                "variant in {uuid}"
            );
        }
    }

    #[test]
    fn mkfs_of_the_tree_is_found_from_below_its_build_directory() {
        let tree = tempfile::tempdir().unwrap();
        let executable = tree.path().join("build/cargo/debug/onecopy");
        assert_eq!(built_with(&executable), None);
        let mkfs = tree.path().join("build/tools/bin/mkfs.erofs");
        std::fs::create_dir_all(mkfs.parent().unwrap()).unwrap();
        std::fs::write(&mkfs, "").unwrap();
        assert_eq!(built_with(&executable), Some(mkfs));
    }

    #[test]
    fn a_program_that_is_not_mkfs_is_refused() {
        let error = Mkfs::at(Path::new("/nonexistent/mkfs.erofs")).unwrap_err();
        assert!(matches!(error, MkfsError::CannotRun { .. }));
        let error = Mkfs::at(Path::new("true")).unwrap_err();
        assert!(matches!(error, MkfsError::NoVersion { .. }));
    }
}
