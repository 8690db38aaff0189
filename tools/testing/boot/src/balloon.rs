// SPDX-License-Identifier: GPL-2.0

//! A guest with a balloon, as seen from both sides.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use onecopy_machine::options::Params;
use onecopy_machine::qmp::commands;
use serde_json::Value;

use crate::guest::Guest;
use crate::kernel::Kernel;

/// The module.
pub const CMM: &str = "cmm";

/// The driver in C for the same device.
pub const VIRTIO_BALLOON: &str = "virtio_balloon";

/// The id of the device.
pub const ID: &str = "balloon0";

/// Where QEMU has the object of the device.
pub const OBJECT: &str = "/machine/peripheral/balloon0";

/// The property of the object that says how often QEMU asks for statistics, in seconds.
pub const POLLING: &str = "guest-stats-polling-interval";

/// The number of the flag of pages that are offline, in `linux/kernel-page-flags.h`.
const KPF_OFFLINE: u64 = 23;

/// How often the host looks at what the guest says.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Returns the device; `reporting` offers free page reporting.
pub fn device(reporting: bool) -> Params {
    let reporting = if reporting { "on" } else { "off" };
    Params::new("virtio-balloon-pci")
        .with("id", ID)
        .with("free-page-reporting", reporting)
}

impl Guest {
    /// Makes sure that the driver is there, with parameters of the module.
    ///
    /// # Errors
    ///
    /// As [`Guest::load`].
    pub fn load_cmm(&mut self, kernel: &Kernel, parameters: &str) -> Result<()> {
        if !kernel.has("VIRTIO_CMM") {
            self.load(kernel, CMM, parameters)?;
        }
        Ok(())
    }

    /// Tells the guest how much memory it shall have.
    ///
    /// # Errors
    ///
    /// When QEMU refuses.
    pub fn set_balloon(&mut self, bytes: u64) -> Result<()> {
        self.machine()
            .execute(&commands::Balloon { value: bytes })?;
        Ok(())
    }

    /// Returns how much memory the guest says that it has.
    ///
    /// # Errors
    ///
    /// When QEMU does not say.
    pub fn balloon(&mut self) -> Result<u64> {
        Ok(self.machine().execute(&commands::QueryBalloon {})?.actual)
    }

    /// Waits until the guest says that it has that much memory, and returns how long that took.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub fn wait_balloon(&mut self, bytes: u64, timeout: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let actual = self.balloon()?;
            if actual == bytes {
                return Ok(start.elapsed());
            }
            if start.elapsed() > timeout {
                bail!("the guest has {actual} bytes, not {bytes}, after {timeout:?}");
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Tells the guest how much memory it shall have, waits until it has, and returns how long that
    /// took.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_balloon`].
    pub fn resize(&mut self, bytes: u64, timeout: Duration) -> Result<Duration> {
        let start = Instant::now();
        self.set_balloon(bytes)?;
        self.wait_balloon(bytes, timeout)?;
        Ok(start.elapsed())
    }

    /// Returns the bytes of the host's memory that are there because of the guest's.
    ///
    /// # Errors
    ///
    /// When the host does not say.
    pub fn host_bytes(&mut self) -> Result<u64> {
        Ok(self.machine().usage()?.unique_bytes())
    }

    /// Lets QEMU ask the guest for its statistics every second.
    ///
    /// # Errors
    ///
    /// When QEMU refuses.
    pub fn poll_statistics(&mut self) -> Result<()> {
        self.machine().execute(&commands::QomSet {
            path: OBJECT.to_owned(),
            property: POLLING.to_owned(),
            value: Value::from(1),
        })?;
        Ok(())
    }

    /// Returns what QEMU knows of a statistic by that name; `None` if the guest never said.
    ///
    /// # Errors
    ///
    /// When QEMU does not say.
    pub fn statistic(&mut self, name: &str) -> Result<Option<u64>> {
        let answer = self.machine().execute(&commands::QomGet {
            path: OBJECT.to_owned(),
            property: "guest-stats".to_owned(),
        })?;
        let value = answer.get("stats").and_then(|stats| stats.get(name));
        let value = value.with_context(|| format!("QEMU knows no {name}: {answer}"))?;
        // QEMU says -1, as a 64-bit number, for what it was not told.
        Ok(value.as_u64().filter(|value| *value != u64::MAX))
    }

    /// Returns a number of `/proc/sys/vm`.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn vm_number(&mut self, name: &str) -> Result<u64> {
        Ok(self.read(&format!("/proc/sys/vm/{name}"))?.parse()?)
    }

    /// Returns how many of `pages` page frames from `first` the kernel shows as offline.
    ///
    /// # Errors
    ///
    /// When the guest does not say.
    pub fn offline_pages(&mut self, first: u64, pages: u64) -> Result<u64> {
        let range = [first, pages, KPF_OFFLINE].map(|number| number.to_string());
        let answer = self.run("count-pages", &range.each_ref().map(String::as_str))?;
        Ok(answer.value("pages").context("no count")?.parse()?)
    }

    /// Returns a counter of the driver.
    ///
    /// # Errors
    ///
    /// When there is none of that name.
    pub fn cmm_counter(&mut self, name: &str) -> Result<u64> {
        let lines = self.run("read", &["/sys/kernel/debug/cmm/counters"])?.lines;
        let line = lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line
            .with_context(|| format!("no counter {name}"))?
            .parse()?)
    }
}
