// SPDX-License-Identifier: GPL-2.0

//! What a console has said, and how far it has been read.

/// How much is kept; older text is dropped, so that a guest may run for months.
const CAPACITY_BYTES: usize = 4 << 20;

/// Console output with a position: a search finds each text only once, in order.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    bytes: Vec<u8>,
    position: usize,
}

impl Transcript {
    /// Adds output.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() > 2 * CAPACITY_BYTES {
            let surplus = self.bytes.len() - CAPACITY_BYTES;
            self.bytes.drain(..surplus);
            self.position = self.position.saturating_sub(surplus);
        }
    }

    /// Finds the first of `patterns` that appears after the position and moves behind it.
    ///
    /// Returns the index of the pattern and the line that holds it, as far as it has arrived.
    pub(super) fn take_match(&mut self, patterns: &[&str]) -> Option<(usize, String)> {
        let (index, start) = self.first_match(patterns)?;
        let end = start + patterns.get(index)?.len();
        let line = self.line_around(start, self.line_end(end).unwrap_or(self.bytes.len()));
        self.position = end;
        Some((index, line))
    }

    /// Like [`Self::take_match`], but waits for the end of the line and moves behind it.
    pub(super) fn take_line(&mut self, patterns: &[&str]) -> Option<(usize, String)> {
        let (index, start) = self.first_match(patterns)?;
        let end = self.line_end(start + patterns.get(index)?.len())?;
        let line = self.line_around(start, end);
        self.position = end + 1;
        Some((index, line))
    }

    /// Returns everything that is kept.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).replace('\r', "")
    }

    /// Returns the last `count` lines, for people: a guest must not move the cursor of the host's terminal.
    pub(super) fn tail(&self, count: usize) -> String {
        let text = printable(&self.text());
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(count)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn first_match(&self, patterns: &[&str]) -> Option<(usize, usize)> {
        let rest = self.bytes.get(self.position..)?;
        patterns
            .iter()
            .enumerate()
            .filter_map(|(index, pattern)| {
                find(rest, pattern.as_bytes()).map(|at| (index, self.position + at))
            })
            .min_by_key(|&(_, start)| start)
    }

    fn line_end(&self, from: usize) -> Option<usize> {
        self.bytes
            .get(from..)?
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|at| from + at)
    }

    fn line_around(&self, start: usize, end: usize) -> String {
        let before = self.bytes.get(..start).unwrap_or_default();
        let begin = before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let line = self.bytes.get(begin..end).unwrap_or_default();
        printable(String::from_utf8_lossy(line).trim_end_matches('\r'))
    }
}

/// Replaces control characters, so that a terminal shows the text and obeys nothing in it.
pub(crate) fn printable(text: &str) -> String {
    text.replace(
        |character: char| character.is_control() && !matches!(character, '\n' | '\t'),
        "\u{fffd}",
    )
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(text: &str) -> Transcript {
        let mut transcript = Transcript::default();
        transcript.push(text.as_bytes());
        transcript
    }

    #[test]
    fn a_text_is_found_once_and_in_order() {
        let mut console = transcript("one ok\r\ntwo ok\r\n");
        assert_eq!(console.take_match(&["ok"]), Some((0, "one ok".to_owned())));
        assert_eq!(console.take_match(&["ok"]), Some((0, "two ok".to_owned())));
        assert_eq!(console.take_match(&["ok"]), None);
    }

    #[test]
    fn the_earliest_of_several_patterns_wins() {
        let mut console = transcript("panic\nready\n");
        assert_eq!(
            console.take_match(&["ready", "panic"]),
            Some((1, "panic".to_owned()))
        );
    }

    #[test]
    fn a_prompt_matches_before_its_line_ends_and_a_line_does_not() {
        let mut console = transcript("login: ");
        assert_eq!(console.take_line(&["login"]), None);
        assert_eq!(
            console.take_match(&["login"]),
            Some((0, "login: ".to_owned()))
        );
    }

    #[test]
    fn a_line_is_taken_whole() {
        let mut console = transcript("x result: 4 x\nresult: 5");
        assert_eq!(
            console.take_line(&["result"]),
            Some((0, "x result: 4 x".to_owned()))
        );
        assert_eq!(console.take_line(&["result"]), None);
        console.push(b"\n");
        assert_eq!(
            console.take_line(&["result"]),
            Some((0, "result: 5".to_owned()))
        );
    }

    #[test]
    fn old_text_is_dropped_without_losing_the_position() {
        let mut console = Transcript::default();
        console.push(b"early\n");
        for _ in 0..3 {
            console.push(&vec![b'x'; CAPACITY_BYTES]);
        }
        console.push(b"\nlate\n");
        assert_eq!(console.take_match(&["early"]), None);
        assert_eq!(console.take_line(&["late"]), Some((0, "late".to_owned())));
        assert!(console.bytes.len() <= 2 * CAPACITY_BYTES);
    }

    #[test]
    fn tail_is_the_last_lines() {
        assert_eq!(transcript("a\r\nb\r\nc\r\n").tail(2), "b\nc");
        assert_eq!(transcript("a").tail(9), "a");
    }

    #[test]
    fn words_for_people_hold_nothing_that_a_terminal_obeys() {
        let mut console = transcript("a\r\n\x1b[2J\x1b]0;title\x07b\tc\u{9b}1m\x7f\n");
        let expected = "\u{fffd}[2J\u{fffd}]0;title\u{fffd}b\tc\u{fffd}1m\u{fffd}";
        assert_eq!(console.tail(2), format!("a\n{expected}"));
        assert_eq!(
            console.take_line(&["title"]),
            Some((0, expected.to_owned()))
        );
    }
}
