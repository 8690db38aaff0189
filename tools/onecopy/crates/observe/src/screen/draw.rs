// SPDX-License-Identifier: GPL-2.0

//! From a view to a picture.

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint;
use ratatui::layout::Layout;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::style::Modifier;
use ratatui::style::Style;
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::text::Span;
use ratatui::text::Text;
use ratatui::widgets::Block;
use ratatui::widgets::Borders;
use ratatui::widgets::Cell;
use ratatui::widgets::Paragraph;
use ratatui::widgets::Row;
use ratatui::widgets::StatefulWidget;
use ratatui::widgets::Table;
use ratatui::widgets::TableState;
use ratatui::widgets::Widget;

use super::Column;
use super::View;
use crate::size::rounded;
use crate::time;
use crate::GuestSample;
use crate::HostSample;
use crate::RangeSample;
use crate::Totals;

/// Lines above the table of guests, with an empty one behind them.
const HEAD_LINES: u16 = 6;

/// The least height in which the ranges of the chosen guest are shown too.
const DETAILS_FROM: u16 = 22;

/// How wide the bar of the host's memory is.
const BAR_CELLS: usize = 30;

/// What leads a line says what the line is about.
const LABEL: Style = Style::new().fg(Color::Cyan);

/// What is not as it should be.
const WARNING: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);

/// Returns how many lines a view needs that nobody looks at interactively.
pub fn height(view: &View) -> u16 {
    let guests = view.guests().len().try_into().unwrap_or(u16::MAX);
    HEAD_LINES.saturating_add(1).saturating_add(guests)
}

/// Draws a view. Where there is too little space the lower parts are left out.
pub fn draw(view: &View, area: Rect, buffer: &mut Buffer) {
    let details = match view.chosen() {
        Some(guest) if view.interactive && area.height >= DETAILS_FROM => details_lines(guest),
        _ => 0,
    };
    let [head, table, below, foot] = Layout::vertical([
        Constraint::Length(HEAD_LINES),
        Constraint::Min(1),
        Constraint::Length(details),
        Constraint::Length(u16::from(view.interactive)),
    ])
    .areas(area);
    Paragraph::new(head_lines(view)).render(head, buffer);
    draw_guests(view, table, buffer);
    if let Some(guest) = view.chosen().filter(|_| details > 0) {
        draw_details(guest, below, buffer);
    }
    foot_line(view).render(foot, buffer);
}

/// Returns a picture as lines without colours.
pub fn text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y: u16| {
        let cells = (area.left()..area.right()).filter_map(|x| buffer.cell((x, y)));
        let line: String = cells.map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", line.trim_end())
    };
    (area.top()..area.bottom()).map(line).collect()
}

fn head_lines(view: &View) -> Vec<Line<'static>> {
    let sample = &view.sample;
    let totals = Totals::of(sample);
    let plural = if totals.guests == 1 { "" } else { "s" };
    let mut title = vec![
        Span::from("onecopy").bold(),
        format!("  {}  ", time::utc(sample.time_unix_ms)).into(),
        format!("{} guest{plural}", totals.guests).into(),
    ];
    if totals.ready < totals.guests {
        title.push(format!(", {} starting", totals.guests - totals.ready).into());
    }
    if totals.silent > 0 {
        title.push(Span::styled(format!(", {} silent", totals.silent), WARNING));
    }
    vec![
        title.into(),
        memory_line(&sample.host),
        pressure_line(&sample.host),
        vec![
            label("guests"),
            "unique ".into(),
            rounded(totals.unique_bytes).bold(),
            format!(
                ", QEMU's own {}, shared {}, which saves ",
                rounded(totals.overhead_bytes),
                rounded(totals.shared_bytes)
            )
            .into(),
            rounded(totals.saved_bytes()).fg(Color::Green),
            Span::from("; unshared "),
            warned(rounded(totals.unshared_bytes), totals.unshared_bytes > 0),
        ]
        .into(),
        files_line(view),
        Line::default(),
    ]
}

fn label(text: &str) -> Span<'static> {
    Span::styled(format!("{text:10}"), LABEL)
}

