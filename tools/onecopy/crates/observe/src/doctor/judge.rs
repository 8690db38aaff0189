// SPDX-License-Identifier: GPL-2.0

//! What facts mean.

mod directories;
mod host;
mod programs;

use schemars::JsonSchema;
use serde::Serialize;

use super::Facts;

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
        programs::qemu(facts),
        host::kvm(&facts.kvm),
        programs::sandbox(&facts.sandbox),
        programs::user(&facts.user),
        host::transparent_hugepage(facts),
        host::hugetlb(facts),
        host::ksm(facts),
        host::overcommit(facts),
        host::pressure(facts),
        programs::fincore(facts),
        programs::mkfs(facts),
        host::open_files(facts),
    ];
    findings.extend(directories::store(&facts.store));
    findings.extend(directories::run(&facts.run));
    findings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::doctor::Directory;
    use crate::doctor::Distrust;
    use crate::doctor::Filesystem;
    use crate::doctor::Kvm;
    use crate::doctor::QemuUser;
    use crate::doctor::Sandbox;

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
                |facts| facts.store.guard = Err(Distrust::Others("no".to_owned())),
                "store-permissions",
                Error,
            ),
            (
                |facts| facts.run.guard = Err(Distrust::Others("no".to_owned())),
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
    fn who_may_not_look_is_not_told_of_wrong_owners() {
        let mut facts = fit();
        let finding = |facts: &Facts| {
            let mut findings = judge(facts).into_iter();
            findings
                .find(|finding| finding.id == "run-permissions")
                .unwrap()
        };
        facts.run.guard = Err(Distrust::Others("a".to_owned()));
        assert!(finding(&facts).remedy.contains("chown"));
        facts.run.guard = Err(Distrust::Closed("b".to_owned()));
        let found = finding(&facts);
        assert_eq!(
            (found.severity, found.what.as_str()),
            (Severity::Error, "b")
        );
        assert!(!found.remedy.contains("chown"), "{found:?}");
        assert!(found.meaning.contains("This user"), "{found:?}");
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
