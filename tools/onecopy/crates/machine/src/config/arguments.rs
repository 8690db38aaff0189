// SPDX-License-Identifier: GPL-2.0

//! The command line that makes QEMU build a guest.

use std::ffi::OsString;
use std::path::Path;

use super::ram;
use super::Config;
use super::Inherited;
use super::Sockets;
use crate::machine::KVM;
use crate::options::Accel;
use crate::options::AddFd;
use crate::options::BlockFormat;
use crate::options::Blockdev;
use crate::options::Chardev;
use crate::options::Cpu;
use crate::options::IncomingDefer;
use crate::options::MachineType;
use crate::options::Memory;
use crate::options::MemoryBackendFile;
use crate::options::Mon;
use crate::options::Name;
use crate::options::PcieRootPort;
use crate::options::Serial;
use crate::options::Smp;
use crate::options::SocketEnd;
use crate::options::Switch;
use crate::options::VirtioBlkPci;
use crate::options::VirtioPmemPci;

/// Sets of open files: that of KVM, and one that only says a name.
const KVM_SET: u32 = 1;
const NAME_SET: u32 = 2;

/// Alignment of memory devices in guest-physical space.
const DEVICE_ALIGN_BYTES: u64 = 2 << 20;

impl Config {
    /// Returns the arguments for QEMU.
    pub(crate) fn arguments(&self, sockets: Sockets<'_>) -> Vec<OsString> {
        let mut args: Vec<OsString> = [
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]
        .map(OsString::from)
        .to_vec();
        self.add_machine(sockets.inherited, &mut args);
        self.add_channels(&mut args, sockets);
        self.add_root_ports(&mut args);
        self.add_segments(&mut args);
        self.add_disks(&mut args);
        for file in &self.fw_cfg {
            file.add_to(&mut args);
        }
        if let Some(kernel) = &self.kernel {
            kernel.add_to(&mut args);
        }
        if self.paused {
            args.push("-S".into());
        }
        if self.incoming {
            IncomingDefer.add_to(&mut args);
        }
        args.extend(self.extra_args.iter().cloned());
        args
    }

    fn add_machine(&self, inherited: Inherited, args: &mut Vec<OsString>) {
        Name {
            guest: self.name.clone(),
        }
        .add_to(args);
        MachineType {
            name: self.machine_type.clone(),
        }
        .add_to(args);
        match inherited.kvm {
            Some(fd) => add_kvm(fd, args),
            None => self.accel.add_to(args),
        }
        self.cpu
            .clone()
            .unwrap_or_else(|| Cpu::best_for(self.accel))
            .add_to(args);
        let max_cpus = self.max_cpus.max(self.cpus);
        Smp {
            cpus: self.cpus,
            max_cpus,
        }
        .add_to(args);
        self.memory().add_to(args);
        ram::add_ranges(&self.ranges, max_cpus, args);
    }

    /// RAM, and room for each segment space at an aligned address.
    fn memory(&self) -> Memory {
        let devices = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let device_bytes = self
            .segments
            .iter()
            .map(|segment| segment.size_bytes.next_multiple_of(DEVICE_ALIGN_BYTES))
            .fold(self.hotplug_bytes, u64::saturating_add);
        Memory {
            size_bytes: self.memory_bytes,
            slots: devices.saturating_add(self.hotplug_slots),
            maxmem_bytes: self
                .memory_bytes
                .next_multiple_of(DEVICE_ALIGN_BYTES)
                .saturating_add(device_bytes),
        }
    }

    fn add_channels(&self, args: &mut Vec<OsString>, sockets: Sockets<'_>) {
        add_socket("console", sockets.console, SocketEnd::Client, args);
        add_socket("qmp", sockets.qmp, SocketEnd::Client, args);
        Serial {
            chardev: "console".to_owned(),
        }
        .add_to(args);
        add_monitor("qmp", args);
        if let Some(path) = &self.control_socket {
            match sockets.inherited.control {
                Some(fds) => add_control(fds, path, args),
                None => add_socket("control", path, SocketEnd::Server, args),
            }
            add_monitor("control", args);
        }
    }

    fn add_root_ports(&self, args: &mut Vec<OsString>) {
        for index in 0..self.root_ports {
            PcieRootPort {
                id: format!("port{index}"),
                chassis: index + 1,
            }
            .add_to(args);
        }
    }

    fn add_segments(&self, args: &mut Vec<OsString>) {
        for (index, segment) in self.segments.iter().enumerate() {
            let memdev = format!("seg{index}");
            let (path, size_bytes) = (&segment.path, segment.size_bytes);
            MemoryBackendFile::segment(&memdev, path, size_bytes, segment.access).add_to(args);
            VirtioPmemPci {
                id: format!("pmem{index}"),
                memdev,
            }
            .add_to(args);
        }
    }

    fn add_disks(&self, args: &mut Vec<OsString>) {
        for (index, disk) in self.disks.iter().enumerate() {
            let drive = format!("drive{index}");
            Blockdev {
                node_name: drive.clone(),
                filename: disk.path.clone(),
                format: BlockFormat::from_path(&disk.path),
                read_only: disk.read_only,
            }
            .add_to(args);
            VirtioBlkPci {
                id: format!("disk{index}"),
                drive,
            }
            .add_to(args);
        }
    }
}

fn add_socket(id: &str, path: &Path, end: SocketEnd, args: &mut Vec<OsString>) {
    Chardev {
        id: id.to_owned(),
        path: path.to_owned(),
        end,
    }
    .add_to(args);
}

