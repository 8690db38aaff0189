// SPDX-License-Identifier: GPL-2.0

//! A guest of one sector, to see whether an accelerator really executes code.

use std::fmt;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use cap_std_ext::cmdext::CapStdExtCommandExt;

use crate::config::add_kvm;
use crate::machine::open_kvm;
use crate::options::Accel;
use crate::options::BlockFormat;
use crate::options::Blockdev;
use crate::options::Cpu;
use crate::options::Device;
use crate::options::IsaDebugExit;
use crate::options::MachineType;
use crate::options::Params;
use crate::options::Switch;
use crate::process::Process;
use crate::qemu::Qemu;

/// How long the trial may take. With virtualisation by the processor it needs less than a second.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The number that the open KVM has in QEMU.
const KVM_FD: i32 = 900;

/// What the guest stores to the exit port.
const EXIT_VALUE: u8 = 0x10;

/// Size of the disk: the firmware does not boot from one of less than a cylinder.
const DISK_BYTES: u64 = 1 << 20;

/// QEMU's exit status after that store.
const EXIT_STATUS: i32 = 2 * 0x10 + 1;

/// What a trial boot has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The guest reached its end.
    Works,
    /// It did not; the text says why.
    Fails(
        /// The reason.
        String,
    ),
}

impl Verdict {
    /// Returns why it fails; empty if it works.
    pub fn reason(&self) -> &str {
        match self {
            Self::Works => "",
            Self::Fails(reason) => reason,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::Fails(reason) => write!(f, "does not work: {reason}"),
        }
    }
}

/// Boots one sector through the firmware and expects it to reach the exit port in time.
///
/// A KVM that only emulates runs the firmware, which is small and mostly real mode, but is of no
/// use for a kernel. So the sector goes to 64-bit mode with paging and executes 400 million
/// instructions there: a tenth of a second for a processor, less than a second for TCG, and far
/// beyond the deadline for an interpreter.
pub(super) fn boot(qemu: &Qemu, accel: Accel) -> Verdict {
    match run(qemu, accel) {
        Ok(verdict) => verdict,
        Err(error) => Verdict::Fails(error.to_string()),
    }
}

fn run(qemu: &Qemu, accel: Accel) -> std::io::Result<Verdict> {
    let mut image = tempfile::NamedTempFile::new()?;
    image.write_all(&boot_sector())?;
    image.as_file().set_len(DISK_BYTES)?;

    let mut args = vec![
        "-nodefaults".into(),
        "-no-user-config".into(),
        "-no-reboot".into(),
    ];
    args.extend(["-display".into(), "none".into(), "-m".into(), "32".into()]);
    MachineType {
        name: "q35".to_owned(),
    }
    .add_to(&mut args);
    // As for a guest, KVM is opened by us and the image is for QEMU's user.
    let user = qemu.confinement().user.as_ref();
    let kvm = match user.filter(|_| accel == Accel::Kvm) {
        Some(_) => Some(Arc::new(OwnedFd::from(open_kvm()?))),
        None => None,
    };
    match kvm {
        Some(_) => add_kvm(KVM_FD, &mut args),
        None => accel.add_to(&mut args),
    }
    if let Some(user) = user {
        user.give(image.path())?;
    }
    Cpu::best_for(accel).add_to(&mut args);
    IsaDebugExit::default().add_to(&mut args);
    Blockdev {
        node_name: "sector".to_owned(),
        filename: image.path().to_owned(),
        format: BlockFormat::Raw,
        read_only: true,
    }
    .add_to(&mut args);
    let disk = Params::new("virtio-blk-pci")
        .with("drive", "sector")
        .with_number("bootindex", 1);
    Device(disk).add_to(&mut args);

    let mut command = qemu.command();
    command.args(args);
    if let Some(kvm) = kvm {
        command.take_fd_n(kvm, KVM_FD);
    }
    let mut process = Process::start(command)?;
    let status = process.wait(TRIAL_TIMEOUT)?;
    Ok(judge(status, &process.stderr_tail()))
}

