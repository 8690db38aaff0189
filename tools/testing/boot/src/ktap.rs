// SPDX-License-Identifier: GPL-2.0

//! Results of KUnit, as the kernel says them on its console.
//!
//! The format is KTAP, see `Documentation/dev-tools/ktap.rst` of the kernel: a plan, then results,
//! those of a suite's cases indented by four blanks and followed by that of the suite.

/// How many lines before a failure are shown with it.
const CONTEXT_LINES: usize = 30;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It said why it could not run.
    Skipped,
}

/// A case that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The suite.
    pub suite: String,
    /// The case.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// The lines since the case before.
    pub context: String,
}

/// What all suites of a kernel said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// The cases, in their order.
    pub cases: Vec<Case>,
    /// The suites that have ended, in their order.
    pub suites: Vec<String>,
    /// The suites that failed as a whole although none of their cases did, and those of which not
    /// every case has said how it ended.
    pub broken_suites: Vec<String>,
    /// How many suites the kernel was going to run; `None` if it has said nothing.
    pub planned_suites: Option<usize>,
}

impl Results {
    /// Reads the results from the log of a kernel.
    pub fn parse(log: &str) -> Self {
        let mut parser = Parser::default();
        for line in log.lines() {
            parser.take(without_timestamp(line));
        }
        parser.results
    }

    /// Returns the number of cases that ended so.
    pub fn count(&self, status: Status) -> usize {
        self.cases
            .iter()
            .filter(|case| case.status == status)
            .count()
    }

    /// Returns which of the expected suites did not end, with at least one case that passed.
    ///
    /// An expected name may end with `*`.
    pub fn missing<'a>(&self, expected: &'a [String]) -> Vec<&'a str> {
        let ran = |wanted: &str| {
            self.cases
                .iter()
                .filter(|case| case.status == Status::Passed && self.suites.contains(&case.suite))
                .any(|case| match wanted.strip_suffix('*') {
                    Some(prefix) => case.suite.starts_with(prefix),
                    None => case.suite == wanted,
                })
        };
        expected
            .iter()
            .map(String::as_str)
            .filter(|wanted| !ran(wanted))
            .collect()
    }

    /// Whether all suites ended that the kernel was going to run.
    pub fn is_complete(&self) -> bool {
        self.planned_suites
            .is_some_and(|planned| planned == self.suites.len())
    }
}

#[derive(Default)]
struct Parser {
    results: Results,
    suite: String,
    context: Vec<String>,
    failed_cases: usize,
    ended_cases: usize,
    planned_cases: Option<usize>,
}

impl Parser {
    fn take(&mut self, line: &str) {
        let indented = line.starts_with("    ");
        let text = line.trim();
        if let Some(suite) = text.strip_prefix("# Subtest: ") {
            self.begin(line, suite);
        } else if let Some(result) = TestResult::parse(text) {
            // Deeper lines are parameters of a case, whose own result comes after them.
            if !indented {
                self.end_suite(&result);
            } else if !line.starts_with("        ") {
                self.end_case(&result);
            }
        } else if let Some(plan) = text.strip_prefix("1..") {
            let plan = plan.parse().ok();
            if !indented {
                self.results.planned_suites = plan;
            } else if !line.starts_with("        ") {
                self.planned_cases = plan;
            }
        } else {
            self.context.push(line.to_owned());
        }
    }

    fn begin(&mut self, line: &str, suite: &str) {
        // A case with parameters is a subtest of its own.
        if !line.starts_with("        ") {
            suite.clone_into(&mut self.suite);
            self.failed_cases = 0;
            self.ended_cases = 0;
            self.planned_cases = None;
            self.context.clear();
        }
    }

    fn end_case(&mut self, result: &TestResult<'_>) {
        let skip = self.context.len().saturating_sub(CONTEXT_LINES);
        let context = self
            .context
            .drain(..)
            .skip(skip)
            .collect::<Vec<_>>()
            .join("\n");
        self.failed_cases += usize::from(result.status == Status::Failed);
        self.ended_cases += 1;
        self.results.cases.push(Case {
            suite: self.suite.clone(),
            name: result.name.to_owned(),
            status: result.status,
            context,
        });
    }

    fn end_suite(&mut self, result: &TestResult<'_>) {
        self.results.suites.push(result.name.to_owned());
        let failed_alone = result.status == Status::Failed && self.failed_cases == 0;
        let lost_cases = self
            .planned_cases
            .is_some_and(|planned| planned != self.ended_cases);
        if failed_alone || lost_cases {
            self.results.broken_suites.push(result.name.to_owned());
        }
        self.context.clear();
    }
}

