// SPDX-License-Identifier: GPL-2.0

//! What facts mean.

use std::os::unix::ffi::OsStrExt;

use schemars::JsonSchema;
use serde::Serialize;

use super::Directory;
use super::Facts;
use super::Filesystem;
use super::Kvm;
use super::QemuUser;
use super::Sandbox;
use crate::size::rounded;

/// The longest path of a socket, in bytes.
const SOCKET_PATH: usize = 107;

/// What follows the run directory in that of a guest's console: the longest name has 64 bytes.
const LONGEST_GUEST: usize = "/guests//console".len() + 64;

/// Below this a store has no room for the images of an ordinary system.
const LOW_BYTES: u64 = 1 << 30;

/// Files that a process opens for a hundred guests' consoles and monitors, and for itself.
const OPEN_FILES: u64 = 1024;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, and could be better.
    Warning,
    /// Something does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// A word for programs that read this, always the same.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// What that means; empty if there is nothing to say.
    pub meaning: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    fn ok(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            id,
            severity: Severity::Ok,
            what: what.into(),
            meaning: String::new(),
            remedy: String::new(),
        }
    }

    fn warning(id: &'static str, what: impl Into<String>, meaning: &str, remedy: &str) -> Self {
        Self {
            severity: Severity::Warning,
            meaning: meaning.to_owned(),
            remedy: remedy.to_owned(),
            ..Self::ok(id, what)
        }
    }

    fn error(id: &'static str, what: impl Into<String>, meaning: &str, remedy: &str) -> Self {
        Self {
            severity: Severity::Error,
            ..Self::warning(id, what, meaning, remedy)
        }
    }
}

/// Says what the facts mean, one finding for each thing that was looked at.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        qemu(facts),
        kvm(&facts.kvm),
        sandbox(&facts.sandbox),
        user(&facts.user),
        transparent_hugepage(facts),
        hugetlb(facts),
        ksm(facts),
        overcommit(facts),
        pressure(facts),
        fincore(facts),
        mkfs(facts),
        open_files(facts),
    ];
    findings.extend(store(&facts.store));
    findings.extend(run(&facts.run));
    findings
}

fn qemu(facts: &Facts) -> Finding {
    match &facts.qemu {
        Ok(found) => Finding::ok("qemu", format!("QEMU is {found}")),
        Err(reason) => Finding::error(
            "qemu",
            reason,
            "No guest can be saved or started.",
            "Install QEMU 10.0 or later, or say where it is: ONECOPY_QEMU.",
        ),
    }
}

