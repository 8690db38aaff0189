// SPDX-License-Identifier: GPL-2.0

//! The kernel of the host, and how it is set.

use super::Finding;
use crate::doctor::Facts;
use crate::doctor::Kvm;
use crate::size::rounded;

/// Files that a process opens for a hundred guests' consoles and monitors, and for itself.
const OPEN_FILES: u64 = 1024;

pub(super) fn kvm(kvm: &Kvm) -> Finding {
    let slow =
        "Guests are executed by TCG, many times slower. A system saved with one accelerator \
                starts with that one only.";
    let id = "kvm";
    match kvm {
        Kvm::Works => Finding::ok(id, "A trial guest has run on KVM"),
        Kvm::Untried => Finding::warning(id, "KVM was not tried: there is no QEMU", "", ""),
        Kvm::Missing => Finding::warning(
            id,
            "There is no /dev/kvm",
            slow,
            "Load the module kvm_intel or kvm_amd; in a virtual machine, allow nesting.",
        ),
        Kvm::Denied => Finding::warning(
            id,
            "/dev/kvm may not be opened by this user",
            slow,
            "Add the user to the group kvm.",
        ),
        Kvm::Fails(reason) => Finding::warning(
            id,
            format!("There is /dev/kvm, but {reason}"),
            slow,
            "In a virtual machine, ask its host for nested virtualization.",
        ),
    }
}

pub(super) fn transparent_hugepage(facts: &Facts) -> Finding {
    let id = "transparent-hugepage";
    match facts.transparent_hugepage.as_deref() {
        Some("always") => Finding::warning(
            id,
            "The host backs all memory with huge pages where it can",
            "A guest takes 2 MiB for each 2 MiB region that it touches: an idle one about 2 MiB more. \
             Under KVM it runs faster for that.",
            "Start guests with ipl --small-pages, or choose madvise in \
             /sys/kernel/mm/transparent_hugepage/enabled.",
        ),
        Some(word) => Finding::ok(id, format!("Transparent huge pages: {word}")),
        None => Finding::ok(id, "The kernel has no transparent huge pages"),
    }
}

pub(super) fn hugetlb(facts: &Facts) -> Finding {
    let id = "hugetlb";
    if facts.hugetlb_bytes == 0 {
        return Finding::ok(id, "No memory is set aside for huge pages");
    }
    Finding::warning(
        id,
        format!(
            "{} are set aside for huge pages",
            rounded(facts.hugetlb_bytes)
        ),
        "Guests of onecopy map files and do not use them, so this memory is missing for them.",
        "Set vm.nr_hugepages to 0 if nothing else needs them.",
    )
}

pub(super) fn ksm(facts: &Facts) -> Finding {
    match facts.ksm_run {
        Some(1) => Finding::warning(
            "ksm",
            "KSM merges equal pages",
            "It finds little that guests do not share already, takes processor time for it, and makes \
             the time of a store tell what others have in memory. Guests' memory is kept from it, QEMU's own is not.",
            "echo 2 > /sys/kernel/mm/ksm/run, unless other machines on this host need it.",
        ),
        _ => Finding::ok("ksm", "KSM does not run"),
    }
}

pub(super) fn overcommit(facts: &Facts) -> Finding {
    match facts.overcommit_memory {
        Some(2) => Finding::warning(
            "overcommit",
            "The host promises no more memory than it has (vm.overcommit_memory = 2)",
            "The whole memory of each guest is counted when it starts, used or not: guests are refused \
             long before memory is short.",
            "sysctl vm.overcommit_memory=0, or raise vm.overcommit_ratio.",
        ),
        _ => Finding::ok("overcommit", "Memory that guests do not use is not counted"),
    }
}

pub(super) fn pressure(facts: &Facts) -> Finding {
    if facts.has_pressure {
        return Finding::ok("pressure", "The kernel says how much is waited for memory");
    }
    Finding::warning(
        "pressure",
        "There is no /proc/pressure/memory",
        "top, report and metrics cannot show memory pressure.",
        "Boot the host with psi=1, with a kernel that has CONFIG_PSI.",
    )
}

pub(super) fn open_files(facts: &Facts) -> Finding {
    match facts.max_open_files {
        Some(files) if files < OPEN_FILES => Finding::warning(
            "open-files",
            format!("A process may open {files} files"),
            "QEMU opens some dozens for each guest, top some for each guest it asks.",
            "Raise the limit: ulimit -Hn, or LimitNOFILE= of the service.",
        ),
        _ => Finding::ok("open-files", "Enough files can be opened"),
    }
}
