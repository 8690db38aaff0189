// SPDX-License-Identifier: GPL-2.0

//! Whether this host is like the one that saved a system.

use std::path::Path;

use onecopy_machine::accel;
use onecopy_machine::accel::Verdict;
use onecopy_machine::options::Accel;
use onecopy_machine::Config;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use onecopy_machine::Version;

use crate::error::Error;
use crate::hardware;
use crate::manifest::Manifest;
use crate::Result;

/// Takes QEMU for the version that it was, because to ask costs as much time as to load the state;
/// the one that runs is asked then.
pub(crate) fn assume_qemu(path: Option<&Path>, manifest: &Manifest) -> Qemu {
    let unknown = Version {
        major: 0,
        minor: 0,
        micro: 0,
    };
    let version = manifest.machine.qemu.parse().unwrap_or(unknown);
    Qemu::assumed(path, version)
}

/// Makes sure that the machine that waits for the state is of the same QEMU, and has the same processor.
pub(crate) fn check_machine(machine: &mut Machine, manifest: &Manifest) -> Result<()> {
    check_version(machine.version()?, manifest)?;
    check_features(&machine.cpu_features()?, manifest)
}

/// A model offers less than its name says where the accelerator or the host do not have it, so the
/// name alone is not enough: programs that have looked once would execute what is not there.
fn check_features(found: &[String], manifest: &Manifest) -> Result<()> {
    let saved = &manifest.machine.cpu_features;
    if saved.is_empty() || saved == found {
        return Ok(());
    }
    let only_in = |these: &[String], others: &[String]| {
        let these = these.iter().filter(|word| !others.contains(word));
        let these: Vec<&str> = these.map(String::as_str).collect();
        if these.is_empty() {
            return "none of these".to_owned();
        }
        these.join(" ")
    };
    let (saved, found) = (only_in(saved, found), only_in(found, saved));
    Err(mismatch(manifest, "processor features", &saved, found))
}

fn check_version(found: Version, manifest: &Manifest) -> Result<()> {
    if found.to_string() == manifest.machine.qemu {
        return Ok(());
    }
    Err(mismatch(
        manifest,
        "QEMU",
        &manifest.machine.qemu,
        found.to_string(),
    ))
}

/// Returns the accelerator of the template, if it is what is wanted, works here, and has the same
/// processor where that matters.
pub(crate) fn choose_accel(
    wanted: Option<Accel>,
    manifest: &Manifest,
    qemu: &Qemu,
) -> Result<Accel> {
    let saved = &manifest.machine.accel;
    let refuse = |found: String| Err(mismatch(manifest, "accelerator", saved, found));
    let known = [Accel::Kvm, Accel::Tcg];
    let accel = known.into_iter().find(|accel| accel.to_string() == *saved);
    let Some(accel) = accel else {
        return refuse("none of that name".to_owned());
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != accel) {
        return refuse(wanted.to_string());
    }
    if wanted.is_none() && accel == Accel::Kvm {
        if let Verdict::Fails(reason) = accel::kvm_verdict(qemu) {
            return refuse(format!("tcg only ({reason})"));
        }
    }
    check_processor(accel, manifest)?;
    Ok(accel)
}

fn check_processor(accel: Accel, manifest: &Manifest) -> Result<()> {
    let saved = &manifest.machine.host_cpu;
    let found = hardware::host_cpu(accel, &manifest.machine.cpu);
    if found == *saved {
        return Ok(());
    }
    let shown = |cpu: &Option<String>| cpu.clone().unwrap_or_default();
    Err(mismatch(
        manifest,
        "processor",
        &shown(saved),
        shown(&found),
    ))
}

/// A QEMU that does not start is perhaps of another version, and does not know the board.
pub(crate) fn start_error(
    error: onecopy_machine::Error,
    config: &Config,
    manifest: &Manifest,
) -> Error {
    let found = Qemu::at(config.qemu.path()).map(|qemu| qemu.version());
    let other = found.ok().map(|found| check_version(found, manifest));
    match other {
        Some(Err(mismatch)) => mismatch,
        _ => error.into(),
    }
}

fn mismatch(manifest: &Manifest, what: &'static str, saved: &str, found: String) -> Error {
    Error::Mismatch {
        name: manifest.name,
        what,
        saved: saved.to_owned(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    fn shown<T: std::fmt::Debug>(result: Result<T>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn another_version_of_qemu_is_refused() {
        let manifest = manifest();
        let check = |version: &str| shown(check_version(version.parse().unwrap(), &manifest));
        assert_eq!(check("10.0.2"), "()");
        assert_eq!(
            check("10.0.3"),
            "LX73 was saved with QEMU 10.0.2, and here is 10.0.3; save it again, or use the same"
        );
    }

    #[test]
    fn a_processor_that_offers_something_else_is_refused() {
        let mut manifest = manifest();
        let [edx, ebx] = ["1.EDX=078bfbff", "7.0.EBX=00000281"];
        let check = |manifest: &Manifest, found: &[&str]| {
            let found: Vec<String> = found.iter().map(|word| (*word).to_owned()).collect();
            shown(check_features(&found, manifest))
        };
        assert_eq!(check(&manifest, &[edx, ebx]), "()");
        for (found, expected) in [
            (
                &[edx, "7.0.EBX=00000280"][..],
                "7.0.EBX=00000281, and here is 7.0.EBX=00000280",
            ),
            (&[ebx], "1.EDX=078bfbff, and here is none of these"),
        ] {
            assert_eq!(
                check(&manifest, found),
                format!(
                    "LX73 was saved with processor features {expected}; save it again, or use the \
                     same"
                )
            );
        }
        // Nobody has asked when it was saved.
        manifest.machine.cpu_features.clear();
        assert_eq!(check(&manifest, &[]), "()");
    }

    #[test]
    fn another_accelerator_or_processor_is_refused() {
        let mut manifest = manifest();
        let qemu = assume_qemu(None, &manifest);
        assert_eq!(shown(choose_accel(None, &manifest, &qemu)), "Tcg");
        let wanted = Some(Accel::Kvm);
        assert_eq!(
            shown(choose_accel(wanted, &manifest, &qemu)),
            "LX73 was saved with accelerator tcg, and here is kvm; save it again, or use the same"
        );
        manifest.machine.accel = "kvm".to_owned();
        manifest.machine.cpu = "host".to_owned();
        manifest.machine.host_cpu = Some("Z80".to_owned());
        let refused = shown(choose_accel(wanted, &manifest, &qemu));
        let start = "LX73 was saved with processor Z80, and here is ";
        assert!(refused.starts_with(start), "{refused}");
    }
}
