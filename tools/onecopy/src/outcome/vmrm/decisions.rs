// SPDX-License-Identifier: GPL-2.0

//! Tables of what is decided: for the host, a row for each round, and for guests, one for each order.

use onecopy_vmrm::event::Delivery;
use onecopy_vmrm::event::Event;
use onecopy_vmrm::policy::Order;

use crate::outcome::table::utc;
use crate::size;

/// The unit of SHRINK.
const PAGE_BYTES: u64 = 4096;

/// What stands where nothing is known.
const NOTHING: &str = "-";

/// Returns the table of rounds in which something is done for the host.
pub(super) fn rounds(events: &[Event]) -> Vec<Vec<String>> {
    let title = [
        "TIME",
        "DOES",
        "MOVED",
        "WANTED",
        "RELIEVED",
        "AVAILABLE",
        "WAITING",
        "GUESTS",
        "GIVE",
    ];
    let row = |event: &Event| match event {
        Event::Mode {
            unix_ms,
            mode,
            wanted_bytes,
            moved_bytes,
            relieved_bytes,
            target_bytes,
            guests,
            host,
        } => Some(vec![
            time(*unix_ms),
            mode.to_string(),
            size::show(*moved_bytes),
            size::show(*wanted_bytes),
            size::show(*relieved_bytes),
            size::show(host.available_bytes),
            percent(host.some_hundredths),
            guests.to_string(),
            size::show(*target_bytes),
        ]),
        _ => None,
    };
    let title = title.map(str::to_owned).to_vec();
    let rows = events.iter().filter_map(row);
    [title].into_iter().chain(rows).collect()
}

/// Returns the table of orders, with columns for the time and for the delivery if those have titles.
pub(super) fn orders(
    events: &[Event],
    time_title: Option<&str>,
    told_title: Option<&str>,
) -> Vec<Vec<String>> {
    let title = [
        "GUEST",
        "SHRINK",
        "BEFORE",
        "WHY",
        "MEMORY",
        "TAKEN",
        "AVAILABLE",
        "RESIDENT",
        "FLOOR",
        "HEADROOM",
        "WEIGHT",
    ];
    let line = |time: Option<String>, cells: [String; 11], told: Option<String>| {
        let columns = time.into_iter().chain(cells).chain(told);
        columns.collect::<Vec<_>>()
    };
    let owned = |title: Option<&str>| title.map(str::to_owned);
    let title = line(
        owned(time_title),
        title.map(str::to_owned),
        owned(told_title),
    );
    let row = |event: &Event| match event {
        Event::Shrink {
            unix_ms,
            order,
            delivery,
            ..
        } => Some(line(
            time_title.map(|_| time(*unix_ms)),
            cells(order),
            told_title.map(|_| told(delivery).to_owned()),
        )),
        _ => None,
    };
    let rows = events.iter().filter_map(row);
    [title].into_iter().chain(rows).collect()
}

fn cells(order: &Order) -> [String; 11] {
    let known = |bytes: Option<u64>| bytes.map_or_else(|| NOTHING.to_owned(), size::show);
    [
        order.guest.clone(),
        (order.to_bytes / PAGE_BYTES).to_string(),
        (order.from_bytes / PAGE_BYTES).to_string(),
        order.reason.to_string(),
        size::show(order.memory_bytes),
        size::show(order.taken_bytes),
        known(order.available_bytes),
        known(order.resident_bytes),
        size::show(order.floor_bytes),
        size::show(order.headroom_bytes),
        order.weight.to_string(),
    ]
}

fn told(delivery: &Delivery) -> &'static str {
    match delivery {
        Delivery::Sent => "yes",
        Delivery::NotSent => "no",
        Delivery::Failed { .. } => "failed",
    }
}

fn time(unix_ms: u64) -> String {
    utc(unix_ms / 1000)
}

fn percent(hundredths: Option<u32>) -> String {
    hundredths.map_or_else(
        || NOTHING.to_owned(),
        |some| format!("{}.{:02} %", some / 100, some % 100),
    )
}

#[cfg(test)]
mod tests {
    use onecopy_vmrm::policy::Decision;
    use onecopy_vmrm::policy::Mode;
    use onecopy_vmrm::policy::Reason;
    use onecopy_vmrm::sample::Host;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn events(delivery: Delivery) -> Vec<Event> {
        let order = Order {
            guest: "web".to_owned(),
            incarnation: 7,
            reason: Reason::GuestNeeds,
            from_bytes: 4 * MIB,
            to_bytes: 2 * MIB,
            memory_bytes: 512 * MIB,
            taken_bytes: 4 * MIB,
            available_bytes: None,
            resident_bytes: Some(300 * MIB),
            floor_bytes: 128 * MIB,
            headroom_bytes: 64 * MIB,
            weight: 1,
        };
        let host = Host {
            available_bytes: 100 * MIB,
            some_hundredths: Some(1205),
            ..Host::default()
        };
        let decision = Decision {
            mode: Mode::Squeeze,
            wanted_bytes: 616 * MIB,
            moved_bytes: 0,
            relieved_bytes: 2 * MIB,
            target_bytes: 2 * MIB,
            guests: 1,
            orders: vec![order.clone()],
        };
        vec![
            Event::mode(5000, &decision, &host),
            Event::shrink(5000, &order, delivery, &host),
        ]
    }

    fn lines(table: &[Vec<String>]) -> Vec<String> {
        table.iter().map(|row| row.join("|")).collect()
    }

    #[test]
    fn each_round_and_each_order_is_a_row_with_its_inputs() {
        let events = events(Delivery::NotSent);
        assert_eq!(
            lines(&rounds(&events)),
            [
                "TIME|DOES|MOVED|WANTED|RELIEVED|AVAILABLE|WAITING|GUESTS|GIVE",
                "1970-01-01T00:00:05Z|squeeze|0 B|616 MiB|2 MiB|100 MiB|12.05 %|1|2 MiB",
            ]
        );
        assert_eq!(
            lines(&orders(&events, Some("TIME"), None)),
            [
                "TIME|GUEST|SHRINK|BEFORE|WHY|MEMORY|TAKEN|AVAILABLE|RESIDENT|FLOOR|HEADROOM|WEIGHT",
                "1970-01-01T00:00:05Z|web|512|1024|guest needs it|512 MiB|4 MiB|-|300 MiB|128 MiB|64 \
                 MiB|1",
            ]
        );
    }

    #[test]
    fn what_became_of_an_order_is_said_where_that_matters() {
        let failed = Delivery::Failed {
            error: "gone".to_owned(),
        };
        for (delivery, expected) in [
            (Delivery::Sent, "yes"),
            (Delivery::NotSent, "no"),
            (failed, "failed"),
        ] {
            let table = orders(&events(delivery), None, Some("TOLD"));
            let last = table.iter().map(|row| row.last().unwrap().as_str());
            assert_eq!(last.collect::<Vec<_>>(), ["TOLD", expected]);
        }
    }
}
