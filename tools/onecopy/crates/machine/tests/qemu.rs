// SPDX-License-Identifier: GPL-2.0

//! The crate against the real emulator.
//!
//! Without a usable QEMU the tests say so and pass; with `ONECOPY_REQUIRE_TOOLS` set they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use onecopy_machine::accel;
use onecopy_machine::accel::Verdict;
use onecopy_machine::accounting::BlockPages;
use onecopy_machine::accounting::Usage;
use onecopy_machine::options::Accel;
use onecopy_machine::options::Access;
use onecopy_machine::options::IsaDebugExit;
use onecopy_machine::qmp::commands;
use onecopy_machine::Config;
use onecopy_machine::Disk;
use onecopy_machine::Error;
use onecopy_machine::Machine;
use onecopy_machine::Qemu;
use onecopy_machine::Report;
use onecopy_machine::SegmentDevice;
use onecopy_machine::ShutdownReason;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the emulator, or `None` after saying why the test does not run.
fn qemu() -> Option<Qemu> {
    match Qemu::find() {
        Ok(qemu) => Some(qemu),
        Err(error) if std::env::var_os("ONECOPY_REQUIRE_TOOLS").is_none() => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Makes a segment space file: its content does not matter to QEMU.
fn segment_file(path: &Path, size_bytes: u64) -> SegmentDevice {
    let file = fs::File::create(path).unwrap();
    file.set_len(size_bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    SegmentDevice {
        path: path.to_owned(),
        size_bytes,
        access: Access::ReadOnly,
    }
}

/// Makes a disk whose boot sector says "ready", echoes one character and then stores it to the
/// exit port.
fn echo_disk(path: &Path) -> Disk {
    #[rustfmt::skip]
    let code = [
        0x31, 0xc0, 0x8e, 0xd8,         // 00 xor ax, ax; mov ds, ax
        0xbe, 0x30, 0x7c,               // 04 mov si, 0x7c30
        0xac,                           // 07 next: lodsb
        0x84, 0xc0,                     // 08 test al, al
        0x74, 0x06,                     // 0a jz read
        0xba, 0xf8, 0x03, 0xee,         // 0c mov dx, 0x3f8; out dx, al
        0xeb, 0xf5,                     // 10 jmp next
        0xba, 0xfd, 0x03, 0xec,         // 12 read: mov dx, 0x3fd; in al, dx
        0xa8, 0x01,                     // 16 test al, 1
        0x74, 0xf8,                     // 18 jz read
        0xba, 0xf8, 0x03, 0xec, 0xee,   // 1a mov dx, 0x3f8; in al, dx; out dx, al
        0xba, 0xf4, 0x00, 0xee,         // 1f mov dx, 0xf4; out dx, al
        0xf4, 0xeb, 0xfd,               // 23 hlt; jmp to the hlt
    ];
    boot_disk(path, &code)
}

/// Makes a disk whose boot sector ends in a triple fault: there is no room for handlers.
fn faulting_disk(path: &Path) -> Disk {
    #[rustfmt::skip]
    let code = [
        0x31, 0xc0, 0x8e, 0xd8,         // 00 xor ax, ax; mov ds, ax
        0x0f, 0x01, 0x1e, 0x40, 0x7c,   // 04 lidt [0x7c40]
        0xcc,                           // 09 int3
    ];
    boot_disk(path, &code)
}

/// Makes a disk with code in its boot sector, which finds "ready" at 0x7c30 and zeroes at 0x7c40.
fn boot_disk(path: &Path, code: &[u8]) -> Disk {
    // The firmware does not boot from a disk of less than a cylinder.
    let mut sector = vec![0; 1 << 20];
    sector[..code.len()].copy_from_slice(code);
    sector[0x30..0x37].copy_from_slice(b"ready\r\n");
    sector[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, sector).unwrap();
    Disk {
        path: path.to_owned(),
        read_only: true,
    }
}

#[test]
fn an_interrupt_ends_waiting_and_nothing_else() {
    let Some(qemu) = qemu() else { return };
    let config = Config {
        paused: true,
        ..Config::new(qemu, Accel::Tcg)
    };
    let mut machine = Machine::start(&config).unwrap();
    let interrupt = config.interrupt.clone();
    let signal = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        interrupt.raise(2);
    });
    let error = machine.wait_for("what it never says", TIMEOUT).unwrap_err();
    signal.join().unwrap();
    assert_eq!(error.to_string(), "Interrupted by signal 2");
    machine.execute(&commands::QueryStatus {}).unwrap();
    machine.quit().unwrap();
    let error = Machine::start(&config).unwrap_err();
    assert!(matches!(error, Error::Interrupted(_)), "{error}");
}

#[test]
fn a_segment_space_becomes_a_pmem_device() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("comma,and blank.seg");
    let second = directory.path().join("2.seg");
    let segments = vec![segment_file(&path, 4 << 20), segment_file(&second, 6 << 20)];
    let config = Config {
        paused: true,
        segments,
        cpus: 2,
        ..Config::new(qemu.clone(), Accel::Tcg)
    };
    let mut machine = Machine::start(&config).unwrap();

    let status = machine.execute(&commands::QueryStatus {}).unwrap();
    assert_eq!(
        (status.running, status.status.as_str()),
        (false, "prelaunch")
    );
    let version = machine.execute(&commands::QueryVersion {}).unwrap().qemu;
    let expected = qemu.version();
    assert_eq!(
        (version.major, version.minor),
        (expected.major, expected.minor)
    );

    let devices = machine.execute(&commands::QueryMemoryDevices {}).unwrap();
    assert_eq!(devices.len(), 2);
    for (device, size_bytes) in devices.iter().zip([4 << 20, 6 << 20]) {
        assert_eq!(device.kind, "virtio-pmem");
        assert_eq!(device.data.size_bytes, size_bytes);
        assert_eq!(device.data.address % (2 << 20), 0, "{device:?}");
    }
    assert_eq!(devices[0].data.id.as_deref(), Some("pmem0"));

    let usage = machine.usage().unwrap();
    let segment = usage.of_file(&path).unwrap();
    assert_eq!(segment.sizes.virtual_bytes, 4 << 20);
    assert_eq!(segment.sizes.anonymous_bytes, 0);
    let ram = usage
        .blocks
        .iter()
        .find(|block| block.name == "pc.ram")
        .unwrap();
    assert_eq!(ram.sizes.virtual_bytes, 512 << 20);
    assert!(usage.overhead.anonymous_bytes > 0);
    // Both ways of counting agree, since a guest that has not begun to run changes nothing in between; but in
    // smaps a small range may be one mapping with QEMU's own memory beside it.
    let answer = machine.execute(&Usage::query()).unwrap();
    let mut pages = BlockPages::of_process(machine.pid(), &answer).unwrap();
    let mut listed = usage.pages();
    assert_eq!(pages.len(), listed.len());
    for blocks in [&mut pages, &mut listed] {
        blocks.retain(|block| !block.name.starts_with("/rom@"));
    }
    assert_eq!(pages, listed);
    assert!(pages.iter().any(|block| block.pages.anonymous_bytes > 0));

    let outcome = machine.quit().unwrap();
    assert_eq!(outcome.reason, Some(ShutdownReason::HostQmpQuit));
}

