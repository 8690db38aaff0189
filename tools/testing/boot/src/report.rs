// SPDX-License-Identifier: GPL-2.0

//! Complaints of a kernel: KASAN, lockdep, warnings, oopses and the like.

/// How many lines of a report are shown.
const EXCERPT_LINES: usize = 40;

/// What lines with a complaint hold. The kernel has no single marker for them.
const MARKERS: &[&str] = &[
    // Oopses, panics, and what does not let go on.
    "BUG: ",
    "kernel BUG at",
    "Oops",
    "Kernel panic",
    "general protection fault",
    "unable to handle",
    "Unable to handle",
    "double fault",
    "invalid opcode:",
    "panicked at",
    // Warnings; most of lockdep's begin so too.
    "WARNING: ",
    "[ cut here ]",
    "Call Trace:",
    "INFO: trying to register non-static key",
    "DEBUG_LOCKS_WARN_ON",
    "lock held when returning to user space",
    // Things that take too long.
    "INFO: task ",
    "rcu: INFO:",
    "self-detected stall",
    "soft lockup",
    "hard LOCKUP",
    "workqueue lockup",
    // Memory.
    "KASAN: ",
    "UBSAN: ",
    "ODEBUG: ",
    "BUG kmalloc",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "bad page ",
    "page dumped because",
    "VM_BUG_ON",
    "VM_WARN_ON",
    "unreferenced object",
    "new suspected memory leaks",
    // The driver core.
    "cannot create duplicate filename",
    "tried to add a duplicate",
    "kobject_put() is being called",
    "does not have a release() function",
];

/// A complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The line that shows it is one.
    pub line: String,
    /// That line and those after it.
    pub excerpt: String,
}

/// Finds the complaints in the log of a kernel.
///
/// A report has several lines with a marker; the lines of its excerpt begin no other complaint.
pub fn complaints(log: &str) -> Vec<Complaint> {
    let lines: Vec<&str> = log.lines().collect();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        if !is_complaint(line) {
            index += 1;
            continue;
        }
        let excerpt: Vec<&str> = lines
            .iter()
            .skip(index)
            .take(EXCERPT_LINES)
            .copied()
            .collect();
        found.push(Complaint {
            line: (*line).to_owned(),
            excerpt: excerpt.join("\n"),
        });
        index += EXCERPT_LINES;
    }
    found
}

fn is_complaint(line: &str) -> bool {
    MARKERS.iter().any(|marker| line.contains(marker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_found() {
        for line in [
            "[    3.1] BUG: KASAN: slab-use-after-free in dcss_open+0x1b/0x30",
            "[    3.1] WARNING: CPU: 0 PID: 1 at mm/memremap.c:300 memremap_pages+0x5f0/0x6e0",
            "[    3.1] WARNING: possible circular locking dependency detected",
            "[    3.1] WARNING: suspicious RCU usage",
            "[    3.1] BUG: sleeping function called from invalid context at mm/slub.c:1",
            "[    3.1] BUG: unable to handle page fault for address: ffffc90000000000",
            "[    3.1] BUG kmalloc-64 (Not tainted): Right Redzone overwritten",
            "[    3.1] ------------[ cut here ]------------",
            "[    3.1] WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
            "[    3.1] INFO: trying to register non-static key.",
            "[    3.1] BUG: Bad page state in process init  pfn:140200",
            "[    3.1] Oops: 0000 [#1] SMP NOPTI",
            "[    3.1] Oops: general protection fault, kernel NULL pointer dereference",
            "[    3.1] kernel BUG at mm/memory.c:123!",
            "[    3.1] refcount_t: underflow; use-after-free.",
            "[    3.1] list_add corruption. prev->next should be next",
            "[  130.0] INFO: task init:1 blocked for more than 120 seconds.",
            "[   60.0] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[   30.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!",
            "[    3.1] rust_kernel: panicked at drivers/block/dcss/plan.rs:1:1:",
            "[    9.9] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    3.1] sysfs: cannot create duplicate filename '/devices/virtual/block/dcss!A'",
            "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs",
            "[    3.1] UBSAN: array-index-out-of-bounds in lib/x.c:3:4",
            "[    3.1] init/1 is leaving the kernel: lock held when returning to user space!",
        ] {
            let log = format!("[    0.0] Linux version 7.3.4\n{line}\n[    3.2] Call Trace:\n");
            let found = complaints(&log);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].line, line);
            assert!(found[0].excerpt.ends_with("Call Trace:"));
        }
    }

    #[test]
    fn ordinary_messages_are_no_complaints() {
        for line in [
            "[    0.0] Kernel command line: console=ttyS0 oops=panic panic=-1",
            "[    0.1] kmemleak: Automatic memory scanning thread started",
            "[    0.0] kasan: KernelAddressSanitizer initialized (generic)",
            "[    0.1] kmemleak: Kernel memory leak detector initialized (mem pool available: 39)",
            "[    0.0] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
            "[    0.0] rcu: Preemptible hierarchical RCU implementation.",
            "[    1.0] dcss: segment USR: cannot be detached while it is in use",
            "[    1.0] dcss: segment USR: write to a read-only segment of type SR refused",
            "[    1.0] virtio0: segment space refused: header: magic is bad",
            "[    1.0] dcss: segment USR: the device vanished while in use",
        ] {
            assert_eq!(complaints(line), [], "{line}");
        }
    }

    #[test]
    fn complaints_far_apart_are_counted_apart() {
        let filler = "[ 1.0] ordinary\n".repeat(EXCERPT_LINES);
        let log = format!("WARNING: a\nCall Trace:\n{filler}WARNING: b\n");
        let lines: Vec<String> = complaints(&log)
            .into_iter()
            .map(|found| found.line)
            .collect();
        assert_eq!(lines, ["WARNING: a", "WARNING: b"]);
    }
}
