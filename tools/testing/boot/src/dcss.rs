// SPDX-License-Identifier: GPL-2.0

//! The driver for segments, as seen from inside a guest.

use std::ops::Range;

use anyhow::Context;
use anyhow::Result;

use crate::control;
use crate::guest::Guest;

/// The directory of the driver.
pub const CONFIG: &str = "/sys/kernel/config/dcss";

/// The directory of the driver's bindings.
pub const DRIVER: &str = "/sys/bus/virtio/drivers/dcss";

/// Returns the device node of a segment.
pub fn node(name: &str) -> String {
    format!("/dev/dcss/{name}")
}

/// Returns the name of the errno with which the guest's kernel has refused; `OK` if it has not.
///
/// # Errors
///
/// When there was no answer.
pub fn errno<T>(result: control::Result<T>) -> Result<String> {
    match result {
        Ok(_) => Ok("OK".to_owned()),
        Err(control::Error::Refused(failure)) => Ok(failure.name),
        Err(error) => Err(error.into()),
    }
}

impl Guest {
    /// Attaches segments as one device.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn attach(&mut self, segments: &str) -> control::Result {
        self.write(&format!("{CONFIG}/add"), segments)
    }

    /// Detaches a device.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn detach(&mut self, segment: &str) -> control::Result {
        self.write(&format!("{CONFIG}/remove"), segment)
    }

    /// Returns an attribute of a segment.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn attribute(&mut self, segment: &str, name: &str) -> control::Result<String> {
        let directory = format!("{CONFIG}/{segment}");
        if !self.exists(&directory)? {
            self.run("mkdir", &[&directory])?;
        }
        self.read(&format!("{directory}/{name}"))
    }

    /// Returns which devices are attached.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn attached(&mut self) -> control::Result<Vec<String>> {
        Ok(self.run("read", &[&format!("{CONFIG}/remove")])?.lines)
    }

    /// Returns which segments could be attached.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn available(&mut self) -> control::Result<Vec<String>> {
        Ok(self.run("read", &[&format!("{CONFIG}/add")])?.lines)
    }

    /// Returns the physical addresses that the driver has claimed for a segment; `None` if the
    /// kernel's list of claims does not have it.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn iomem(&mut self, segment: &str) -> Result<Option<Range<u64>>> {
        let name = format!(" : {segment} (DCSS)");
        let lines = self.run("read", &["/proc/iomem"])?.lines;
        let line = lines.iter().find_map(|line| line.strip_suffix(&name));
        line.map(|line| {
            let (start, last) = line
                .trim()
                .split_once('-')
                .context("a claim without a range")?;
            Ok(u64::from_str_radix(start, 16)?..u64::from_str_radix(last, 16)? + 1)
        })
        .transpose()
    }

    /// Returns how many pages hold struct pages that were made after boot.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn memmap_pages(&mut self) -> Result<u64> {
        let lines = self.run("read", &["/proc/vmstat"])?.lines;
        let pages = lines
            .iter()
            .find_map(|line| line.strip_prefix("nr_memmap_pages "));
        Ok(pages
            .context("no nr_memmap_pages in /proc/vmstat")?
            .parse()?)
    }

    /// Returns a line of `/proc/meminfo`, in KiB.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn meminfo_kib(&mut self, name: &str) -> Result<u64> {
        let lines = self.run("read", &["/proc/meminfo"])?.lines;
        let value = lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = value.with_context(|| format!("no {name} in /proc/meminfo"))?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns the digest of a range of a file, and how many bytes there were.
    ///
    /// # Errors
    ///
    /// When the range cannot be read.
    pub fn digest(
        &mut self,
        path: &str,
        mode: &str,
        range: Range<u64>,
        block_bytes: u64,
    ) -> Result<(u64, String)> {
        let [offset, length, block] =
            [range.start, range.end - range.start, block_bytes].map(|number| number.to_string());
        let answer = self.run("digest", &[path, mode, &offset, &length, &block])?;
        let value = |key: &str| answer.value(key).with_context(|| format!("no {key}"));
        Ok((value("bytes")?.parse()?, value("sha256")?.to_owned()))
    }

    /// Returns the PCI address of a virtio device.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn pci_address(&mut self, virtio: &str) -> Result<String> {
        let devices = "/sys/bus/pci/devices";
        for address in self.run("ls", &[devices])?.lines {
            if self.exists(&format!("{devices}/{address}/{virtio}"))? {
                return Ok(address);
            }
        }
        anyhow::bail!("{virtio} has no PCI device")
    }

    /// Returns the virtio devices that the driver is bound to.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn bound(&mut self) -> control::Result<Vec<String>> {
        let names = self.run("ls", &[DRIVER])?.lines;
        Ok(names
            .into_iter()
            .filter(|name| name.starts_with("virtio"))
            .collect())
    }
}