fn warned(text: String, is_warning: bool) -> Span<'static> {
    Span::styled(text, if is_warning { WARNING } else { Style::new() })
}

fn memory_line(host: &HostSample) -> Line<'static> {
    let (total, available) = (host.memory_total_bytes, host.memory_available_bytes);
    let used = total.saturating_sub(available);
    let cells = u128::from(used) * BAR_CELLS as u128 / u128::from(total.max(1));
    let full = usize::try_from(cells).unwrap_or(BAR_CELLS).min(BAR_CELLS);
    let colour = match used.saturating_mul(100) / total.max(1) {
        0..75 => Color::Green,
        75..90 => Color::Yellow,
        _ => Color::Red,
    };
    vec![
        label("memory"),
        "█".repeat(full).fg(colour),
        "░".repeat(BAR_CELLS - full).fg(Color::DarkGray),
        format!(
            " {} of {} used, {} available",
            rounded(used),
            rounded(total),
            rounded(available)
        )
        .into(),
    ]
    .into()
}

fn pressure_line(host: &HostSample) -> Line<'static> {
    let mut line = vec![label("pressure")];
    match host.memory_pressure {
        None => line.push("not said by this kernel".into()),
        Some(pressure) => {
            let [some, full] = [pressure.some, pressure.full].map(|stall| stall.avg10_percent);
            line.push("some ".into());
            line.push(warned(format!("{some:.2} %"), some >= 1.0));
            line.push(", full ".into());
            line.push(warned(format!("{full:.2} %"), full >= 1.0));
            line.push(" of the last 10 s waited for memory".into());
        }
    }
    if host.swap_total_bytes > 0 {
        let used = host.swap_total_bytes.saturating_sub(host.swap_free_bytes);
        let total = rounded(host.swap_total_bytes);
        line.push(format!("; swap {} of {total} used", rounded(used)).into());
    }
    line.into()
}

fn files_line(view: &View) -> Line<'static> {
    let part = |kind: &str| {
        let files = view.sample.files.iter().filter(|file| file.kind == kind);
        let [resident, size] = files.fold([0, 0], |[resident, size], file| {
            [resident + file.resident_bytes, size + file.size_bytes]
        });
        format!("{} of {}", rounded(resident), rounded(size))
    };
    let [systems, segments] = ["system", "segment"].map(part);
    vec![
        label("cached"),
        format!("{systems} of saved systems, {segments} of segment spaces").into(),
    ]
    .into()
}

fn draw_guests(view: &View, area: Rect, buffer: &mut Buffer) {
    let guests = view.guests();
    if guests.is_empty() {
        let words = if view.sample.guests.is_empty() {
            "No guest runs that was started from a saved system."
        } else {
            "No guest has this in its name or the name of its system."
        };
        return Line::from(words).render(area, buffer);
    }
    let widest = |values: &dyn Fn(&GuestSample) -> usize, least: usize| {
        let widest = guests.iter().map(|guest| values(guest)).max();
        widest
            .unwrap_or_default()
            .clamp(least, 24)
            .try_into()
            .unwrap_or(24)
    };
    let mut widths = vec![
        Constraint::Length(widest(&|guest| guest.name.len(), 6)),
        Constraint::Length(widest(&|guest| system(guest).len(), 6)),
        Constraint::Length(widest(&|guest| guest.state.len(), 8)),
        Constraint::Length(7),
    ];
    widths.extend([Constraint::Length(10); 6]);
    let rows = guests.iter().map(|guest| row(view, guest));
    let style = if view.interactive {
        Style::new().add_modifier(Modifier::REVERSED)
    } else {
        Style::new()
    };
    let table = Table::new(rows, widths)
        .header(header(view))
        .row_highlight_style(style)
        .column_spacing(1);
    let mut state = TableState::new().with_selected(view.interactive.then_some(view.selected));
    StatefulWidget::render(table, area, buffer, &mut state);
}

