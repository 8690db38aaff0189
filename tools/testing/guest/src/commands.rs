// SPDX-License-Identifier: GPL-2.0

//! What the host can tell the guest to do.
//!
//! Each file here has the commands for one kind of thing. A [`Command`] says its arguments; it
//! returns a short text, usually `key=value ...`, or the errno that the kernel gave it.

mod block;
mod bpf;
mod content;
mod draws;
mod files;
mod kernel_log;
mod kmemleak;
mod measure;
mod modules;
mod mounts;
mod network;
mod pages;
mod processes;
mod system;
mod virtio;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;

use self::processes::Running;
use crate::protocol::Request;
use crate::Failure;

/// What commands return.
pub type Result<T = String> = std::result::Result<T, Failure>;

/// Takes the lines that a command says before it ends.
pub type Lines<'a> = dyn FnMut(&[u8]) + 'a;

/// Something that the host can tell the guest to do.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The word that it is known by.
    pub name: &'static str,
    /// Its arguments, for people.
    pub arguments: &'static str,
    /// What it does.
    pub run: fn(&mut Session, &mut Arguments, &mut Lines<'_>) -> Result,
}

/// All commands.
const TABLE: &[&[Command]] = &[
    &[HELP],
    block::COMMANDS,
    bpf::COMMANDS,
    content::COMMANDS,
    draws::COMMANDS,
    files::COMMANDS,
    kernel_log::COMMANDS,
    kmemleak::COMMANDS,
    modules::COMMANDS,
    measure::COMMANDS,
    mounts::COMMANDS,
    network::COMMANDS,
    pages::COMMANDS,
    processes::COMMANDS,
    system::COMMANDS,
    virtio::COMMANDS,
];

const HELP: Command = Command {
    name: "help",
    arguments: "",
    run: help,
};

/// What outlives a command: open files and running processes, by the names the host gave them.
#[derive(Debug, Default)]
pub struct Session {
    files: BTreeMap<String, File>,
    running: BTreeMap<String, Running>,
}

impl Session {
    /// Does what a request asks for.
    ///
    /// # Errors
    ///
    /// The errno of the system call that failed; 0 if the request itself is wrong.
    pub fn run(&mut self, request: &Request, lines: &mut Lines<'_>) -> Result {
        let command = TABLE
            .iter()
            .flat_map(|commands| commands.iter())
            .find(|command| command.name == request.command)
            .ok_or_else(|| Failure::other(format!("no such command: {}", request.command)))?;
        let mut arguments = Arguments::new(request.arguments.clone());
        (command.run)(self, &mut arguments, lines).map_err(|failure| failure.context(command.name))
    }

    /// Returns an open file.
    fn file(&self, slot: &str) -> Result<&File> {
        self.files
            .get(slot)
            .ok_or_else(|| Failure::other(format!("no open file {slot}")))
    }
}

/// The arguments of a command, taken from left to right.
#[derive(Debug)]
pub struct Arguments {
    rest: std::vec::IntoIter<Vec<u8>>,
}

impl Arguments {
    /// Makes a list of arguments.
    pub fn new(arguments: Vec<Vec<u8>>) -> Self {
        Self {
            rest: arguments.into_iter(),
        }
    }

    /// Takes the next argument.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        self.rest
            .next()
            .ok_or_else(|| Failure::other("an argument is missing"))
    }

    /// Takes a path.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn path(&mut self) -> Result<PathBuf> {
        Ok(PathBuf::from(OsString::from_vec(self.bytes()?)))
    }

    /// Takes a word.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not UTF-8.
    pub fn word(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|error| Failure::other(error.to_string()))
    }

    /// Takes a word that may be missing.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn optional_word(&mut self) -> Result<Option<String>> {
        if self.rest.len() == 0 {
            Ok(None)
        } else {
            self.word().map(Some)
        }
    }

    /// Takes a number.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn number<T: FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse()
            .map_err(|_| Failure::other(format!("{word} is not such a number")))
    }

    /// Takes what is left.
    pub fn rest(&mut self) -> Vec<OsString> {
        self.rest.by_ref().map(OsString::from_vec).collect()
    }
}