fn judge(status: Option<ExitStatus>, stderr: &str) -> Verdict {
    match status {
        Some(status) if status.code() == Some(EXIT_STATUS) => Verdict::Works,
        Some(status) => {
            let said = stderr.trim().lines().last().unwrap_or("nothing");
            Verdict::Fails(format!(
                "the trial guest ended with {status}; QEMU said: {said}"
            ))
        }
        None => Verdict::Fails(format!(
            "the trial guest did not reach its end within {} s: it hangs or is interpreted",
            TRIAL_TIMEOUT.as_secs()
        )),
    }
}

/// The boot sector, to be loaded at 0x7c00.
#[rustfmt::skip]
const CODE: [u8; 0x86] = [
    // 16-bit mode: flat segments, page tables for the first 2 MiB at 0x1000, 0x2000 and 0x3000.
    0xfa,                                     // 00 cli
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0,       // 01 xor ax, ax; mov ds, ax; mov es, ax
    0xbf, 0x00, 0x10, 0xb9, 0x00, 0x18,       // 07 mov di, 0x1000; mov cx, 0x1800
    0xfc, 0xf3, 0xab,                         // 0d cld; rep stosw
    0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,       // 10 mov word [0x1000], 0x2003
    0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,       // 16 mov word [0x2000], 0x3003
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,       // 1c mov word [0x3000], 0x0083
    // Physical address extension, the page tables, long mode, then protection and paging.
    0x66, 0xb8, 0x20, 0x00, 0x00, 0x00,       // 22 mov eax, 0x20
    0x0f, 0x22, 0xe0,                         // 28 mov cr4, eax
    0x66, 0xb8, 0x00, 0x10, 0x00, 0x00,       // 2b mov eax, 0x1000
    0x0f, 0x22, 0xd8,                         // 31 mov cr3, eax
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,       // 34 mov ecx, 0xc0000080
    0x0f, 0x32, 0x0d, 0x00, 0x01, 0x0f, 0x30, // 3a rdmsr; or ax, 0x100; wrmsr
    0x0f, 0x01, 0x16, 0x80, 0x7c,             // 41 lgdt [0x7c80]
    0x0f, 0x20, 0xc0,                         // 46 mov eax, cr0
    0x66, 0x0d, 0x01, 0x00, 0x00, 0x80,       // 49 or eax, 0x80000001
    0x0f, 0x22, 0xc0,                         // 4f mov cr0, eax
    0xea, 0x57, 0x7c, 0x08, 0x00,             // 52 jmp 8:0x7c57
    // 64-bit mode: 200 million rounds of two instructions, then the exit port.
    0xb9, 0x00, 0xc2, 0xeb, 0x0b,             // 57 mov ecx, 200000000
    0xff, 0xc9, 0x75, 0xfc,                   // 5c round: dec ecx; jnz round
    0x66, 0xba, 0xf4, 0x00,                   // 60 mov dx, 0xf4
    0xb0, EXIT_VALUE, 0xee,                   // 64 mov al, EXIT_VALUE; out dx, al
    0xf4, 0xeb, 0xfd,                         // 67 halt: hlt; jmp halt
    0, 0, 0, 0, 0, 0,                         // 6a
    // 70 descriptors: none, and 64-bit code.
    0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0x9a, 0x20, 0,
    // 80 operand of lgdt: limit and address.
    0x0f, 0x00, 0x70, 0x7c, 0x00, 0x00,
];

/// Returns the sector: the code and the signature that the firmware looks for.
fn boot_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    for (to, from) in sector.iter_mut().zip(CODE) {
        *to = from;
    }
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_the_expected_exit_status_counts() {
        let exited = |code: i32| Some(ExitStatus::from_raw(code << 8));
        assert_eq!(judge(exited(EXIT_STATUS), ""), Verdict::Works);
        assert!(matches!(judge(exited(0), ""), Verdict::Fails(_)));
        assert!(judge(exited(1), "x\nno KVM\n")
            .reason()
            .ends_with("QEMU said: no KVM"));
        assert!(judge(None, "").reason().contains("within 5 s"));
    }

    #[test]
    fn boot_sector_has_its_signature() {
        assert_eq!(boot_sector()[510..], [0x55, 0xaa]);
    }
}
