// SPDX-License-Identifier: GPL-2.0

//! Plots in SVG.

use std::collections::BTreeMap;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::chart::ChartContext;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::types::RangedCoordf64;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::drawing::IntoDrawingArea;
use plotters::element::Circle;
use plotters::element::Rectangle;
use plotters::series::AreaSeries;
use plotters::series::LineSeries;
use plotters::style::Color;
use plotters::style::IntoFont;
use plotters::style::RGBColor;
use plotters::style::ShapeStyle;
use plotters::style::TextStyle;

use super::series::AtTime;
use super::series::ByGuests;
use super::series::InRange;
use super::series::Shrunk;
use crate::size::rounded;
use crate::time;

/// Size of a plot, in pixels; the page scales it to its width.
const SIZE: (u32, u32) = (960, 360);

/// Height of the legend, and the distance of its entries, in pixels.
const LEGEND: u32 = 30;
const ENTRY: i32 = 170;

/// Height of one bar with its distance, and of the axis below all, in pixels.
const BAR: u32 = 30;
const AXIS: u32 = LEGEND + 44;

/// Colours that people tell apart who see fewer of them (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const RED: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const GREY: RGBColor = RGBColor(110, 110, 110);
const SERIES: [RGBColor; 5] = [BLUE, RED, GREEN, PURPLE, ORANGE];

/// How many guests are shown: as many as there are colours.
const LINES: usize = SERIES.len();

/// Why a plot cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Cannot draw a plot: {0}")]
pub struct PlotError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Plot = Result<Option<String>, PlotError>;

/// Draws into a text.
fn svg((width, height): (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>) -> Plot {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        draw(&area)?;
        area.present()?;
    }
    // With this it has the width of the page.
    let fixed = format!("width=\"{width}\" height=\"{height}\"");
    Ok(Some(text.replacen(&fixed, "role=\"img\"", 1)))
}

fn font(size: u32) -> TextStyle<'static> {
    ("sans-serif", size)
        .into_font()
        .color(&RGBColor(60, 60, 60))
}

fn filled(colour: RGBColor) -> ShapeStyle {
    colour.filled()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Writes a place on an axis of MiB.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates"
)]
fn mib_label(mib: &f64) -> String {
    rounded((mib * f64::from(1 << 20)) as u64)
}

/// Returns the end of an axis on which the largest value has some room above it.
fn top(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max).max(1.0 / 256.0) * 1.08
}

/// An axis along the lower edge.
struct Axis<'a> {
    from: f64,
    to: f64,
    name: &'a str,
    labels: usize,
    label: &'a dyn Fn(&f64) -> String,
}

/// Draws the axes of a chart of MiB.
fn axes<'a, 'b>(area: &'a Area<'b>, x: &Axis<'_>, y: f64) -> Result<Chart<'a, 'b>, PlotError> {
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_top(2)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(x.from..x.to, 0.0..y)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(x.name)
        .x_labels(x.labels)
        .x_label_formatter(x.label)
        .y_labels(8)
        .y_label_formatter(&mib_label)
        .label_style(font(13))
        .axis_desc_style(font(14))
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    Ok(chart)
}

/// Draws the names of colours above a chart, where they cover nothing, and returns the rest.
fn legend<'a>(area: &Area<'a>, names: &[(&str, RGBColor)]) -> Result<Area<'a>, PlotError> {
    let (above, rest) = area.split_vertically(LEGEND);
    let mut left = 96;
    for (name, colour) in names {
        above.draw(&Rectangle::new(
            [(left, 9), (left + 14, 19)],
            filled(*colour),
        ))?;
        above.draw_text(name, &font(14), (left + 20, 7))?;
        let letters = i32::try_from(name.chars().count()).unwrap_or_default();
        left += ENTRY.max(letters * 8 + 44);
    }
    Ok(rest)
}

