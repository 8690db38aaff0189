// SPDX-License-Identifier: GPL-2.0

//! Who changes the text of a kernel behind its save point: what happens to the text that guests
//! share, and what if the host protects it.

use anyhow::ensure;
use anyhow::Context as _;
use anyhow::Result;
use onecopy_boot::control;
use onecopy_boot::dcss::errno;
use onecopy_boot::saved::SavedSystem;
use onecopy_boot::Guest;
use onecopy_system::ResourceOptions;

use super::cases;
use super::ensure_eq;
use super::saved::with_guest_of;
use crate::context::Context;

cases! {
    BuiltIn:
        kprobes_take_a_page_of_their_own,
        function_tracing_takes_pages_of_its_own,
        function_graphs_take_pages_of_their_own,
        fprobes_take_pages_of_their_own,
        trampolines_take_a_page_of_their_own,
        breakpoints_of_kgdb_take_a_page_of_their_own,
        tracepoints_take_a_page_of_their_own,
        bpf_programs_take_a_page_of_their_own;
    BuiltInFast:
        protected_text_stays_and_writers_get_an_error,
        breakpoints_of_kgdb_are_refused_in_protected_text;
    BuiltInDebug:
        live_patches_take_a_page_of_their_own,
        static_keys_take_pages_of_their_own,
        static_calls_take_pages_of_their_own,
        a_kernel_with_writers_that_cannot_fail_is_not_protected;
}

const TRACING: &str = "/tracing";
const PREEMPT: &str = "/sys/kernel/debug/sched/preempt";
const WRITTEN: &str = "/sys/kernel/shared_kernel/written_pages";

/// Samples of the kernel: a trampoline at a function, and a patch of `/proc/cmdline`.
pub(crate) const TRAMPOLINE: &str = "ftrace-direct";
pub(crate) const LIVEPATCH: &str = "livepatch-sample";

/// A function that each reading of a file calls.
const FUNCTION: &str = "vfs_read";

/// Starts a guest with the files of the tracers.
fn with_tracing(
    saved: &SavedSystem,
    name: &str,
    body: impl FnOnce(&mut Guest) -> Result<()>,
) -> Result<()> {
    with_guest_of(saved, name, ResourceOptions::default(), |guest| {
        guest.run("mount", &["tracefs", "tracefs", TRACING])?;
        ensure_eq!(guest.read(WRITTEN)?, "0");
        body(guest)
    })
}

/// Writes to a file of the tracers; fails with the errno.
fn trace(guest: &mut Guest, file: &str, text: &str) -> control::Result {
    guest.write(&format!("{TRACING}/{file}"), text)
}

/// Makes sure that the writer was counted, that this guest has pages of its own, and that others do
/// not.
fn check_unshared(saved: &SavedSystem, guest: &mut Guest, name: &str) -> Result<()> {
    let written: u64 = guest.read(WRITTEN)?.parse()?;
    let unshared = saved.shared_range(name)?.unshared_bytes();
    ensure!(
        written > 0 && unshared >= written * 4096,
        "{written} pages, {unshared} bytes"
    );
    let another = format!("another-than-{name}");
    with_guest_of(saved, &another, ResourceOptions::default(), |other| {
        ensure_eq!(other.read(WRITTEN)?, "0");
        ensure_eq!(saved.shared_range(&another)?.unshared_bytes(), 0);
        Ok(())
    })
}

fn kprobes_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "kprobe", |guest| {
        trace(guest, "kprobe_events", &format!("p:probe {FUNCTION}"))?;
        trace(guest, "events/kprobes/probe/enable", "1")?;
        let profile = guest.read(&format!("{TRACING}/kprobe_profile"))?;
        let hits = profile.split_whitespace().nth(1).unwrap_or_default();
        ensure!(hits.parse::<u64>()? > 0, "{profile}");
        check_unshared(saved, guest, "kprobe")
    })
}

fn function_tracing_takes_pages_of_its_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "ftrace", |guest| {
        trace(guest, "set_ftrace_filter", FUNCTION)?;
        trace(guest, "current_tracer", "function")?;
        // Reading the trace would add to it.
        trace(guest, "tracing_on", "0")?;
        let said = guest.read(&format!("{TRACING}/trace"))?;
        ensure!(said.contains(FUNCTION), "{said}");
        trace(guest, "current_tracer", "nop")?;
        check_unshared(saved, guest, "ftrace")
    })
}

fn function_graphs_take_pages_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "graph", |guest| {
        trace(guest, "set_graph_function", FUNCTION)?;
        trace(guest, "set_ftrace_filter", &format!("{FUNCTION}*"))?;
        trace(guest, "current_tracer", "function_graph")?;
        trace(guest, "tracing_on", "0")?;
        let said = guest.read(&format!("{TRACING}/trace"))?;
        ensure!(said.contains(&format!("{FUNCTION}()")), "{said}");
        trace(guest, "current_tracer", "nop")?;
        check_unshared(saved, guest, "graph")
    })
}

fn fprobes_take_pages_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "fprobe", |guest| {
        trace(
            guest,
            "dynamic_events",
            &format!("f:fprobes/probe {FUNCTION}"),
        )?;
        trace(guest, "events/fprobes/probe/enable", "1")?;
        trace(guest, "events/fprobes/probe/enable", "0")?;
        let said = guest.read(&format!("{TRACING}/trace"))?;
        ensure!(said.contains("probe: ("), "{said}");
        check_unshared(saved, guest, "fprobe")
    })
}