/// Adds the KVM that is open already.
pub(crate) fn add_kvm(fd: i32, args: &mut Vec<OsString>) {
    AddFd {
        fd,
        set: KVM_SET,
        name: KVM.into(),
    }
    .add_to(args);
    args.push("-accel".into());
    args.push(format!("{},device=/dev/fdset/{KVM_SET}", Accel::Kvm).into());
}

/// Adds a socket on which we listen already, and its path for those who look for whose QEMU it is.
fn add_control([socket, carrier]: [i32; 2], path: &Path, args: &mut Vec<OsString>) {
    AddFd {
        fd: carrier,
        set: NAME_SET,
        name: path.to_owned(),
    }
    .add_to(args);
    args.push("-chardev".into());
    args.push(format!("socket,id=control,fd={socket},server=on,wait=off").into());
}

fn add_monitor(chardev: &str, args: &mut Vec<OsString>) {
    Mon {
        chardev: chardev.to_owned(),
    }
    .add_to(args);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Disk;
    use crate::config::SegmentDevice;
    use crate::options::Access;
    use crate::options::FwCfg;
    use crate::options::IsaDebugExit;
    use crate::options::Kernel;
    use crate::qemu::Qemu;

    fn arguments(config: &Config) -> String {
        let sockets = Sockets {
            console: Path::new("/r/c"),
            qmp: Path::new("/r/q"),
            inherited: Inherited::default(),
        };
        let words = config.arguments(sockets);
        words
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_guest_without_anything_has_a_console_and_a_monitor() {
        let config = Config::new(Qemu::for_tests(), Accel::Kvm);
        assert_eq!(
            arguments(&config),
            "-nodefaults -no-user-config -no-reboot -display none -name guest=onecopy \
             -machine q35,mem-merge=off -accel kvm -cpu host -smp 1 -m size=536870912B \
             -chardev socket,id=console,path=/r/c,server=off \
             -chardev socket,id=qmp,path=/r/q,server=off \
             -serial chardev:console -mon chardev=qmp,mode=control"
        );
    }

    #[test]
    fn everything_asked_for_is_on_the_command_line() {
        let mut config = Config {
            memory_bytes: (64 << 20) + 4096,
            segments: vec![SegmentDevice {
                path: "/s/1.seg".into(),
                size_bytes: 4 << 20,
                access: Access::Private,
            }],
            disks: vec![Disk {
                path: "/d,0.qcow2".into(),
                read_only: true,
            }],
            hotplug_bytes: 1 << 30,
            hotplug_slots: 2,
            max_cpus: 4,
            root_ports: 2,
            fw_cfg: vec![FwCfg {
                name: "opt/a".to_owned(),
                file: "/f".into(),
            }],
            incoming: true,
            control_socket: Some("/r/control".into()),
            paused: true,
            kernel: Some(Kernel {
                kernel: "/k".into(),
                initrd: Some("/i".into()),
                append: "a=1,2 b".to_owned(),
            }),
            ..Config::new(Qemu::for_tests(), Accel::Tcg)
        };
        config.add(&IsaDebugExit::default());
        let arguments = arguments(&config);
        let maximum = (66 << 20) + (1 << 30) + (4 << 20);
        for expected in [
            format!("-m size=67112960B,slots=3,maxmem={maximum}B "),
            "-object memory-backend-file,id=seg0,mem-path=/s/1.seg,size=4194304,share=off,\
             readonly=on,rom=off,align=2097152 "
                .to_owned(),
            "-device virtio-pmem-pci,memdev=seg0,id=pmem0 ".to_owned(),
            "-blockdev driver=qcow2,node-name=drive0,read-only=on,file.driver=file,\
             file.filename=/d,,0.qcow2 -device virtio-blk-pci,drive=drive0,id=disk0 "
                .to_owned(),
            "-smp 1,maxcpus=4,sockets=4 ".to_owned(),
            "-chardev socket,id=control,path=/r/control,server=on,wait=off -mon \
             chardev=control,mode=control "
                .to_owned(),
            "-device pcie-root-port,id=port1,chassis=2 ".to_owned(),
            "-fw_cfg name=opt/a,file=/f ".to_owned(),
            "-kernel /k -initrd /i -append a=1,2 b -S -incoming defer ".to_owned(),
            "-device isa-debug-exit,iobase=0xf4,iosize=0x4".to_owned(),
        ] {
            assert!(
                arguments.contains(&expected),
                "{expected} is not in {arguments}"
            );
        }
    }

    #[test]
    fn what_is_open_already_is_not_opened_again() {
        let config = Config {
            control_socket: Some("/r/web/qmp".into()),
            ..Config::new(Qemu::for_tests(), Accel::Kvm)
        };
        let sockets = Sockets {
            console: Path::new("/r/c"),
            qmp: Path::new("/r/q"),
            inherited: Inherited {
                control: Some([900, 901]),
                kvm: Some(902),
            },
        };
        let words: Vec<_> = config.arguments(sockets);
        let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
        let words = words.join(" ");
        for expected in [
            " -add-fd fd=902,set=1,opaque=/dev/kvm -accel kvm,device=/dev/fdset/1 ",
            " -add-fd fd=901,set=2,opaque=/r/web/qmp -chardev socket,id=control,fd=900,server=on,wait=off ",
        ] {
            assert!(words.contains(expected), "{expected} is not in {words}");
        }
        assert!(!words.contains("-accel kvm "), "{words}");
    }
}