/// Draws memory by number of guests.
pub(super) fn by_guests(points: &[ByGuests]) -> Plot {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Ok(None);
    };
    let from = if first.guests == last.guests {
        0.0
    } else {
        first.guests as f64
    };
    let to = last.guests as f64;
    let y = top(points.iter().map(|point| mib(point.alone_bytes)));
    type Value = fn(&ByGuests) -> u64;
    let lines: [(&str, RGBColor, Value); 2] = [
        ("if nothing were shared", GREY, |point| point.alone_bytes),
        ("as it is", BLUE, |point| point.taken_bytes),
    ];
    let room = (to - from).max(1.0) * 0.03;
    let axis = Axis {
        from: from - room,
        to: to + room,
        name: "guests",
        labels: points.len().clamp(2, 12),
        label: &whole,
    };
    svg(SIZE, |area| {
        let area = legend(area, &lines.map(|(name, colour, _)| (name, colour)))?;
        let mut chart = axes(&area, &axis, y)?;
        for (_, colour, value) in lines {
            let all: Vec<_> = points
                .iter()
                .map(|point| (point.guests as f64, mib(value(point))))
                .collect();
            chart.draw_series(LineSeries::new(all.clone(), colour.stroke_width(2)))?;
            let dots = all.into_iter().map(|at| Circle::new(at, 3, filled(colour)));
            chart.draw_series(dots)?;
        }
        Ok(())
    })
}

/// Writes whole numbers only.
fn whole(number: &f64) -> String {
    let nearest = number.round();
    if (number - nearest).abs() < 1e-6 {
        format!("{nearest}")
    } else {
        String::new()
    }
}