#[test]
fn a_stopped_guest_can_be_continued() {
    let Some(qemu) = qemu() else { return };
    let mut machine = Machine::start(&Config::new(qemu, Accel::Tcg)).unwrap();
    for (running, status) in [(false, "paused"), (true, "running")] {
        if running {
            machine.execute(&commands::Cont {}).unwrap();
        } else {
            machine.execute(&commands::Stop {}).unwrap();
        }
        let answer = machine.execute(&commands::QueryStatus {}).unwrap();
        assert_eq!((answer.running, answer.status.as_str()), (running, status));
    }
    machine.qmp().wait_event("STOP", TIMEOUT).unwrap();
    machine.qmp().wait_event("RESUME", TIMEOUT).unwrap();
}

#[test]
fn a_segment_space_can_be_plugged_later() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let segment = segment_file(&directory.path().join("a.seg"), 2 << 20);
    let mut config = Config::new(qemu, Accel::Tcg);
    config.paused = true;
    config.hotplug_bytes = 1 << 30;
    config.hotplug_slots = 1;
    config.extra_args = vec!["-device".into(), "pcie-root-port,id=port0,chassis=1".into()];
    let mut machine = Machine::start(&config).unwrap();

    let properties = serde_json::json!({
        "mem-path": segment.path, "size": segment.size_bytes, "share": true, "readonly": true,
        "rom": "on",
    });
    let object = commands::ObjectAdd {
        qom_type: "memory-backend-file".to_owned(),
        id: "late".to_owned(),
        properties: properties.as_object().unwrap().clone(),
    };
    machine.execute(&object).unwrap();
    let device = commands::DeviceAdd {
        driver: "virtio-pmem-pci".to_owned(),
        id: "pmem9".to_owned(),
        bus: Some("port0".to_owned()),
        properties: serde_json::json!({"memdev": "late"})
            .as_object()
            .unwrap()
            .clone(),
    };
    machine.execute(&device).unwrap();
    let devices = machine.execute(&commands::QueryMemoryDevices {}).unwrap();
    assert_eq!(devices[0].data.id.as_deref(), Some("pmem9"));
}