fn kvm(kvm: &Kvm) -> Finding {
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

fn sandbox(sandbox: &Sandbox) -> Finding {
    let id = "sandbox";
    let alone = "A guest that breaks out of its QEMU can make all system calls, with the rights of QEMU's user.";
    match sandbox {
        Sandbox::Works => Finding::ok(id, "QEMU filters its system calls"),
        Sandbox::Untried => {
            Finding::warning(id, "QEMU's sandbox was not tried: there is no QEMU", "", "")
        }
        Sandbox::Off => Finding::warning(
            id,
            "QEMU's sandbox is switched off",
            alone,
            "Leave out --sandbox off and ONECOPY_SANDBOX=off.",
        ),
        Sandbox::Fails(said) => Finding::error(
            id,
            format!("QEMU has no sandbox: {said}"),
            "No guest is saved or started, unless with --sandbox off.",
            "Install a QEMU that was built with seccomp.",
        ),
    }
}

fn user(user: &QemuUser) -> Finding {
    let id = "qemu-user";
    match user {
        QemuUser::Ours => Finding::ok(id, "QEMU runs as you, without the rights of root"),
        QemuUser::Other(name) => Finding::ok(id, format!("QEMU runs as user {name}")),
        QemuUser::Root => Finding::warning(
            id,
            "QEMU runs as root",
            "A guest that breaks out of its QEMU, and of its sandbox, can read and write all files of the host.",
            "useradd --system --shell /usr/sbin/nologin onecopy, or choose another user: --qemu-user, \
             ONECOPY_QEMU_USER.",
        ),
        QemuUser::Outside(name) => Finding::error(
            id,
            format!("QEMU runs as user {name}, who cannot read the store"),
            "No system can be saved or started.",
            "Let others pass the directories above the store: chmod o+x, or choose another store or user.",
        ),
    }
}

fn guard(id: &'static str, name: &str, directory: &Directory, meaning: &str) -> Finding {
    match &directory.guard {
        Ok(()) => Finding::ok(id, format!("{name} is written to by its owner only")),
        Err(reason) => Finding::error(
            id,
            reason.clone(),
            meaning,
            "Look who has put what there; then chown and chmod go-w, or choose another one.",
        ),
    }
}

fn transparent_hugepage(facts: &Facts) -> Finding {
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

fn hugetlb(facts: &Facts) -> Finding {
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

fn ksm(facts: &Facts) -> Finding {
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

fn overcommit(facts: &Facts) -> Finding {
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

fn pressure(facts: &Facts) -> Finding {
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

fn fincore(facts: &Facts) -> Finding {
    match &facts.fincore {
        Ok(()) => Finding::ok("fincore", "fincore says what is in the page cache"),
        Err(reason) => Finding::warning(
            "fincore",
            reason,
            "top, report and metrics cannot show what of saved files is in the page cache.",
            "Install util-linux-extra, or util-linux of the distribution.",
        ),
    }
}

fn mkfs(facts: &Facts) -> Finding {
    match &facts.mkfs {
        Ok(()) => Finding::ok("mkfs-erofs", "mkfs.erofs makes segments of directories"),
        Err(reason) => Finding::warning(
            "mkfs-erofs",
            reason,
            "saveseg takes images, but no directories.",
            "Install erofs-utils 1.8 or later, or say where it is: MKFS_EROFS.",
        ),
    }
}

fn open_files(facts: &Facts) -> Finding {
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

fn store(directory: &Directory) -> Vec<Finding> {
    let replace = "Who can write there can replace what guests start from, and what they execute.";
    let mut findings = vec![
        writable("store", "The store", directory),
        guard("store-permissions", "The store", directory, replace),
    ];
    let name = directory
        .filesystem
        .map(Filesystem::name)
        .unwrap_or_default();
    findings.push(match directory.filesystem {
        Some(Filesystem::Remote(_)) => Finding::warning(
            "store-filesystem",
            format!("The store is on {name}"),
            "Hosts do not share its page cache, locks may not hold between them, and a guest dies or \
             hangs when a page cannot be read.",
            "Keep the store on a local disk.",
        ),
        Some(Filesystem::Memory(_)) => Finding::warning(
            "store-filesystem",
            format!("The store is on {name}"),
            "All of it takes memory, whether guests use it or not, and it is gone with the host's boot.",
            "Keep the store on a local disk.",
        ),
        Some(Filesystem::Overlay) => Finding::warning(
            "store-filesystem",
            "The store is on overlayfs",
            "It is likely a container's own layer: other containers have other copies of the same pages.",
            "Mount one directory of the host for all of them.",
        ),
        _ => Finding::ok("store-filesystem", format!("The store is on {name}")),
    });
    if directory.has_nameless_files == Some(false) {
        findings.push(Finding::warning(
            "store-nameless",
            format!("{name} knows no files without a name"),
            "What a killed save leaves stays until the next save of that name.",
            "onecopy doctor --clean removes it.",
        ));
    }
    if directory.has_holes == Some(false) {
        findings.push(Finding::warning(
            "store-holes",
            format!("{name} cannot give back blocks in the middle of a file"),
            "Saved systems take the space of their whole kernel part, about 96 MiB each.",
            "Keep the store on ext4, XFS or Btrfs.",
        ));
    }
    match directory.free_bytes {
        Some(free) if free < LOW_BYTES => findings.push(Finding::warning(
            "store-space",
            format!("The store has {} of room", rounded(free)),
            "A save may fail; what is saved already is not touched by that.",
            "Make room, or purge what is not needed: onecopy query nss.",
        )),
        Some(free) => findings.push(Finding::ok(
            "store-space",
            format!("The store has {} of room", rounded(free)),
        )),
        None => {}
    }
    findings
}

fn run(directory: &Directory) -> Vec<Finding> {
    let refused =
        "No guest is started or listed: who can write there could name any process as one.";
    let mut findings = vec![
        writable("run", "The run directory", directory),
        guard("run-permissions", "The run directory", directory, refused),
    ];
    let length = directory.path.as_os_str().as_bytes().len();
    findings.push(if length + LONGEST_GUEST <= SOCKET_PATH {
        Finding::ok("run-path", "Names of guests can be as long as they may be")
    } else if length + LONGEST_GUEST - 63 > SOCKET_PATH {
        Finding::error(
            "run-path",
            format!("The path of the run directory has {length} bytes"),
            "The path of a socket has at most 107: no guest can be started.",
            "Choose a shorter one: --run-dir or ONECOPY_RUN.",
        )
    } else {
        let longest = SOCKET_PATH.saturating_sub(length + LONGEST_GUEST - 64);
        Finding::warning(
            "run-path",
            format!("The path of the run directory has {length} bytes"),
            &format!("The path of a socket has at most 107: names of guests at most {longest}."),
            "Choose a shorter one if that is not enough: --run-dir or ONECOPY_RUN.",
        )
    });
    if let Some(Filesystem::Remote(name)) = directory.filesystem {
        findings.push(Finding::warning(
            "run-filesystem",
            format!("The run directory is on {name}"),
            "Sockets and locks may not work there.",
            "Choose one on tmpfs: --run-dir or ONECOPY_RUN.",
        ));
    }
    findings
}

fn writable(id: &'static str, name: &str, directory: &Directory) -> Finding {
    let path = directory.path.display();
    match (directory.is_writable, directory.exists) {
        (true, true) => Finding::ok(id, format!("{name} is {path}")),
        (true, false) => Finding::ok(id, format!("{name} {path} will be made when it is needed")),
        (false, _) => Finding::error(
            id,
            format!("{name} {path} cannot be written to"),
            "Nothing can be saved or started by this user.",
            "Become root, or choose another one: --root and --run-dir, ONECOPY_ROOT and ONECOPY_RUN.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn directory(path: &str) -> Directory {
        Directory {
            path: PathBuf::from(path),
            exists: true,
            is_writable: true,
            guard: Ok(()),
            filesystem: Some(Filesystem::of_magic(0xef53)),
            free_bytes: Some(100 << 30),
            has_nameless_files: Some(true),
            has_holes: Some(true),
        }
    }

    fn fit() -> Facts {
        Facts {
            qemu: Ok("qemu-system-x86_64 10.0.2".to_owned()),
            kvm: Kvm::Works,
            sandbox: Sandbox::Works,
            user: QemuUser::Other("onecopy".to_owned()),
            transparent_hugepage: Some("madvise".to_owned()),
            hugetlb_bytes: 0,
            ksm_run: Some(0),
            overcommit_memory: Some(0),
            has_pressure: true,
            fincore: Ok(()),
            mkfs: Ok(()),
            max_open_files: Some(1 << 20),
            store: directory("/var/lib/onecopy"),
            run: directory("/run/onecopy"),
        }
    }

    /// Returns what is not as it should be.
    fn complaints(facts: &Facts) -> Vec<(&'static str, Severity)> {
        judge(facts)
            .into_iter()
            .filter(|finding| finding.severity > Severity::Ok)
            .map(|finding| (finding.id, finding.severity))
            .collect()
    }

    #[test]
    fn a_fit_host_has_no_complaints_and_each_thing_has_its_word() {
        assert_eq!(complaints(&fit()), []);
        let findings = judge(&fit());
        let words: BTreeSet<_> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!(words.len(), findings.len());
    }

    #[test]
    fn each_thing_that_is_wrong_is_found_alone() {
        use Severity::{Error, Warning};
        type Spoil = fn(&mut Facts);
        let cases: [(Spoil, &str, Severity); 24] = [
            (|facts| facts.qemu = Err("no".to_owned()), "qemu", Error),
            (|facts| facts.kvm = Kvm::Missing, "kvm", Warning),
            (|facts| facts.user = QemuUser::Root, "qemu-user", Warning),
            (
                |facts| facts.user = QemuUser::Outside("a".to_owned()),
                "qemu-user",
                Error,
            ),
            (
                |facts| facts.store.guard = Err("no".to_owned()),
                "store-permissions",
                Error,
            ),
            (
                |facts| facts.run.guard = Err("no".to_owned()),
                "run-permissions",
                Error,
            ),
            (|facts| facts.sandbox = Sandbox::Off, "sandbox", Warning),
            (
                |facts| facts.sandbox = Sandbox::Fails("no".to_owned()),
                "sandbox",
                Error,
            ),
            (|facts| facts.kvm = Kvm::Denied, "kvm", Warning),
            (
                |facts| facts.kvm = Kvm::Fails("slow".to_owned()),
                "kvm",
                Warning,
            ),
            (
                |facts| facts.transparent_hugepage = Some("always".to_owned()),
                "transparent-hugepage",
                Warning,
            ),
            (|facts| facts.hugetlb_bytes = 2 << 20, "hugetlb", Warning),
            (|facts| facts.ksm_run = Some(1), "ksm", Warning),
            (
                |facts| facts.overcommit_memory = Some(2),
                "overcommit",
                Warning,
            ),
            (|facts| facts.has_pressure = false, "pressure", Warning),
            (
                |facts| facts.fincore = Err("no".to_owned()),
                "fincore",
                Warning,
            ),
            (
                |facts| facts.mkfs = Err("no".to_owned()),
                "mkfs-erofs",
                Warning,
            ),
            (
                |facts| facts.max_open_files = Some(256),
                "open-files",
                Warning,
            ),
            (|facts| facts.store.is_writable = false, "store", Error),
            (
                |facts| facts.store.filesystem = Some(Filesystem::of_magic(0x6969)),
                "store-filesystem",
                Warning,
            ),
            (
                |facts| facts.store.has_nameless_files = Some(false),
                "store-nameless",
                Warning,
            ),
            (
                |facts| facts.store.has_holes = Some(false),
                "store-holes",
                Warning,
            ),
            (
                |facts| facts.store.free_bytes = Some(5),
                "store-space",
                Warning,
            ),
            (|facts| facts.run.is_writable = false, "run", Error),
        ];
        for (spoil, id, severity) in cases {
            let mut facts = fit();
            spoil(&mut facts);
            assert_eq!(complaints(&facts), [(id, severity)]);
            let findings = judge(&facts);
            let finding = findings.iter().find(|finding| finding.id == id).unwrap();
            assert!(
                !finding.meaning.is_empty() && !finding.remedy.is_empty(),
                "{id}"
            );
        }
    }

    #[test]
    fn the_path_of_a_socket_is_counted_to_the_byte() {
        let severity = |length: usize| {
            let mut facts = fit();
            facts.run.path = PathBuf::from(format!("/{}", "x".repeat(length - 1)));
            let found = complaints(&facts);
            found.first().map(|found| found.1)
        };
        // The longest path: RUN/guests/GUEST/console with a guest of 64 bytes, or of one.
        let rest = "/guests//console".len();
        assert_eq!(severity(107 - rest - 64), None);
        assert_eq!(severity(107 - rest - 63), Some(Severity::Warning));
        assert_eq!(severity(107 - rest - 1), Some(Severity::Warning));
        assert_eq!(severity(107 - rest), Some(Severity::Error));
    }
}
