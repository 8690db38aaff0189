// SPDX-License-Identifier: GPL-2.0

//! What a guest's monitor is told, and in which order.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use serde_json::json;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::process::Process;

/// The end of QEMU of a guest's monitor, which does what it is told and remembers it.
pub(crate) struct Monitor {
    directory: TempDir,
    told: Arc<Mutex<Vec<String>>>,
}

impl Monitor {
    /// Listens. The states are those of the migration, one for each time that it is asked for; after
    /// these there is none.
    pub(crate) fn new(states: &'static [&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(guests::QMP)).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        thread::spawn(move || {
            let mut states = states.iter();
            for stream in listener.incoming() {
                converse(stream.unwrap(), &heard, &mut states);
            }
        });
        Self { directory, told }
    }

    /// Returns the guest.
    pub(crate) fn running(&self) -> Running {
        let keeper = Process::ours().unwrap();
        let [guest, system] = ["web", "LX"];
        let root = Path::new("/s");
        let record = Record::new(
            guest.parse().unwrap(),
            system.parse().unwrap(),
            1,
            root,
            keeper,
        );
        Running {
            record,
            directory: self.directory.path().to_owned(),
        }
    }

    /// Returns what it was told since the last time, without the negotiations.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn converse(
    mut stream: UnixStream,
    told: &Mutex<Vec<String>>,
    states: &mut dyn Iterator<Item = &&str>,
) {
    stream.write_all(b"{\"QMP\": {}}\n").unwrap();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let command = request["execute"].as_str().unwrap();
        let value = match command {
            "query-migrate" => states.next().map_or(json!({}), |s| json!({ "status": s })),
            _ => json!({}),
        };
        if command != "qmp_capabilities" {
            told.lock().unwrap().push(command.to_owned());
        }
        let answer = json!({ "return": value, "id": request["id"] });
        writeln!(stream, "{answer}").unwrap();
    }
}

#[test]
fn a_guest_goes_on_when_its_memory_is_not_written_any_more() {
    let monitor = Monitor::new(&[]);
    monitor.running().go_on().unwrap();
    assert_eq!(monitor.told(), ["query-migrate", "cont"]);

    let monitor = Monitor::new(&["active", "cancelling", "cancelled"]);
    monitor.running().go_on().unwrap();
    let [ask, cancel] = ["query-migrate", "migrate_cancel"];
    assert_eq!(monitor.told(), [ask, cancel, ask, cancel, ask, "cont"]);
}

#[test]
fn memory_is_written_until_an_interrupt_comes() {
    let interrupt = Interrupt::default();
    let monitor = Monitor::new(&["setup", "active", "completed"]);
    let save = || {
        let path = Path::new("/s/memory");
        monitor
            .running()
            .save_state(path, ANSWER_TIMEOUT, &interrupt)
    };
    save().unwrap();
    let said = monitor.told();
    assert_eq!(said[..2], ["migrate-set-capabilities", "migrate"]);
    assert_eq!(said[2..], ["query-migrate"; 3]);
    interrupt.raise(15);
    let error = save().unwrap_err();
    assert!(matches!(error, Error::Interrupted(_)), "{error}");
}
