// SPDX-License-Identifier: GPL-2.0

//! The boot tests: each one starts guests of its own and says what it found.
//!
//! Besides its own `--kernel-dir DIR` (once or more, else `ONECOPY_KERNEL_DIR`, a list with colons,
//! else the three that `make` builds), `--accel auto|kvm|tcg` and `--attempts N` (how often a test may
//! be begun whose guest is lost to the machine below it; once by default) the program takes the
//! arguments of a Rust test harness. The last line is `N passed, N failed, N retried`. It fails also if
//! there were more retries than a quarter of the tests.

mod attempts;
mod cases;
mod context;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use anyhow::Context as _;
use anyhow::Result;
use libtest_mimic::Arguments;
use libtest_mimic::Trial;
use onecopy_boot::Host;
use onecopy_boot::Kernel;
use onecopy_machine::accel;

use crate::attempts::Attempts;
use crate::cases::Case;
use crate::context::Context;

/// A list of kernels, with colons.
const KERNELS_VARIABLE: &str = "ONECOPY_KERNEL_DIR";

/// What `make` builds: the driver built in, as a module, and with the kernel's checks.
const KERNELS_DEFAULT: &str = "build/kernel:build/kernel-module:build/kernel-debug";

fn main() -> ExitCode {
    match run(env::args_os().collect()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("onecopy-boot: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<OsString>) -> Result<ExitCode> {
    let directories = take(&mut arguments, "--kernel-dir")?;
    let kernels = kernels(directories.into_iter().map(PathBuf::from).collect())?;
    let accel = accelerator(&take(&mut arguments, "--accel")?)?;
    let attempts = Attempts::new(attempts(&take(&mut arguments, "--attempts")?)?);
    let attempts = Arc::new(attempts);
    let arguments = Arguments::from_iter(arguments);
    let mut trials = Vec::new();
    if arguments.list {
        for kernel in &kernels {
            let selected = cases::all()
                .into_iter()
                .filter(|case| case.needs.are_met(kernel));
            trials.extend(selected.map(|case| Trial::test(name(kernel, &case), || Ok(()))));
        }
    } else {
        let host = Host::find(accel)?;
        for kernel in kernels {
            let context = Arc::new(Context::new(host.clone(), kernel, Arc::clone(&attempts))?);
            trials.extend(trials_of(&context));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if arguments.list {
        return Ok(conclusion.exit_code());
    }
    let (passed, failed) = (conclusion.num_passed, conclusion.num_failed);
    let excess = attempts.excess(passed + failed);
    if let Some(excess) = &excess {
        println!("{excess}");
    }
    println!(
        "{passed} passed, {failed} failed, {} retried",
        attempts.retried()
    );
    Ok(match excess {
        Some(_) => ExitCode::FAILURE,
        None => conclusion.exit_code(),
    })
}

fn trials_of(context: &Arc<Context>) -> Vec<Trial> {
    let selected = cases::all()
        .into_iter()
        .filter(|case| case.needs.are_met(context.kernel()));
    selected
        .map(|case| {
            let context = Arc::clone(context);
            let name = name(context.kernel(), &case);
            Trial::test(name, move || {
                let run = || (case.run)(&context);
                let result = context.attempts().run(case.name, run);
                result.map_err(|error| format!("{error:#}").into())
            })
        })
        .collect()
}

fn name(kernel: &Kernel, case: &Case) -> String {
    format!("{}::{}", kernel.label(), case.name)
}

/// Takes an option out of the arguments, and returns its values.
fn take(arguments: &mut Vec<OsString>, option: &str) -> Result<Vec<OsString>> {
    let mut values = Vec::new();
    while let Some(at) = arguments.iter().position(|argument| argument == option) {
        if at + 1 >= arguments.len() {
            bail!("{option} wants a value");
        }
        arguments.remove(at);
        values.push(arguments.remove(at));
    }
    Ok(values)
}

/// The last value wins.
fn accelerator(values: &[OsString]) -> Result<accel::Choice> {
    let Some(value) = values.last() else {
        return Ok(accel::Choice::Auto);
    };
    let word = value.to_str().context("--accel wants auto, kvm or tcg")?;
    Ok(word.parse()?)
}

/// The last value wins.
fn attempts(values: &[OsString]) -> Result<u32> {
    let Some(value) = values.last() else {
        return Ok(1);
    };
    let number = value.to_str().and_then(|word| word.parse().ok());
    number
        .filter(|number| *number > 0)
        .context("--attempts wants a number from 1")
}

fn kernels(mut directories: Vec<PathBuf>) -> Result<Vec<Kernel>> {
    if directories.is_empty() {
        let list = env::var_os(KERNELS_VARIABLE).unwrap_or_else(|| KERNELS_DEFAULT.into());
        directories = env::split_paths(&list).collect();
    }
    let mut kernels = Vec::new();
    for directory in directories {
        let kernel = Kernel::open(&directory);
        kernels.push(kernel.with_context(|| format!("kernel {}", directory.display()))?);
    }
    Ok(kernels)
}
