// SPDX-License-Identifier: GPL-2.0

//! A temporary directory, the program in it, and comparisons that show what differs.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use onecopy_format::segment_space::Name;
use onecopy_store::MemberState;
use onecopy_store::Mkfs;
use onecopy_store::Space;
use onecopy_store::Store;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_onecopy");

/// How long anything may take that is waited for, on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// Where the program's temporary files are, in the directory of a test.
pub(crate) const TEMPORARY: &str = "tmp";

/// A directory for one test, with a store in `store`.
pub(crate) struct Dir {
    directory: tempfile::TempDir,
}

/// What a run of the program has given; the directory is shown as `DIR`, a time as `TIME`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Dir {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(TEMPORARY)).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Prepares a run of the program in this directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .current_dir(self.directory.path())
            .env("ONECOPY_ROOT", self.path("store"))
            .env("ONECOPY_RUN", self.path("run"))
            .env("TMPDIR", self.path(TEMPORARY))
            .env_remove("ONECOPY_QEMU")
            .env_remove("SOURCE_DATE_EPOCH")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.finish(&mut self.command(args))
    }

    /// Runs a prepared program.
    pub(crate) fn finish(&self, command: &mut Command) -> Ran {
        let output = command.output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: self.normalise(&output.stdout),
            stderr: self.normalise(&output.stderr),
        }
    }

    /// Runs the program and expects it to succeed without complaints.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        ran.stdout
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.path("store"))
    }

    /// Checks that everything in the directory of a segment space is complete and intact, and
    /// returns the generations.
    #[track_caller]
    pub(crate) fn assert_sound(&self, name: &str) -> Vec<u64> {
        let name: Name = name.parse().unwrap();
        let directory = self.path("store/segments").join(name.as_str());
        let mut generations = Vec::new();
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let file_name = path.file_name().unwrap().to_str().unwrap();
            if file_name.starts_with('.') {
                continue;
            }
            // A link that points nowhere fails here too.
            let space = Space::open(&path).unwrap_or_else(|error| panic!("{error:?}"));
            let checks = space.verify(&mut |_| {}).unwrap();
            assert!(
                checks
                    .iter()
                    .all(|check| matches!(check.state, MemberState::Intact | MemberState::NoData)),
                "{checks:?}"
            );
            if file_name != "current" {
                assert_eq!(file_name, format!("{}.seg", space.generation()));
                generations.push(space.generation());
            }
        }
        generations.sort_unstable();
        generations
    }

    fn normalise(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let text = text.replace(self.directory.path().to_str().unwrap(), "DIR");
        hide_times(&text)
    }
}

/// Replaces times like `2026-01-31T12:00:00Z`.
fn hide_times(text: &str) -> String {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";

    let bytes = text.as_bytes();
    let mut hidden = String::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let is_time = bytes.get(at..at + FORM.len()).is_some_and(|window| {
            window.iter().zip(FORM).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            })
        });
        if is_time {
            hidden.push_str("TIME");
            at += FORM.len();
        } else if let Some(character) = rest.chars().next() {
            hidden.push(character);
            at += character.len_utf8();
        } else {
            break;
        }
    }
    hidden
}

/// Runs the program, expects it to fail with this exit status, and returns its complaint.
#[track_caller]
pub(crate) fn refused(dir: &Dir, args: &[&str], code: i32) -> String {
    let ran = dir.run(args);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(code), ""),
        "{args:?}: {}",
        ran.stderr
    );
    let complaint = ran.stderr.strip_prefix("onecopy: ").unwrap();
    complaint.strip_suffix('\n').unwrap().to_owned()
}

/// Says why a test does not run, or fails if it has to.
pub(crate) fn skip(reason: impl std::fmt::Display) {
    assert!(
        std::env::var_os("ONECOPY_REQUIRE_TOOLS").is_none(),
        "{reason}"
    );
    eprintln!("skipped: {reason}");
}

/// Whether images of directories can be made.
pub(crate) fn has_mkfs() -> bool {
    Mkfs::find().map_err(skip).is_ok()
}

/// Returns the processes whose command line holds `text`.
pub(crate) fn processes_with(text: &Path) -> Vec<u32> {
    let text = text.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(text).then_some(pid)
    });
    pids.collect()
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        let seconds = DEADLINE.as_secs();
        assert!(start.elapsed() < DEADLINE, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Compares texts and shows both in full when they differ.
macro_rules! eqnice {
    ($actual:expr, $expected:expr) => {
        let (actual, expected) = (&*$actual, &*$expected);
        if actual != expected {
            panic!("\nexpected:\n~~~\n{expected}~~~\nactual:\n~~~\n{actual}~~~\n");
        }
    };
}
pub(crate) use eqnice;
