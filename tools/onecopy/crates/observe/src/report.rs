// SPDX-License-Identifier: GPL-2.0

//! A history as one HTML file that needs nothing else: tables and plots in SVG.

mod html;
mod plot;
mod series;

pub use self::plot::PlotError;
use crate::History;

/// Writes the report of a history.
///
/// # Errors
///
/// When a plot cannot be drawn.
pub fn report(history: &History) -> Result<String, PlotError> {
    let mut page = html::Page::new(history);
    page.plot(
        "Memory by number of guests",
        "What guests and their QEMUs take together, and what they would take if each had for itself \
         what they share. The median of all samples with that number of guests.",
        plot::by_guests(&series::by_guests(&history.samples))?,
        "No guest has run yet.",
    );
    page.plot(
        "Memory over time",
        "What exists only because of one guest, what all share, and what the QEMUs have for themselves.",
        plot::over_time(&series::over_time(&history.samples))?,
        "That needs more than one moment: record some with onecopy top --record FILE, and give --from FILE.",
    );
    page.plot(
        "Sharing by range",
        "The last sample, all guests of a saved system together. Unshared pages were shared when the \
         guest started, and its kernel has written to them since.",
        plot::by_range(&series::by_range(history.samples.last()))?,
        "No guest runs.",
    );
    page.plot(
        "SHRINK",
        "What guests were told to give up, of the five that were told most. Dots: what their balloons hold.",
        plot::shrinks(&series::shrinks(history))?,
        "No guest was told to give up memory, or --shrinks FILE was not given.",
    );
    page.guests(history.samples.last());
    page.files(history.samples.last());
    Ok(page.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::sample;
    use crate::Shrink;

    /// Makes what a day could have been: guests come, one is told to shrink.
    fn history() -> History {
        let mut history = History::default();
        for step in 0..30_u64 {
            let mut sample = sample(step / 3 + 1);
            sample.time_unix_ms += step * 60_000;
            history.samples.push(sample);
        }
        for (step, bytes) in [(5, 64 << 20), (12, 256 << 20), (22, 0)] {
            history.shrinks.push(Shrink {
                time_unix_ms: history.samples[step].time_unix_ms,
                guest: "lx1 <b>".to_owned(),
                bytes,
            });
        }
        history
    }

    #[test]
    fn a_report_needs_nothing_else_and_is_well_formed() {
        let html = report(&history()).unwrap();
        for foreign in ["src=", "href=", "url(", "@import", "<script"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        // Names of elements that are open; those without an end are closed in place.
        let mut open: Vec<&str> = Vec::new();
        let body = html.strip_prefix("<!DOCTYPE html>\n").unwrap();
        for tag in body.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') && !tag.starts_with("meta ") {
                open.push(tag.split_whitespace().next().unwrap());
            }
        }
        assert_eq!(open, [""; 0]);
        assert_eq!(html.matches("<svg ").count(), 4);
        assert!(html.contains("lx1 &lt;b&gt;") && !html.contains("<b>"));
    }

    #[test]
    fn what_there_is_nothing_of_is_said_in_words() {
        for (history, plots) in [
            (History::default(), 0),
            (
                History {
                    samples: vec![sample(2)],
                    ..History::default()
                },
                2,
            ),
        ] {
            let html = report(&history).unwrap();
            assert_eq!(html.matches("<svg ").count(), plots);
            assert!(html.contains("give --from FILE"));
            assert!(html.contains("--shrinks FILE was not given"));
        }
    }
}