/// Draws memory over time, one part above the other.
pub(super) fn over_time(points: &[AtTime]) -> Plot {
    let Some(range) = times(points.iter().map(|point| point.time_unix_ms)) else {
        return Ok(None);
    };
    type Value = fn(&AtTime) -> u64;
    let layers: [(&str, RGBColor, Value); 3] = [
        ("QEMU's own", ORANGE, |point| {
            point.overhead_bytes + point.shared_bytes + point.unique_bytes
        }),
        ("shared by guests", GREEN, |point| {
            point.shared_bytes + point.unique_bytes
        }),
        ("unique to guests", BLUE, |point| point.unique_bytes),
    ];
    let whole = layers.first().map(|layer| layer.2);
    let y = top(points.iter().filter_map(|point| Some(mib(whole?(point)))));
    let first = range.0;
    let axis = Axis {
        from: 0.0,
        to: since(first, range.1),
        name: &format!("time (from {})", time::utc(first)),
        labels: 8,
        label: &|seconds| clock(first, *seconds, range.1),
    };
    svg(SIZE, |area| {
        let area = legend(area, &layers.map(|(name, colour, _)| (name, colour)))?;
        let mut chart = axes(&area, &axis, y)?;
        // The lower ones cover what the upper ones have of them.
        for (_, colour, value) in layers {
            let all = points
                .iter()
                .map(|point| (since(first, point.time_unix_ms), mib(value(point))));
            let series = AreaSeries::new(all, 0.0, mixed(colour));
            chart.draw_series(series.border_style(colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Returns a lighter colour that covers what is behind it.
fn mixed(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let light = |part: u8| part / 2 + 127;
    RGBColor(light(red), light(green), light(blue))
}

/// Returns the first and the last time if there are two.
fn times(all: impl Iterator<Item = u64> + Clone) -> Option<(u64, u64)> {
    let (first, last) = (all.clone().min()?, all.max()?);
    (first < last).then_some((first, last))
}

fn since(first: u64, time_unix_ms: u64) -> f64 {
    time_unix_ms.saturating_sub(first) as f64 / 1e3
}

/// Writes a place on an axis of seconds as a time of day; with the day if there are several.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast of a float saturates"
)]
fn clock(first: u64, seconds: f64, last: u64) -> String {
    let text = time::utc(first.saturating_add((seconds * 1e3) as u64));
    let part = match last.saturating_sub(first) / 1000 {
        0..600 => 11..19,
        600..86_400 => 11..16,
        _ => 5..16,
    };
    text.get(part).unwrap_or_default().to_owned()
}

/// Draws what is shared and what is not in each range, one bar for each.
pub(super) fn by_range(ranges: &[InRange]) -> Plot {
    if ranges.is_empty() {
        return Ok(None);
    }
    let count: u32 = ranges.len().try_into().unwrap_or(u32::MAX);
    let all = ranges
        .iter()
        .map(|range| mib(range.shared_bytes + range.private_bytes + range.unshared_bytes));
    let x = top(all);
    let height = BAR.saturating_mul(count).saturating_add(AXIS);
    svg((SIZE.0, height), |area| {
        let kinds = [
            ("shared, once for all guests", GREEN),
            ("private", BLUE),
            ("unshared", RED),
        ];
        let bars = legend(area, &kinds)?;
        let mut chart = ChartBuilder::on(&bars)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(28)
            .y_label_area_size(8)
            .margin_left(200)
            .build_cartesian_2d(0.0..x, 0.0..f64::from(count))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .max_light_lines(0)
            .y_labels(0)
            .x_labels(8)
            .x_label_formatter(&mib_label)
            .label_style(font(13))
            .bold_line_style(RGBColor(225, 225, 225))
            .draw()?;
        for (index, range) in ranges.iter().enumerate() {
            let middle = f64::from(count) - index as f64 - 0.5;
            let parts = [
                range.shared_bytes,
                range.private_bytes,
                range.unshared_bytes,
            ];
            let mut start = 0.0;
            for (part, (_, colour)) in parts.into_iter().zip(kinds) {
                let end = start + mib(part);
                let corners = [(start, middle - 0.36), (end, middle + 0.36)];
                chart.draw_series([Rectangle::new(corners, filled(colour))])?;
                start = end;
            }
            let (_, y) = chart.backend_coord(&(0.0, middle));
            area.draw_text(&range.name, &font(13), (10, y - 7))?;
        }
        Ok(())
    })
}

/// Draws what guests were told, and what their balloons held.
pub(super) fn shrinks(shrinks: &BTreeMap<String, Shrunk>) -> Plot {
    let points = || {
        shrinks
            .values()
            .flat_map(|one| one.told.iter().chain(&one.held))
    };
    let Some(first) = points().map(|point| point.0).min() else {
        return Ok(None);
    };
    let last = points().map(|point| point.0).max().unwrap_or(first);
    // One moment is a line too.
    let last = last.max(first.saturating_add(1000));
    let y = top(points().map(|point| mib(point.1)));
    let lines: Vec<_> = shrinks
        .iter()
        .take(LINES)
        .zip(SERIES.into_iter().cycle())
        .collect();
    let names: Vec<_> = lines
        .iter()
        .map(|((name, _), colour)| (name.as_str(), *colour))
        .collect();
    let axis = Axis {
        from: 0.0,
        to: since(first, last),
        name: &format!("time (from {})", time::utc(first)),
        labels: 8,
        label: &|seconds| clock(first, *seconds, last),
    };
    svg(SIZE, |area| {
        let area = legend(area, &names)?;
        let mut chart = axes(&area, &axis, y)?;
        for ((_, shrunk), colour) in lines {
            let told = steps(&shrunk.told, last);
            let told = told
                .into_iter()
                .map(|(at, bytes)| (since(first, at), mib(bytes)));
            chart.draw_series(LineSeries::new(told, colour.stroke_width(2)))?;
            let held = shrunk.held.iter();
            chart.draw_series(held.map(|&(at, bytes)| {
                Circle::new((since(first, at), mib(bytes)), 2, filled(colour))
            }))?;
        }
        Ok(())
    })
}

/// Makes steps: what was said holds until something else is said, or to the end.
fn steps(told: &[(u64, u64)], last: u64) -> Vec<(u64, u64)> {
    let mut line = Vec::new();
    let mut before = None;
    for &(at, bytes) in told {
        line.extend(before.map(|before| (at, before)));
        line.push((at, bytes));
        before = Some(bytes);
    }
    line.extend(before.map(|before| (last, before)));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_holds_until_something_else_is_said() {
        assert_eq!(
            steps(&[(10, 5), (20, 7)], 30),
            [(10, 5), (20, 5), (20, 7), (30, 7)]
        );
        assert_eq!(steps(&[], 30), []);
    }

    #[test]
    fn times_on_an_axis_are_as_short_as_they_can_be() {
        let first = 1_800_000_000_000;
        assert_eq!(clock(first, 61.0, first + 300_000), "08:01:01");
        assert_eq!(clock(first, 61.0, first + 3_600_000), "08:01");
        assert_eq!(clock(first, 86_461.0, first + 864_000_000), "01-16 08:01");
    }
}
