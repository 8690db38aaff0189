// SPDX-License-Identifier: GPL-2.0

//! What the first process does: mount, then serve the host until the end, or go on elsewhere.

use std::env;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::time::Duration;

use rustix::mount::mount;
use rustix::mount::MountFlags;
use rustix::system::reboot;
use rustix::system::RebootCommand;
use rustix::termios::tcgetattr;
use rustix::termios::tcsetattr;
use rustix::termios::OptionalActions;

use crate::commands::Session;
use crate::protocol::Reply;
use crate::protocol::Request;
use crate::protocol::PREFIX;
use crate::protocol::READY;
use crate::switch::Root;
use crate::Failure;

/// Names the serial line to the host. The kernel passes it on from its command line:
/// `onecopy_control=/dev/ttyS1`.
const CONTROL_VARIABLE: &str = "onecopy_control";

/// The serial line without that variable: the one that the kernel's messages go to.
const CONTROL_DEFAULT: &str = "/dev/console";

/// What is said first of all, to the console: from here on there is user space.
pub const FIRST_LINE: &str = "onecopy-guest: the first process runs";

/// Type and directory of what every guest needs. `/tmp` comes first of those that hold new
/// directories: the root file system may be read-only.
const MOUNTS: [(&str, &str); 6] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/tmp"),
    ("configfs", "/sys/kernel/config"),
    ("debugfs", "/sys/kernel/debug"),
];

/// Serves the host and switches the guest off when the host has hung up.
///
/// Never returns: the kernel panics when its first process ends.
pub fn run() -> ! {
    println!("{FIRST_LINE}");
    mount_all();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let ended = match Root::of(&command_line) {
        Some(root) => root.switch().map(drop),
        None => serve().map_err(Failure::from),
    };
    if let Err(error) = ended {
        eprintln!("onecopy-guest: {error}");
    }
    loop {
        let _ = reboot(RebootCommand::PowerOff);
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Mounts what can be mounted; the host sees from the first answers what is missing.
fn mount_all() {
    for (kind, directory) in MOUNTS {
        // On a read-only root the directory is there already or cannot be made.
        let _ = fs::create_dir_all(directory);
        let mounted = mount(kind, directory, kind, MountFlags::empty(), None);
        // devtmpfs is mounted by the kernel itself when there is no initramfs.
        if let Err(error) = mounted.or_else(|error| {
            if error == rustix::io::Errno::BUSY {
                Ok(())
            } else {
                Err(error)
            }
        }) {
            eprintln!("onecopy-guest: mount {kind}: {error}");
        }
    }
}

fn serve() -> io::Result<()> {
    let path = env::var_os(CONTROL_VARIABLE).unwrap_or_else(|| CONTROL_DEFAULT.into());
    let line = OpenOptions::new().read(true).write(true).open(path)?;
    make_raw(&line)?;
    let mut output = Output(line.try_clone()?);
    output.line(&format!("{PREFIX}{READY}"))?;

    let mut session = Session::default();
    for line in BufReader::new(line).lines() {
        if let Some(request) = Request::decode(&line?) {
            answer(&mut session, &request, &mut output)?;
        }
    }
    Ok(())
}

/// Keeps the terminal from echoing commands and from changing line ends.
fn make_raw(line: &File) -> io::Result<()> {
    let mut attributes = tcgetattr(line)?;
    attributes.make_raw();
    Ok(tcsetattr(line, OptionalActions::Now, &attributes)?)
}

fn answer(session: &mut Session, request: &Request, output: &mut Output) -> io::Result<()> {
    let mut sent = Ok(());
    let result = session.run(request, &mut |line| {
        if sent.is_ok() {
            sent = output.line(&Reply::Output(line.to_vec()).encode(request.id));
        }
    });
    sent?;
    let reply = match result {
        Ok(text) => Reply::Done(text),
        Err(Failure {
            errno,
            name,
            context,
        }) => Reply::Failed(Failure {
            errno,
            name,
            context,
        }),
    };
    output.line(&reply.encode(request.id))
}

/// The way to the host.
struct Output(File);

impl Output {
    /// Sends a line in one piece.
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(format!("{text}\n").as_bytes())
    }
}