fn header(view: &View) -> Row<'static> {
    let title = |column: Column| {
        let name = match column {
            Column::Name => "GUEST".to_owned(),
            Column::Cpu => "CPU %".to_owned(),
            other => other.to_string().to_uppercase(),
        };
        let chosen = view.sort == column;
        // Names go up unless reversed, numbers down.
        let mark = match (chosen, view.reversed != (column == Column::Name)) {
            (false, _) => "",
            (true, true) => "▲",
            (true, false) => "▼",
        };
        let style = if chosen { WARNING } else { Style::new().bold() };
        (format!("{mark}{name}"), style)
    };
    let (name, style) = title(Column::Name);
    let mut cells = vec![
        Cell::from(name).style(style),
        Cell::from("SYSTEM").bold(),
        Cell::from("STATE").bold(),
    ];
    cells.extend(Column::ALL.into_iter().skip(1).map(|column| {
        let (name, style) = title(column);
        Cell::from(Text::from(name).right_aligned()).style(style)
    }));
    Row::new(cells)
}

fn system(guest: &GuestSample) -> String {
    format!("{}.{}", guest.system, guest.generation)
}

fn row(view: &View, guest: &GuestSample) -> Row<'static> {
    let state = match guest.state.as_str() {
        "running" => Style::new().fg(Color::Green),
        "silent" => WARNING,
        _ => Style::new().fg(Color::Yellow),
    };
    let mut cells = vec![
        Cell::from(guest.name.clone()),
        Cell::from(system(guest)),
        Cell::from(guest.state.clone()).style(state),
    ];
    cells.extend(Column::ALL.into_iter().skip(1).map(|column| {
        let cell = Text::from(column.cell(view, guest)).right_aligned();
        let is_warning = column == Column::Unshared && guest.shared_bytes().1 > 0;
        Cell::from(cell).style(if is_warning { WARNING } else { Style::new() })
    }));
    Row::new(cells)
}

/// Returns how many lines the details of a guest take, with their frame and title.
fn details_lines(guest: &GuestSample) -> u16 {
    let lines = guest.ranges.len() + guest.attached.len() + usize::from(guest.error.is_some());
    (lines.min(7) + 2).try_into().unwrap_or(9)
}

