// SPDX-License-Identifier: GPL-2.0

//! One partition, in words.

use std::io;
use std::io::Write;

use onecopy_partition::Disk;

use super::Action;
use super::Changed;
use super::ListedPartition;
use super::Removed;
use super::ServedGuest;
use super::Shown;
use crate::size;

impl Changed {
    pub(in crate::outcome) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let partition = &self.partition;
        let (name, kernel) = (&partition.name, partition.kernel);
        match self.action {
            Action::Defined | Action::Replaced => {
                let resources = &partition.resources;
                let plural = if resources.cpus == 1 { "" } else { "s" };
                writeln!(
                    out,
                    "{name}: kernel {kernel}, {}, {} processor{plural}, {}",
                    size::show(resources.memory_bytes),
                    resources.cpus,
                    partition.resources_file.display()
                )
            }
            Action::Upgraded | Action::RolledBack => {
                let from = self.from.unwrap_or(kernel);
                let what = if self.changed {
                    format!("kernel {kernel} instead of {from}")
                } else {
                    format!("kernel {kernel} already")
                };
                writeln!(out, "{name}: {what}{}", self.effect())
            }
        }
    }

    /// Says when the kernel takes effect.
    fn effect(&self) -> String {
        let guest = self.partition.guest.as_ref();
        match (&self.restarted, guest) {
            (Some(_), Some(guest)) => format!(
                "; guest {} was started again, from {} generation {}",
                guest.name, guest.kernel, guest.generation
            ),
            (Some(restarted), None) => {
                format!("; guest {restarted} was started again, and has ended")
            }
            (None, Some(guest)) if !guest.current => format!(
                " from the next IPL on; guest {} runs {} generation {}",
                guest.name, guest.kernel, guest.generation
            ),
            (None, None) if self.asked_now => "; no guest runs in it".to_owned(),
            (None, None) if self.changed => " from the next IPL on".to_owned(),
            (None, _) => String::new(),
        }
    }
}

impl Removed {
    pub(in crate::outcome) fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}: removed", self.partition)
    }
}

impl Shown {
    pub(in crate::outcome) fn render(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        for (label, text) in self.partition.lines() {
            writeln!(out, "{label:11} {text}")?;
        }
        let guest = self.partition.guest.as_ref();
        let errors = [
            self.partition.error.as_ref(),
            guest.and_then(|guest| guest.error.as_ref()),
        ];
        for error in errors.into_iter().flatten() {
            writeln!(err, "onecopy: {}: {error}", self.partition.name)?;
        }
        Ok(())
    }
}

impl ListedPartition {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let resources = &self.resources;
        let mut lines = vec![
            ("Partition", self.name.to_string()),
            ("Kernel", self.next_line()),
        ];
        let optional = |label, text: &Option<String>| text.clone().map(|text| (label, text));
        lines.extend(optional("Previous", &self.previous));
        lines.push(("State", self.state.to_owned()));
        lines.extend(self.guest.iter().flat_map(ServedGuest::lines));
        lines.push(("Memory", size::show(resources.memory_bytes)));
        lines.push(("Processors", resources.cpus.to_string()));
        lines.extend(
            resources
                .segments
                .iter()
                .map(|text| ("Segment", text.clone())),
        );
        lines.extend(resources.nics.iter().map(|text| ("Network", text.clone())));
        lines.extend(resources.disks.iter().map(|disk| ("Disk", show(disk))));
        lines.extend(optional("Host name", &resources.hostname));
        lines.extend(optional("Machine-id", &resources.machine_id));
        lines.extend(optional("Trust group", &resources.group));
        lines.extend(optional("Parm", &resources.parm));
        let told = resources.other.iter();
        lines.extend(told.map(|(key, value)| ("Told", format!("{key}={value}"))));
        if resources.small_pages {
            lines.push(("Pages", "small".to_owned()));
        }
        if resources.balloon {
            lines.push(("Balloon", "yes".to_owned()));
        }
        if resources.smsg {
            lines.push(("Messages", "yes".to_owned()));
        }
        if resources.overcommit {
            lines.push(("Overcommit", "yes".to_owned()));
        }
        lines.push(("Resources", self.resources_file.display().to_string()));
        lines
    }

    fn next_line(&self) -> String {
        match &self.next {
            Some(next) => format!(
                "{} generation {}, build-id {}",
                self.kernel,
                next.generation,
                id(next.build_id.as_ref())
            ),
            None => format!("{}, which cannot be started", self.kernel),
        }
    }
}

impl ServedGuest {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let pid = self.pid.map(|pid| format!(", process {pid}"));
        let until = if self.current {
            ""
        } else {
            "; the kernel above takes effect at the next IPL"
        };
        let runs = format!(
            "{} generation {}, build-id {}{until}",
            self.kernel,
            self.generation,
            id(self.build_id.as_ref())
        );
        let mut lines = vec![
            ("Guest", format!("{}{}", self.name, pid.unwrap_or_default())),
            ("Runs", runs),
        ];
        if let Some(found) = &self.memory_build_id {
            let verdict = if self.memory_build_id == self.build_id {
                "the same"
            } else {
                "NOT THE SAME"
            };
            lines.push(("In memory", format!("build-id {found}, {verdict}")));
        }
        lines
    }
}

fn id(build_id: Option<&String>) -> &str {
    build_id.map_or("unknown", String::as_str)
}

fn show(disk: &Disk) -> String {
    let readonly = if disk.readonly { ", read-only" } else { "" };
    format!("{}{readonly}", disk.file.display())
}
