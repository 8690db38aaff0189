// SPDX-License-Identifier: GPL-2.0

//! Guests that were managed.

use std::io;
use std::io::Write;

use onecopy_vmrm::event::Delivery;
use onecopy_vmrm::event::Event;
use onecopy_vmrm::service::Round;

use super::decisions::orders;
use crate::failure::Failure;
use crate::json;
use crate::outcome::table::write_table;
use crate::status::Status;

/// What is wrong if not every guest was managed.
const INCOMPLETE: &str = "Not every guest could be asked and told";

/// Guests that were managed.
#[derive(Debug)]
pub(crate) enum Managed {
    /// In one round.
    Once(Round),
    /// Until a signal: the log has said everything.
    UntilSignal,
}

impl Managed {
    /// Whether everybody could be asked and told. A manager that goes on tries that again and again.
    pub(in crate::outcome) fn is_complete(&self) -> bool {
        match self {
            Self::Once(round) => round.is_complete,
            Self::UntilSignal => true,
        }
    }

    fn events(&self) -> &[Event] {
        match self {
            Self::Once(round) => &round.events,
            Self::UntilSignal => &[],
        }
    }

    /// Writes an object in each line, as the log has it.
    pub(in crate::outcome) fn render_json(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        json::write_lines(out, self.events())?;
        if self.is_complete() {
            return Ok(());
        }
        let failure = Failure {
            error: INCOMPLETE.to_owned(),
            causes: Vec::new(),
            exit_status: Status::Failed.code(),
        };
        failure.render(err, true)
    }

    /// Writes what is decided for the host in lines, and what guests are told in a table.
    pub(in crate::outcome) fn render(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        for event in self.events() {
            match event {
                Event::Shrink {
                    order,
                    delivery: Delivery::Failed { error },
                    ..
                } => writeln!(err, "onecopy: {} was not told: {error}", order.guest)?,
                Event::Shrink { .. } => {}
                said => writeln!(out, "{said}")?,
            }
        }
        let table = orders(self.events(), None, Some("TOLD"));
        if table.len() > 1 {
            write_table(out, &table)?;
        }
        if self.is_complete() {
            return Ok(());
        }
        writeln!(err, "onecopy: {INCOMPLETE}")
    }
}

#[cfg(test)]
mod tests {
    use onecopy_vmrm::policy::Order;
    use onecopy_vmrm::policy::Reason;
    use onecopy_vmrm::sample::Host;

    use super::*;

    fn order(guest: &str, delivery: Delivery) -> Event {
        let order = Order {
            guest: guest.to_owned(),
            incarnation: 7,
            reason: Reason::Squeeze,
            from_bytes: 0,
            to_bytes: 2 << 20,
            memory_bytes: 512 << 20,
            taken_bytes: 0,
            available_bytes: Some(300 << 20),
            resident_bytes: None,
            floor_bytes: 128 << 20,
            headroom_bytes: 64 << 20,
            weight: 1,
        };
        Event::shrink(1, &order, delivery, &Host::default())
    }

    fn managed() -> Managed {
        let (guest, error) = ("mail".to_owned(), "gone".to_owned());
        Managed::Once(Round {
            events: vec![
                Event::Unknown { guest },
                order("web", Delivery::Sent),
                order("db", Delivery::Failed { error }),
            ],
            is_complete: false,
        })
    }

    fn rendered(
        render: impl FnOnce(&mut dyn Write, &mut dyn Write) -> io::Result<()>,
    ) -> [String; 2] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        render(&mut out, &mut err).unwrap();
        [out, err].map(|bytes| {
            let text = String::from_utf8(bytes).unwrap();
            anstream::adapter::strip_str(&text).to_string()
        })
    }

    #[test]
    fn a_round_is_a_table_of_orders_below_what_is_noteworthy() {
        let managed = managed();
        let [out, err] = rendered(|out, err| managed.render(out, err));
        assert_eq!(
            out,
            "mail: is named in the configuration, and does not run\n\
             GUEST  SHRINK  BEFORE  WHY      MEMORY   TAKEN  AVAILABLE  RESIDENT  FLOOR    HEADROOM  WEIGHT  TOLD\n\
             web    512     0       squeeze  512 MiB  0 B    300 MiB    -         128 MiB  64 MiB    1       yes\n\
             db     512     0       squeeze  512 MiB  0 B    300 MiB    -         128 MiB  64 MiB    1       failed\n"
        );
        assert_eq!(
            err,
            "onecopy: db was not told: gone\nonecopy: Not every guest could be asked and told\n"
        );
    }

    #[test]
    fn in_json_each_event_is_a_line_and_what_is_missing_a_failure() {
        let managed = managed();
        let [out, err] = rendered(|out, err| managed.render_json(out, err));
        let parse = |line| serde_json::from_str(line).unwrap();
        let lines: Vec<serde_json::Value> = out.lines().map(parse).collect();
        let kinds = lines.iter().map(|line| line["event"].as_str().unwrap());
        assert_eq!(kinds.collect::<Vec<_>>(), ["unknown", "shrink", "shrink"]);
        assert_eq!(lines[2]["delivery"]["error"], "gone");
        let failure: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!(failure["exit_status"], 1);
    }

    #[test]
    fn a_manager_that_was_ended_has_nothing_more_to_say() {
        let [out, err] = rendered(|out, err| Managed::UntilSignal.render(out, err));
        assert_eq!((out.as_str(), err.as_str()), ("", ""));
        assert!(Managed::UntilSignal.is_complete());
    }
}