fn help(_session: &mut Session, _arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    for command in TABLE.iter().flat_map(|commands| commands.iter()) {
        lines(format!("{} {}", command.name, command.arguments).as_bytes());
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn run(session: &mut Session, line: &str) -> (Result, Vec<String>) {
        let mut said = Vec::new();
        let request = Request::decode(line).unwrap();
        let result = session.run(&request, &mut |line| {
            said.push(String::from_utf8_lossy(line).into_owned())
        });
        (result, said)
    }

    #[test]
    fn every_command_has_its_own_name() {
        let (result, said) = run(&mut Session::default(), "1 help");
        assert_eq!(result, Ok(String::new()));
        let names: BTreeSet<_> = said.iter().map(|line| line.split(' ').next()).collect();
        assert_eq!(names.len(), said.len());
        assert!(names.contains(&Some("write")));
    }

    #[test]
    fn unknown_commands_and_missing_arguments_are_refused() {
        let mut session = Session::default();
        assert_eq!(run(&mut session, "1 fly").0.unwrap_err().errno, 0);
        let failure = run(&mut session, "1 read").0.unwrap_err();
        assert_eq!(failure.context, "read: an argument is missing");
    }

    #[test]
    fn the_errno_of_the_kernel_comes_back() {
        let failure = run(&mut Session::default(), "1 read /nonexistent")
            .0
            .unwrap_err();
        assert_eq!((failure.errno, failure.name.as_str()), (2, "ENOENT"));
    }

    #[test]
    fn files_are_written_read_and_digested() {
        let path = std::env::temp_dir().join(format!("onecopy-guest-{}", std::process::id()));
        let path = path.display();
        let mut session = Session::default();
        std::fs::write(path.to_string(), "").unwrap();
        assert!(run(&mut session, &format!("1 write {path} abc%0a"))
            .0
            .is_ok());
        assert_eq!(run(&mut session, &format!("2 read {path}")).1, ["abc"]);
        let (result, _) = run(&mut session, &format!("3 digest {path} r 0 3 4096"));
        assert_eq!(
            result.unwrap(),
            "bytes=3 sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(run(&mut session, &format!("4 open a w {path}")).0.is_ok());
        assert!(run(&mut session, "5 pwrite a 1 4 120").0.is_ok());
        assert!(run(&mut session, "6 fsync a").0.is_ok());
        assert!(run(&mut session, "7 close a").0.is_ok());
        assert_eq!(run(&mut session, "8 fsync a").0.unwrap_err().errno, 0);
        assert_eq!(run(&mut session, &format!("9 read {path}")).1, ["axxxx"]);
        std::fs::remove_file(path.to_string()).unwrap();
    }

    #[test]
    fn programs_report_output_exit_and_signal() {
        let mut session = Session::default();
        let (result, said) = run(&mut session, "1 exec /bin/sh -c echo%20hi;exit%203");
        assert_eq!(
            (result, said),
            (Ok("exit=3".to_owned()), vec!["hi".to_owned()])
        );
        let (result, _) = run(&mut session, "2 exec /bin/sh -c kill%20-7%20$$");
        assert_eq!(result, Ok("signal=7".to_owned()));
    }

    #[test]
    fn background_programs_are_ready_when_they_say_something() {
        let mut session = Session::default();
        let (result, said) = run(
            &mut session,
            "1 spawn a /bin/sh -c echo%20ready;cat;echo%20bye",
        );
        assert_eq!(
            (result, said),
            (Ok(String::new()), vec!["ready".to_owned()])
        );
        assert_eq!(run(&mut session, "2 poll a").0, Ok("running".to_owned()));
        let (result, said) = run(&mut session, "3 stop a");
        assert_eq!(
            (result, said),
            (Ok("exit=0".to_owned()), vec!["bye".to_owned()])
        );
        assert_eq!(run(&mut session, "4 stop a").0.unwrap_err().errno, 0);
    }
}
