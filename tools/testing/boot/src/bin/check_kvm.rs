// SPDX-License-Identifier: GPL-2.0

//! Runs the boot tests with KVM.
//!
//! Where a trial boot with KVM succeeds they run on this machine. Elsewhere they run in an inner
//! host: a kernel with KVM on an emulated machine that has SVM, with this machine's root file
//! system, read-only, as its own. The last line is `N passed, N failed, N retried`; more retries than a
//! quarter of the tests are a failure, too.

use std::ffi::OsString;
use std::fmt;
use std::io::stdout;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use onecopy_boot::Kernel;
use onecopy_machine::accel;
use onecopy_machine::options;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Params;
use onecopy_machine::Config;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;

/// What the first process of the inner host says at the end.
const ENDED: &str = "check-kvm: the tests ended with ";

/// What it says before the first test.
const BEGUN: &str = "check-kvm: the host is up";

/// What its kernel says where this machine has taken so long over a timer of the inner host that the
/// kernel will not use it. Without it KVM's own timers are of no use.
const UNFIT: &str = "lapic is not functional";

/// How often the inner host is started until its timers work.
const ATTEMPTS: u32 = 5;

/// How long the inner host may take to its first test.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What the inner host has. It keeps the memory of all its guests, and all files that are written.
const CPUS: u32 = 2;
const MEMORY_BYTES: u64 = 6 << 30;

/// This machine's files, for the inner host; of several file systems, hence the new inode numbers.
const SHARE: &str = "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap";