/// BPF programs for entry and exit of functions are attached the same way.
fn trampolines_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "direct", |guest| {
        guest.load(context.kernel(), TRAMPOLINE, "")?;
        guest.run("sleep", &["10"])?;
        let said = guest.read(&format!("{TRACING}/trace"))?;
        ensure!(said.contains("waking up "), "{said}");
        guest.run("rmmod", &[&TRAMPOLINE.replace('-', "_")])?;
        check_unshared(saved, guest, "direct")
    })
}

/// Lets the kernel's own tests of kgdb run.
const KGDB_TESTS: [&str; 2] = ["/sys/module/kgdbts/parameters/kgdbts", "V1"];

fn breakpoints_of_kgdb_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    let mut guest = saved.ipl("kgdb", ResourceOptions::default())?;
    guest.run("write", &KGDB_TESTS)?;
    let said = guest.dmesg("kgdbts:")?.join("\n");
    // Breakpoints of the hardware come first. They are missed under TCG.
    let (_, software) = said
        .split_once("RUN plant and detach")
        .context("no such test")?;
    ensure!(
        software.contains("RUN sw breakpoint test") && !software.contains("ERROR"),
        "{said}"
    );
    check_unshared(saved, &mut guest, "kgdb")
}

fn breakpoints_of_kgdb_are_refused_in_protected_text(context: &Context) -> Result<()> {
    let saved = context.protected()?;
    let mut guest = saved.ipl("kgdb", ResourceOptions::default())?;
    // What a debugger gets as its answer is EROFS. The tests do not expect that, and trip over it.
    guest.write("/proc/sys/kernel/printk", "8")?;
    guest.run_until("write", &KGDB_TESTS, " got $E30#")?;
    ensure_eq!(saved.shared_range("kgdb")?.private_bytes, 0);
    Ok(())
}

fn live_patches_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "patch", |guest| {
        guest.load(context.kernel(), LIVEPATCH, "")?;
        let line = guest.read("/proc/cmdline")?;
        ensure!(line.contains("live patched"), "{line}");
        check_unshared(saved, guest, "patch")
    })
}

fn tracepoints_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "events", |guest| {
        trace(guest, "events/sched/sched_switch/enable", "1")?;
        guest.run("sleep", &["10"])?;
        trace(guest, "events/sched/sched_switch/enable", "0")?;
        let said = guest.read(&format!("{TRACING}/trace"))?;
        ensure!(said.contains("sched_switch: "), "{said}");
        check_unshared(saved, guest, "events")
    })
}

fn bpf_programs_take_a_page_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "bpf", |guest| {
        guest.run("bpf-kprobe", &["program", FUNCTION])?;
        check_unshared(saved, guest, "bpf")?;
        guest.run("close", &["program"])?;
        Ok(())
    })
}

fn static_keys_take_pages_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "keys", |guest| {
        // The scheduler says more where the key is on.
        ensure!(!guest.read("/proc/1/sched")?.contains("wait_max"));
        guest.write("/proc/sys/kernel/sched_schedstats", "1")?;
        ensure!(guest.read("/proc/1/sched")?.contains("wait_max"));
        check_unshared(saved, guest, "keys")
    })
}

fn static_calls_take_pages_of_their_own(context: &Context) -> Result<()> {
    let saved = context.saved()?;
    with_tracing(saved, "calls", |guest| {
        guest.write(PREEMPT, "full")?;
        let said = guest.read(PREEMPT)?;
        ensure!(said.contains("(full)"), "{said}");
        check_unshared(saved, guest, "calls")
    })
}

fn a_kernel_with_writers_that_cannot_fail_is_not_protected(context: &Context) -> Result<()> {
    let Err(error) = context.protected() else {
        anyhow::bail!("it was saved");
    };
    ensure!(error.to_string().contains("CONFIG_JUMP_LABEL"), "{error:#}");
    Ok(())
}

fn protected_text_stays_and_writers_get_an_error(context: &Context) -> Result<()> {
    let saved = context.protected()?;
    with_tracing(saved, "protect", |guest| {
        ensure_eq!(guest.read("/sys/kernel/shared_kernel/protected")?, "1");
        let kprobe = format!("p:probe {FUNCTION}");
        let fprobe = format!("f:fprobes/probe {FUNCTION}");
        trace(guest, "dynamic_events", &fprobe)?;
        for (file, text) in [
            ("kprobe_events", kprobe.as_str()),
            ("current_tracer", "function"),
            ("current_tracer", "function_graph"),
            ("events/fprobes/probe/enable", "1"),
            ("events/sched/sched_switch/enable", "1"),
        ] {
            ensure_eq!(errno(trace(guest, file, text))?, "EROFS", "{file}");
        }
        let bpf = guest.run("bpf-kprobe", &["program", FUNCTION]);
        ensure_eq!(errno(bpf)?, "EROFS");
        let loaded = guest.load(context.kernel(), TRAMPOLINE, "");
        let error = loaded.err().context("the trampoline is there")?;
        ensure!(format!("{error:#}").contains("EROFS"), "{error:#}");

        ensure_eq!(guest.read(WRITTEN)?, "0");
        ensure_eq!(saved.shared_range("protect")?.private_bytes, 0);
        // All is well with the kernel.
        guest.run("applet", &["hog", "16"])?;
        Ok(())
    })
}
