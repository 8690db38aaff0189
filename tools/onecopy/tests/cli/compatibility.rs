// SPDX-License-Identifier: GPL-2.0

//! `onecopy ipl` where the machine would not be that of the template.

use crate::saved::Host;

#[test]
fn another_machine_is_refused_with_what_differs() {
    let Some(host) = Host::new() else { return };
    let refused = |args: &[&str], what: &str| {
        let ran = host.dir.run(&[&["ipl", "LX"], args].concat());
        assert_eq!(ran.code, Some(4));
        let stderr = &ran.stderr;
        let start = format!("onecopy: LX was saved with {what}");
        assert!(stderr.starts_with(&start), "{stderr}");
        let end = "; save it again, or use the same\n";
        assert!(stderr.ends_with(end), "{stderr}");
        assert_eq!(host.ready_guests(), [""; 0]);
    };
    refused(&["--accel", "kvm"], "accelerator tcg, and here is kvm");
    let version = onecopy_machine::Qemu::find().unwrap().version();
    host.forge_manifest(1, &format!("qemu = \"{version}\""), "qemu = \"9.2.0\"");
    refused(&[], &format!("QEMU 9.2.0, and here is {version}"));
    host.forge_manifest(1, "qemu = \"9.2.0\"", &format!("qemu = \"{version}\""));
    host.forge_manifest(1, "pc-q35-", "pc-q35-9");
    let ran = host.dir.run(&["ipl", "LX", "--as", "web"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("pc-q35-9"), "{}", ran.stderr);
    host.wait_for_silence();
}

#[test]
fn another_processor_is_refused_with_what_differs() {
    let Some(host) = Host::empty() else { return };
    let mut arguments = host.save_arguments();
    arguments.extend(["--cpu", "qemu64"]);
    host.dir.ok(&arguments);
    host.dir.ok(&["ipl", "LX"]);
    host.dir.ok(&["logoff", "lx1", "--now"]);
    host.forge_manifest(1, "cpu = \"qemu64\"", "cpu = \"qemu64,-sse3,+avx\"");
    let ran = host.dir.run(&["ipl", "LX"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""));
    let (saved, found) = ran.stderr.split_once(", and here is ").unwrap();
    let start = "onecopy: LX was saved with processor features 1.ECX=";
    let saved = saved.strip_prefix(start).unwrap();
    let found = found.strip_prefix("1.ECX=").unwrap();
    let end = "; save it again, or use the same\n";
    let found = found.strip_suffix(end).unwrap();
    let [saved, found] = [saved, found].map(|word| u32::from_str_radix(word, 16).unwrap());
    assert_eq!(saved ^ found, 1 | 1 << 28, "SSE3 and AVX");
    // One that QEMU does not know.
    host.forge_manifest(1, "cpu = \"qemu64,-sse3,+avx\"", "cpu = \"Z80\"");
    let ran = host.dir.run(&["ipl", "LX"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("Z80"), "{}", ran.stderr);
    host.wait_for_silence();
    assert!(!host.dir.path("run/guests/lx1").exists());
}
