// SPDX-License-Identifier: GPL-2.0

//! What there is to say in words, a line each.

use std::fmt;

use super::Delivery;
use super::Event;
use crate::policy::Mode;
use crate::policy::Order;
use crate::policy::Reason;
use crate::sample::Host;
use crate::simulate::Summary;

/// MiB, for people.
struct Mib(u64);

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0 >> 20)
    }
}

/// MiB if there are any.
struct Maybe(Option<u64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => Mib(bytes).fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hold => "hold",
            Self::Squeeze => "squeeze",
            Self::Ease => "ease",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Squeeze => "squeeze",
            Self::Ease => "ease",
            Self::GuestNeeds => "guest needs it",
            Self::Floor => "floor",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (available, total) = (Mib(self.available_bytes), Mib(self.total_bytes));
        write!(f, "host available {available} of {total}")?;
        if let Some(some) = self.some_hundredths {
            write!(f, ", waiting {}.{:02} %", some / 100, some % 100)?;
        }
        if self.swap_total_bytes > 0 {
            let (free, total) = (Mib(self.swap_free_bytes), Mib(self.swap_total_bytes));
            write!(f, ", swap free {free} of {total}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PAGE_BYTES: u64 = 4096;

        let (pages, before) = (self.to_bytes / PAGE_BYTES, self.from_bytes / PAGE_BYTES);
        write!(
            f,
            "{}: SHRINK {pages} (before: {before}): {}; guest of {}, taken {}, available {}, \
             resident {}, floor {}, headroom {}, weight {}",
            self.guest,
            self.reason,
            Mib(self.memory_bytes),
            Mib(self.taken_bytes),
            Maybe(self.available_bytes),
            Maybe(self.resident_bytes),
            Mib(self.floor_bytes),
            Mib(self.headroom_bytes),
            self.weight
        )
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode {
                mode,
                wanted_bytes,
                moved_bytes,
                target_bytes,
                guests,
                host,
                ..
            } => {
                let (wanted, moved) = (Mib(*wanted_bytes), Mib(*moved_bytes));
                let target = Mib(*target_bytes);
                write!(
                    f,
                    "{mode} {moved} of {wanted}; {host}; {guests} guests give {target}"
                )
            }
            Self::Shrink {
                order,
                delivery,
                host,
                ..
            } => match delivery {
                Delivery::Sent => write!(f, "{order}; {host}"),
                Delivery::NotSent => write!(f, "{order}; {host} (not sent)"),
                Delivery::Failed { error } => write!(f, "{order}; {host} (not sent: {error})"),
            },
            Self::Silent { guest, error } => write!(f, "{guest}: does not answer: {error}"),
            Self::Answers { guest } => write!(f, "{guest}: answers again"),
            Self::Unknown { guest } => {
                write!(
                    f,
                    "{guest}: is named in the configuration, and does not run"
                )
            }
            Self::Known { guest } => write!(f, "{guest}: runs now"),
            Self::Blind { error } => write!(f, "nothing is decided: {error}"),
            Self::Reloaded => f.write_str("the configuration was read again"),
            Self::NotReloaded { error } => {
                write!(f, "the old configuration still holds: {error}")
            }
            Self::NotRecorded { error } => write!(f, "nothing is recorded any more: {error}"),
            Self::Summary(summary) => summary.fmt(f),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rounds with up to {} guests: {} squeeze, {} ease, {} targets changed, {} reversals; \
             least available {} (recorded: {}); rounds below low {} (recorded: {}), with nothing \
             available {}; guests short {} times",
            self.rounds,
            self.guests,
            self.squeeze_rounds,
            self.ease_rounds,
            self.orders,
            self.reversals,
            Mib(self.min_available_bytes),
            Mib(self.recorded_min_available_bytes),
            self.low_rounds,
            self.recorded_low_rounds,
            self.short_rounds,
            self.guest_short_rounds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn order() -> Order {
        Order {
            guest: "web".to_owned(),
            incarnation: 7,
            reason: Reason::Squeeze,
            from_bytes: 2 * MIB,
            to_bytes: 4 * MIB,
            memory_bytes: 512 * MIB,
            taken_bytes: 2 * MIB,
            available_bytes: Some(300 * MIB),
            resident_bytes: None,
            floor_bytes: 128 * MIB,
            headroom_bytes: 64 * MIB,
            weight: 1,
        }
    }

    fn host() -> Host {
        Host {
            total_bytes: 4096 * MIB,
            available_bytes: 100 * MIB,
            some_hundredths: Some(1205),
            ..Host::default()
        }
    }

    #[test]
    fn a_decision_is_one_line_with_its_inputs() {
        let (order, host) = (order(), host());
        let event = |delivery: &Delivery| {
            let event = Event::shrink(1, &order, delivery.clone(), &host);
            (event.to_string(), serde_json::to_value(&event).unwrap())
        };
        let (text, json) = event(&Delivery::Sent);
        assert_eq!(
            text,
            "web: SHRINK 1024 (before: 512): squeeze; guest of 512 MiB, taken 2 MiB, available 300 \
             MiB, resident unknown, floor 128 MiB, headroom 64 MiB, weight 1; host available 100 MiB \
             of 4096 MiB, waiting 12.05 %"
        );
        assert_eq!(json["event"], "shrink");
        assert_eq!(json["to_bytes"], 4 * MIB);
        assert_eq!(json["reason"], "squeeze");
        assert_eq!(json["delivery"]["state"], "sent");
        assert_eq!(json["host"]["some_hundredths"], 1205);
        let failed = Delivery::Failed {
            error: "gone".to_owned(),
        };
        assert!(event(&failed).0.ends_with("12.05 % (not sent: gone)"));
        assert_eq!(event(&failed).1["delivery"]["error"], "gone");
    }

    #[test]
    fn swap_is_mentioned_where_there_is_some() {
        let swapping = Host {
            swap_total_bytes: 8 * MIB,
            swap_free_bytes: 3 * MIB,
            some_hundredths: None,
            ..host()
        };
        assert_eq!(
            swapping.to_string(),
            "host available 100 MiB of 4096 MiB, swap free 3 MiB of 8 MiB"
        );
    }
}