/// A line `ok NUMBER NAME` or `not ok NUMBER NAME`, perhaps with `# SKIP REASON`.
struct TestResult<'a> {
    status: Status,
    name: &'a str,
}

impl<'a> TestResult<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (ok, rest) = match text.strip_prefix("ok ") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("not ok ")?),
        };
        let (number, name) = rest.split_once(' ')?;
        number.parse::<u64>().ok()?;
        let (name, directive) = name.split_once(" # ").unwrap_or((name, ""));
        let status = match (ok, directive.starts_with("SKIP")) {
            (true, true) => Status::Skipped,
            (true, false) => Status::Passed,
            (false, _) => Status::Failed,
        };
        Some(Self {
            status,
            name: name.trim_start_matches("- ").trim(),
        })
    }
}

/// Cuts `[   12.345678] ` and `[    T1] ` from the begin of a line; KTAP's own indentation follows.
fn without_timestamp(line: &str) -> &str {
    let mut rest = line.trim_end_matches('\r');
    while let Some((stamp, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let word = stamp.trim_start();
        let digits = word.trim_start_matches(['T', 'C']);
        let is_stamp = !digits.is_empty()
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !is_stamp {
            break;
        }
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[    1.000000] KTAP version 1
[    1.000001] 1..3
[    1.000002]     KTAP version 1
[    1.000003]     # Subtest: dcss_names
[    1.000004]     # module: dcss
[    1.000005]     1..2
[    1.000006]     ok 1 a_name
[    1.000007]     # b_name: ASSERTION FAILED at drivers/block/dcss/names.rs:90
[    1.000008]     Expected a == b to be true, but is false
[    1.000009]     not ok 2 b_name
[    1.000010] # dcss_names: pass:1 fail:1 skip:0 total:2
[    1.000011] # Totals: pass:1 fail:1 skip:0 total:2
[    1.000012] not ok 1 dcss_names
[    1.000013][    T1]     KTAP version 1
[    1.000014]     # Subtest: rust_doctests_kernel
[    1.000015]     1..2
[    1.000016]         KTAP version 1
[    1.000017]         # Subtest: param_case
[    1.000018]         ok 1 x=1
[    1.000019]     ok 1 param_case
[    1.000020]     ok 2 rust_doctest_kernel_dax_rs_0 # SKIP no device
[    1.000021] ok 2 rust_doctests_kernel
[    1.000022]     # Subtest: init_fails
[    1.000023]     1..1
[    1.000024] not ok 3 init_fails
";

    #[test]
    fn cases_suites_and_context_are_read() {
        let results = Results::parse(LOG);
        let cases: Vec<_> = results
            .cases
            .iter()
            .map(|case| (case.suite.as_str(), case.name.as_str(), case.status))
            .collect();
        assert_eq!(
            cases,
            [
                ("dcss_names", "a_name", Status::Passed),
                ("dcss_names", "b_name", Status::Failed),
                ("rust_doctests_kernel", "param_case", Status::Passed),
                (
                    "rust_doctests_kernel",
                    "rust_doctest_kernel_dax_rs_0",
                    Status::Skipped
                ),
            ]
        );
        assert!(results.cases[1].context.contains("ASSERTION FAILED"));
        assert_eq!(
            results.suites,
            ["dcss_names", "rust_doctests_kernel", "init_fails"]
        );
        assert_eq!(results.broken_suites, ["init_fails"]);
        assert!(results.is_complete());
    }

    #[test]
    fn suites_that_did_not_run_are_missed() {
        let expected = ["dcss_names", "dcss_plan", "rust_doctests*", "init_fails"];
        let expected = expected.map(str::to_owned);
        assert_eq!(
            Results::parse(LOG).missing(&expected),
            ["dcss_plan", "init_fails"]
        );
    }

    #[test]
    fn a_case_that_is_not_heard_of_breaks_its_suite() {
        let log = LOG.replace("    ok 1 a_name", "    garbled");
        assert_eq!(
            Results::parse(&log).broken_suites,
            ["dcss_names", "init_fails"]
        );
    }

    #[test]
    fn a_kernel_that_died_on_the_way_is_not_complete() {
        let log: String = LOG
            .lines()
            .take(12)
            .map(|line| format!("{line}\n"))
            .collect();
        let results = Results::parse(&log);
        assert!(!results.is_complete());
        assert_eq!(results.count(Status::Passed), 1);
        assert!(!Results::parse("").is_complete());
    }
}