fn draw_details(guest: &GuestSample, area: Rect, buffer: &mut Buffer) {
    let title = format!(" {}: memory by range ", guest.name);
    let frame = Block::new().borders(Borders::TOP).title(title);
    let inner = frame.inner(area);
    frame.render(area, buffer);
    if let Some(error) = &guest.error {
        return Line::styled(error.clone(), WARNING).render(inner, buffer);
    }
    let numbers = |shared: u64, private: u64, unshared: u64| {
        [shared, private, unshared].map(|bytes| Text::from(rounded(bytes)).right_aligned())
    };
    let range = |range: &RangeSample| {
        let name = Text::from(range.range.clone());
        let numbers = numbers(
            range.shared_bytes,
            range.private_bytes,
            range.unshared_bytes,
        );
        Row::new([name].into_iter().chain(numbers))
    };
    let ranges = guest.ranges.iter().map(range);
    let attached = guest.attached.iter().map(|file| {
        let name = Text::from(file.file.clone());
        Row::new(
            [name]
                .into_iter()
                .chain(numbers(file.shared_bytes, file.private_bytes, 0)),
        )
    });
    let titles = ["SHARED", "PRIVATE", "UNSHARED"].map(|name| Text::from(name).right_aligned());
    let header = [Text::from("RANGE")].into_iter().chain(titles);
    let widths = [
        Constraint::Min(20),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let table = Table::new(ranges.chain(attached), widths).header(Row::new(header).bold());
    Widget::render(table, inner, buffer);
}

fn foot_line(view: &View) -> Line<'static> {
    if view.editing {
        return vec![
            Span::styled("filter: ", LABEL),
            Span::from(view.filter.clone()).bold(),
            Span::from("█"),
            Span::from("   Enter keeps it, Esc clears it").dim(),
        ]
        .into();
    }
    let mut spans = Vec::new();
    for (key, what) in [
        ("q", "quit"),
        ("←→", "sort"),
        ("r", "reverse"),
        ("/", "filter"),
        ("↑↓", "choose"),
    ] {
        spans.push(Span::from(format!(" {key} ")).reversed());
        spans.push(format!(" {what}  ").into());
    }
    if !view.filter.is_empty() {
        spans.push(Span::styled(format!("filter: {}", view.filter), WARNING));
    }
    spans.into()
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    use super::*;
    use crate::sample::tests::sample;
    use crate::Sample;

    fn shown(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let frame = |frame: &mut ratatui::Frame<'_>| {
            draw(view, frame.area(), frame.buffer_mut());
        };
        terminal.draw(frame).unwrap();
        text(terminal.backend().buffer())
    }

    fn view(guests: u64) -> View {
        let mut previous = sample(guests);
        previous.time_unix_ms -= 2000;
        for guest in &mut previous.guests {
            guest.process.as_mut().unwrap().cpu_seconds -= 0.5;
        }
        View {
            sample: sample(guests),
            previous: Some(previous),
            interactive: true,
            ..View::default()
        }
    }

    #[test]
    fn everything_has_its_place() {
        let expected = "\
onecopy  2027-01-15 08:00:00 UTC  2 guests
memory    ███████░░░░░░░░░░░░░░░░░░░░░░░ 4.0 GiB of 16.0 GiB used, 12.0 GiB available
pressure  some 1.25 %, full 0.00 % of the last 10 s waited for memory; swap 0 B of 1.0 GiB used
guests    unique 6.0 MiB, QEMU's own 10.0 MiB, shared 8.0 MiB, which saves 8.0 MiB; unshared 8.0 KiB
cached    8.0 MiB of 8.0 MiB of saved systems, 0 B of 0 B of segment spaces

GUEST  SYSTEM STATE      CPU %     MEMORY    ▼UNIQUE     SHARED   UNSHARED        PSS    BALLOON
lx1    LX.2   running     25.0    512 MiB    3.0 MiB    8.0 MiB    4.0 KiB   10.0 MiB          -
lx2    LX.2   running     25.0    512 MiB    3.0 MiB    8.0 MiB    4.0 KiB   10.0 MiB    256 MiB








 lx1: memory by range ────────────────────────────────────────────────────────────────────────────────
RANGE                                                                     SHARED    PRIVATE   UNSHARED
1000-17FF SR                                                             8.0 MiB    4.0 KiB    4.0 KiB
1800-1FFFF EN                                                                0 B    3.0 MiB        0 B
 q  quit   ←→  sort   r  reverse   /  filter   ↑↓  choose
";
        let shown = shown(&view(2), 102, 22);
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_long_list_scrolls_to_the_choice() {
        let mut view = view(40);
        view.sort = Column::Name;
        view.selected = 39;
        let shown = shown(&view, 100, 20);
        assert!(shown.contains("\nlx9 "), "the last by name: {shown}");
        assert!(!shown.contains("\nlx1 "), "{shown}");
        assert!(!shown.contains("RANGE"), "no place for details: {shown}");
    }

    #[test]
    fn silent_guests_are_told_apart_and_their_reason_is_shown() {
        let mut view = view(2);
        let guest = &mut view.sample.guests[1];
        guest.state = "silent".to_owned();
        guest.error = Some("QEMU did not answer within 2000 ms".to_owned());
        (guest.unique_bytes, guest.ranges) = (None, Vec::new());
        view.selected = 1;
        let shown = shown(&view, 100, 30);
        assert!(shown.starts_with("onecopy  2027-01-15 08:00:00 UTC  2 guests, 1 silent\n"));
        assert!(shown.contains("\nlx2    LX.2   silent "), "{shown}");
        assert!(
            shown.contains("\nQEMU did not answer within 2000 ms\n"),
            "{shown}"
        );
    }

    #[test]
    fn no_size_of_the_terminal_is_too_small() {
        for (width, height) in [(1, 1), (10, 3), (30, 8), (500, 2), (20, 60)] {
            shown(&view(3), width, height);
        }
    }

    #[test]
    fn without_guests_and_pressure_that_is_said() {
        let view = View {
            sample: Sample::default(),
            ..View::default()
        };
        let shown = shown(&view, 100, height(&view));
        assert!(shown.contains("No guest runs that was started"), "{shown}");
        assert!(
            shown.contains("pressure  not said by this kernel\n"),
            "{shown}"
        );
        assert!(!shown.contains("quit"), "{shown}");
    }
}