/// Runs the boot tests with KVM.
#[derive(Debug, Parser)]
struct Arguments {
    /// The directory that the kernel of the inner host was built in
    #[arg(long, default_value = "build/kernel-kvm")]
    host_kernel_dir: PathBuf,
    /// The directory that the guests' kernel was built in
    #[arg(long, default_value = "build/kernel")]
    kernel_dir: PathBuf,
    /// Give up after so many seconds
    #[arg(long, default_value_t = 3000)]
    timeout: u64,
    /// Run the tests with this text in their names only
    filter: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("check-kvm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all tests have passed.
fn run(arguments: &Arguments) -> Result<bool> {
    let qemu = Qemu::find()?;
    if accel::choose(accel::Choice::Auto, &qemu) == Accel::Kvm {
        eprintln!("check-kvm: KVM works here, no inner host is needed");
        return here(arguments);
    }
    let output = inner_host(qemu, arguments)?;
    let totals = Totals::of(&output).context("the tests have not come to their end")?;
    println!("{totals}");
    Ok(totals.failed == 0 && totals.passed > 0 && output.contains(&format!("{ENDED}0")))
}

/// Runs the tests on this machine.
fn here(arguments: &Arguments) -> Result<bool> {
    let program = std::env::current_exe()?.with_file_name("onecopy-boot");
    let status = Command::new(program)
        .args(["--accel", "kvm"])
        .args(words(arguments))
        .status()
        .context("cannot run onecopy-boot")?;
    Ok(status.success())
}

/// How often a test may be begun in the inner host. Emulated SVM ends about one boot in ten by a
/// triple fault or lets it hang, with stock QEMU and any guest of ours; each such attempt is shown and
/// counted. A test that has found something wrong is not begun again. There may not be more retries than a
/// quarter of the tests: a saved state of ours that is bad may look the same.
const INNER_ATTEMPTS: u32 = 3;

/// The arguments of the tests.
fn words(arguments: &Arguments) -> Vec<OsString> {
    let mut words = vec![
        "--kernel-dir".into(),
        arguments.kernel_dir.clone().into_os_string(),
    ];
    words.extend(arguments.filter.as_ref().map(OsString::from));
    words
}

fn inner_words(arguments: &Arguments) -> Vec<OsString> {
    let mut words = words(arguments);
    words.extend(["--attempts".into(), INNER_ATTEMPTS.to_string().into()]);
    words
}

/// Runs the tests in an inner host, and returns what it has said.
fn inner_host(qemu: Qemu, arguments: &Arguments) -> Result<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .canonicalize()?;
    let kernel = Kernel::open(&arguments.host_kernel_dir)?;
    let mut config = Config::new(qemu, Accel::Tcg);
    config.name = "check-kvm".to_owned();
    config.cpus = CPUS;
    config.memory_bytes = MEMORY_BYTES;
    config.kernel = Some(options::Kernel {
        kernel: kernel.image(),
        initrd: None,
        append: append(&top, &inner_words(arguments))?,
    });
    config.extra_args.extend(["-fsdev".into(), SHARE.into()]);
    let device = Params::new("virtio-9p-pci")
        .with("fsdev", "root")
        .with("mount_tag", "/dev/root");
    config.add(&options::Device(device));

    let mut machine = start(&config)?;
    let timeout = Duration::from_secs(arguments.timeout);
    machine.wait_for_line(ENDED, timeout)?;
    let output = machine.console().text();
    machine.kill()?;
    Ok(output)
}

/// Starts the inner host until its timers work.
fn start(config: &Config) -> Result<Machine> {
    for _ in 0..ATTEMPTS {
        let mut machine = Machine::start_with(config, Some(Box::new(stdout())))?;
        let (found, _) = machine.wait_for_any(&[BEGUN, UNFIT], START_TIMEOUT)?;
        if found == 0 {
            return Ok(machine);
        }
        machine.kill()?;
        eprintln!("check-kvm: the timers of the inner host do not work; starting it again");
    }
    bail!("the inner host was started {ATTEMPTS} times, and its timers never worked: is this machine busy?")
}

/// The inner host's command line.
fn append(top: &Path, words: &[OsString]) -> Result<String> {
    let top = top.to_str().context("the path of the tree is not UTF-8")?;
    let mut line = format!(
        "console=ttyS0 panic=-1 root=/dev/root rootfstype=9p ro \
         rootflags=trans=virtio,version=9p2000.L,cache=loose,msize=262144 \
         init={top}/scripts/kvm-host-init --"
    );
    for word in words {
        let word = word.to_str().context("an argument is not UTF-8")?;
        if word.contains(char::is_whitespace) {
            bail!("{word:?} cannot be passed on: it has white space");
        }
        line.push(' ');
        line.push_str(word);
    }
    Ok(line)
}

/// How many tests have passed and failed, and how often one was begun again.
#[derive(Debug, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    retried: u64,
}

impl Totals {
    /// Reads the last line of the tests.
    fn of(output: &str) -> Option<Self> {
        output.lines().rev().find_map(Self::of_line)
    }

    fn of_line(line: &str) -> Option<Self> {
        let number = |what: &str| {
            let (before, _) = line.split_once(what)?;
            before.rsplit(' ').next()?.parse().ok()
        };
        Some(Self {
            passed: number(" passed, ")?,
            failed: number(" failed, ")?,
            retried: number(" retried")?,
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            retried,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {retried} retried")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_last_one() {
        let output = "1 passed, 9 failed, 0 retried\nx\n\
                      test result: FAILED. 92 passed; 1 failed; 0 ignored\n\
                      92 passed, 1 failed, 4 retried\nkvm: it was retried\nend\n";
        let totals = Totals::of(output).unwrap();
        assert_eq!(totals.to_string(), "92 passed, 1 failed, 4 retried");
        assert_eq!(Totals::of("test result: ok. 1 passed; 9 failed\n"), None);
    }

    #[test]
    fn arguments_reach_the_first_process_as_words() {
        let words = ["a".into(), "b-c".into()];
        let line = append(Path::new("/top"), &words).unwrap();
        assert!(line.ends_with("init=/top/scripts/kvm-host-init -- a b-c"));
        assert!(append(Path::new("/top"), &["a b".into()]).is_err());
    }
}
