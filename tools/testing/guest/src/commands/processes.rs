// SPDX-License-Identifier: GPL-2.0

//! Programs: `exec`, `spawn`, `poll`, `interrupt`, `stop`, and `applet`, which executes our own.

use std::ffi::OsString;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command as Program;
use std::process::ExitStatus;
use std::process::Stdio;

use rustix::process::kill_process;
use rustix::process::Pid;
use rustix::process::Signal;

use super::Arguments;
use super::Command;
use super::Lines;
use super::Result;
use super::Session;
use crate::Failure;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "exec",
        arguments: "PROGRAM [ARGUMENT...]",
        run: exec,
    },
    Command {
        name: "applet",
        arguments: "NAME [ARGUMENT...]",
        run: applet,
    },
    Command {
        name: "spawn",
        arguments: "SLOT PROGRAM [ARGUMENT...]",
        run: spawn,
    },
    Command {
        name: "spawn-applet",
        arguments: "SLOT NAME [ARGUMENT...]",
        run: spawn_applet,
    },
    Command {
        name: "poll",
        arguments: "SLOT",
        run: poll,
    },
    Command {
        name: "interrupt",
        arguments: "SLOT",
        run: interrupt,
    },
    Command {
        name: "stop",
        arguments: "SLOT",
        run: stop,
    },
];

/// Our own program, also where there is no other.
const SELF: &str = "/proc/self/exe";

/// A program that runs while the next commands do.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// Executes a program to its end and says what it has said.
fn exec(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    run(&mut program(arguments.path()?.into(), arguments), lines)
}

fn applet(_session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    run(&mut program(SELF.into(), arguments), lines)
}

fn program(path: OsString, arguments: &mut Arguments) -> Program {
    let mut program = Program::new(path);
    program.args(arguments.rest());
    program
}

fn run(program: &mut Program, lines: &mut Lines<'_>) -> Result {
    let output = program.stdin(Stdio::null()).output()?;
    for stream in [&output.stdout, &output.stderr] {
        say(&String::from_utf8_lossy(stream), lines);
    }
    Ok(ended(output.status))
}

/// Starts a program and waits for its first line, which says that it is ready.
fn spawn(session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let mut program = program(arguments.path()?.into(), arguments);
    start(session, slot, &mut program, lines)
}

fn spawn_applet(session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let mut program = program(SELF.into(), arguments);
    start(session, slot, &mut program, lines)
}

fn start(
    session: &mut Session,
    slot: String,
    program: &mut Program,
    lines: &mut Lines<'_>,
) -> Result {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child
        .stdout
        .take()
        .ok_or_else(|| Failure::other("no output"))?;
    let mut output = BufReader::new(output);
    let mut line = String::new();
    output.read_line(&mut line)?;
    say(&line, lines);
    session.running.insert(slot, Running { child, output });
    Ok(String::new())
}

/// Says whether a program still runs: `running`, `exit=N` or `signal=N`.
fn poll(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let running = session.running.get_mut(&slot);
    let running = running.ok_or_else(|| Failure::other(format!("no program {slot}")))?;
    Ok(running
        .child
        .try_wait()?
        .map_or_else(|| "running".to_owned(), ended))
}

/// Sends a program the signal of Ctrl+C.
fn interrupt(session: &mut Session, arguments: &mut Arguments, _lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let running = session.running.get(&slot);
    let running = running.ok_or_else(|| Failure::other(format!("no program {slot}")))?;
    kill_process(Pid::from_child(&running.child), Signal::INT).map_err(io::Error::from)?;
    Ok(String::new())
}

/// Closes the input of a program, which asks ours to end, and waits for its end.
fn stop(session: &mut Session, arguments: &mut Arguments, lines: &mut Lines<'_>) -> Result {
    let slot = arguments.word()?;
    let running = session.running.remove(&slot);
    let mut running = running.ok_or_else(|| Failure::other(format!("no program {slot}")))?;
    drop(running.child.stdin.take());
    let mut rest = String::new();
    running.output.read_to_string(&mut rest)?;
    say(&rest, lines);
    Ok(ended(running.child.wait()?))
}

fn say(text: &str, lines: &mut Lines<'_>) {
    for line in text.lines() {
        lines(line.as_bytes());
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit={code}"),
        (None, Some(signal)) => format!("signal={signal}"),
        (None, None) => status.to_string(),
    }
}