#[test]
fn the_console_carries_both_directions_and_the_exit_value_comes_back() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(qemu, Accel::Tcg);
    config.disks = vec![echo_disk(&directory.path().join("disk,0.img"))];
    config.console_log = Some(directory.path().join("console.log"));
    config.add(&IsaDebugExit::default());
    let mut machine = Machine::start(&config).unwrap();
    assert_eq!(machine.wait_for_line("ready", TIMEOUT).unwrap(), "ready");

    machine.console().send(b"7").unwrap();
    let outcome = machine.wait(TIMEOUT).unwrap();
    assert_eq!(outcome.debug_exit_value(), Some(u32::from(b'7')));
    assert!(machine.console().text().ends_with("ready\n7"));
    let log = fs::read_to_string(directory.path().join("console.log")).unwrap();
    assert!(log.ends_with("ready\r\n7"), "{log:?}");
}

#[test]
fn what_a_guest_prints_does_not_fill_the_disk() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(qemu, Accel::Tcg);
    config.disks = vec![echo_disk(&directory.path().join("disk.img"))];
    config.console_log = Some(directory.path().join("console.log"));
    config.console_log_limit_bytes = Some(4);
    config.add(&IsaDebugExit::default());
    let mut machine = Machine::start(&config).unwrap();
    machine.wait_for_line("ready", TIMEOUT).unwrap();
    machine.console().send(b"7").unwrap();
    machine.wait(TIMEOUT).unwrap();
    assert!(machine.console().text().ends_with("ready\n7"));
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    // The end of the line before it may have come together with it.
    let log = read("console.log");
    assert!(log.ends_with(b"7") && log.len() <= 4, "{log:?}");
    assert!(!read("console.log.old").is_empty());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn an_error_carries_the_last_words_of_the_console() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(qemu, Accel::Tcg);
    config.disks = vec![echo_disk(&directory.path().join("disk.img"))];
    let mut machine = Machine::start(&config).unwrap();
    machine.wait_for_line("ready", TIMEOUT).unwrap();
    let error = machine
        .wait_for("never", Duration::from_millis(50))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("The console did not say \"never\" within 50 ms"),
        "{error}"
    );
    assert!(
        error.contains("console ended with:\n") && error.ends_with("    ready"),
        "{error}"
    );
    let error = machine.wait(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[test]
fn an_error_knows_that_the_guest_was_reset() {
    let Some(qemu) = qemu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::new(qemu, Accel::Tcg);
    config.disks = vec![faulting_disk(&directory.path().join("disk.img"))];
    let reset = |report: &Report| {
        let outcome = report.outcome.as_ref();
        outcome.is_some_and(|outcome| outcome.reason == Some(ShutdownReason::GuestReset))
    };

    let mut machine = Machine::start(&config).unwrap();
    let error = machine.wait_for("never", TIMEOUT).unwrap_err();
    assert!(
        matches!(&error, Error::Console { report, .. } if reset(report)),
        "{error:?}"
    );

    let mut machine = Machine::start(&config).unwrap();
    let start = Instant::now();
    let error = loop {
        if let Err(error) = machine.execute(&commands::QueryStatus {}) {
            break error;
        }
        assert!(start.elapsed() < TIMEOUT);
    };
    assert!(
        matches!(&error, Error::Qmp { report, .. } if reset(report)),
        "{error:?}"
    );
}

#[test]
fn a_refused_argument_is_reported_in_qemus_words() {
    let Some(qemu) = qemu() else { return };
    let mut config = Config::new(qemu, Accel::Tcg);
    let path = PathBuf::from("/nonexistent/file.seg");
    config.segments = vec![SegmentDevice {
        path,
        size_bytes: 2 << 20,
        access: Access::ReadOnly,
    }];
    let error = Machine::start(&config).unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("QEMU said:") && text.contains("/nonexistent/file.seg"),
        "{text}"
    );
}

#[test]
fn dropping_the_machine_ends_qemu_and_removes_its_directory() {
    let Some(qemu) = qemu() else { return };
    let machine = Machine::start(&Config::new(qemu, Accel::Tcg)).unwrap();
    let process = PathBuf::from(format!("/proc/{}", machine.pid()));
    let directory = machine.console_log().parent().unwrap().to_owned();
    assert!(process.exists() && directory.exists());
    drop(machine);
    assert!(!process.exists() && !directory.exists());
}

#[test]
fn the_trial_guest_reaches_its_end_under_tcg() {
    let Some(qemu) = qemu() else { return };
    assert_eq!(accel::try_boot(&qemu, Accel::Tcg), Verdict::Works);
}

#[test]
fn the_verdict_on_kvm_comes_within_its_deadline() {
    let Some(qemu) = qemu() else { return };
    let start = Instant::now();
    let verdict = accel::try_boot(&qemu, Accel::Kvm);
    assert!(start.elapsed() < Duration::from_secs(20), "{verdict}");
    assert_eq!(verdict == Verdict::Works, verdict.reason().is_empty());
    println!("KVM {verdict}");
}
