// SPDX-License-Identifier: GPL-2.0

//! Runs the KUnit suites of a kernel under QEMU.
//!
//! They run while the kernel boots. Afterwards the guest's program hands over the kernel's log: the
//! console may lose characters when the host is busy. The last line is `N passed, N failed`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use clap::Parser;
use onecopy_boot::ktap::Results;
use onecopy_boot::ktap::Status;
use onecopy_boot::report::complaints;
use onecopy_boot::Guest;
use onecopy_boot::Host;
use onecopy_boot::Kernel;
use onecopy_boot::Options;
use onecopy_machine::accel;

/// What the suites of this tree are; KUnit's own and those of the kernel run too.
const EXPECTED: [&str; 34] = [
    "cmm_commands",
    "cmm_counters",
    "cmm_numbers",
    "cmm_options",
    "cmm_pools",
    "cmm_ranges",
    "cmm_report",
    "cmm_reuse",
    "cmm_target",
    "dcss_commands",
    "dcss_flush",
    "dcss_lines",
    "dcss_names",
    "dcss_plan",
    "dcss_space",
    "ipl_clock",
    "rust_bio",
    "rust_dax",
    "rust_fw_cfg",
    "rust_memremap",
    "rust_mm_memory_hotplug",
    "rust_mm_oom",
    "rust_mm_page_block",
    "rust_mm_page_block_list",
    "rust_mm_shrinker",
    "rust_mm_stats",
    "rust_module_param",
    "rust_reservation",
    "rust_sysctl",
    "rust_sysctl_handler",
    "rust_virtio",
    "smsg_lines",
    "smsg_protocol",
    "rust_doctests_kernel",
];

/// Runs the suites, which the configuration may leave out of an ordinary boot, and keeps all that
/// they say.
const APPEND: &str = "kunit.enable=1 kunit.autorun=1 log_buf_len=8M";

/// Enough to see why a boot failed.
const TAIL_LINES: usize = 40;

/// Runs the KUnit suites of a kernel under QEMU.
#[derive(Debug, Parser)]
struct Arguments {
    /// The directory that the kernel was built in
    #[arg(
        long,
        env = "ONECOPY_KUNIT_KERNEL_DIR",
        default_value = "build/kernel-debug"
    )]
    kernel_dir: PathBuf,
    /// KVM or TCG: auto, kvm, tcg
    #[arg(long, default_value = "auto")]
    accel: accel::Choice,
    /// Where to keep what the kernel says
    #[arg(long)]
    log: Option<PathBuf>,
    /// Suites that must have run; a name may end with *
    #[arg(default_values_t = EXPECTED.map(str::to_owned))]
    suites: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kunit: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all is well.
fn run(arguments: &Arguments) -> Result<bool> {
    let kernel = Kernel::open(&arguments.kernel_dir)?;
    if !kernel.has("KUNIT") {
        bail!("{} was built without KUnit", arguments.kernel_dir.display());
    }
    let log = boot(&kernel, arguments)?;
    let results = Results::parse(&log);
    let mut failures = report(&results);
    if !results.is_complete() {
        let tail: Vec<&str> = log.lines().rev().take(TAIL_LINES).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        println!(
            "not all suites have ended; the log ended with:\n{}",
            tail.join("\n")
        );
        failures += 1;
    }
    for suite in results.missing(&arguments.suites) {
        println!("not ok {suite}: no case of it has passed");
        failures += 1;
    }
    for complaint in complaints(&log) {
        println!("not ok: the kernel complains:\n{}", complaint.excerpt);
        failures += 1;
    }
    let (passed, skipped) = (
        results.count(Status::Passed),
        results.count(Status::Skipped),
    );
    let total = passed + failures + skipped;
    println!("# Totals: pass:{passed} fail:{failures} skip:{skipped} total:{total}");
    println!("{passed} passed, {failures} failed");
    Ok(failures == 0)
}

/// Boots the kernel and returns its log.
fn boot(kernel: &Kernel, arguments: &Arguments) -> Result<String> {
    let host = Host::find(arguments.accel)?;
    let options = Options::default().cpus(2).append(APPEND);
    let mut guest = Guest::start(&host, kernel, &options)?;
    let log = guest.dmesg("")?.join("\n");
    if let Some(path) = &arguments.log {
        fs::write(path, &log).with_context(|| format!("write {}", path.display()))?;
    }
    guest.finish()?;
    Ok(log)
}

/// Prints the failures and what was skipped, and returns the number of failures.
fn report(results: &Results) -> usize {
    for case in &results.cases {
        match case.status {
            Status::Passed => {}
            Status::Skipped => println!("skipped {}.{}", case.suite, case.name),
            Status::Failed => {
                println!("not ok {}.{}\n{}", case.suite, case.name, case.context);
            }
        }
    }
    for suite in &results.broken_suites {
        println!("not ok {suite}: the suite failed as a whole, or lost a case");
    }
    results.count(Status::Failed) + results.broken_suites.len()
}
