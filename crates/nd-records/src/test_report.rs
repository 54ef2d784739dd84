//! What testing one container under one runtime found.

use serde::{Deserialize, Serialize};

/// Version of [`TestReport`].
const VERSION: u32 = 1;

/// All results of one suite under one runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Version of this form.
    pub version: u32,
    /// Name of the suite: `deploy`, or the recipe's for its `fulltest.yaml`.
    pub suite: String,
    /// What ran the commands: `sandbox`, `apptainer 1.4.5`, or `static` where nothing ran.
    pub runtime: String,
    /// Identity of the tree that was tested, `tree1full:sha256:…`.
    pub tree: String,
    /// Results in the order of the suite.
    pub cases: Vec<TestCase>,
    /// Whether the results were taken from an earlier run of the same suite on the same tree.
    #[serde(default)]
    pub cached: bool,
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestCase {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub status: TestStatus,
    /// Why, for people; `OK` when passed.
    pub message: String,
    /// Seconds it took.
    pub seconds: f64,
    /// End of its standard output, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// End of its standard error, as text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestStatus {
    /// As expected.
    Passed,
    /// Ran, and something was not as expected.
    Failed,
    /// Did not run, for a reason given.
    Skipped,
    /// Could not be run.
    Error,
    /// Was ended because it took too long.
    Timeout,
}

impl TestReport {
    /// An empty report.
    pub fn new(
        suite: impl Into<String>,
        runtime: impl Into<String>,
        tree: impl Into<String>,
    ) -> Self {
        Self {
            version: VERSION,
            suite: suite.into(),
            runtime: runtime.into(),
            tree: tree.into(),
            cases: Vec::new(),
            cached: false,
        }
    }

    /// How many tests ended so.
    pub fn count(&self, status: TestStatus) -> usize {
        self.cases
            .iter()
            .filter(|case| case.status == status)
            .count()
    }

    /// How many tests ended neither passed nor skipped.
    pub fn failures(&self) -> usize {
        self.cases.len() - self.count(TestStatus::Passed) - self.count(TestStatus::Skipped)
    }

    /// The report as a JUnit `<testsuite>` element, the form that CI systems read.
    pub fn junit(&self) -> String {
        use std::fmt::Write;

        let mut out = String::new();
        let seconds: f64 = self.cases.iter().map(|case| case.seconds).sum();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
            xml(&format!("{} ({})", self.suite, self.runtime)),
            self.cases.len(),
            self.count(TestStatus::Failed) + self.count(TestStatus::Timeout),
            self.count(TestStatus::Error),
            self.count(TestStatus::Skipped),
        );
        for case in &self.cases {
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                xml(&self.suite),
                xml(&case.name),
                case.seconds
            );
            let message = xml(&case.message);
            let inner = match case.status {
                TestStatus::Passed => String::new(),
                TestStatus::Failed | TestStatus::Timeout => {
                    format!("      <failure message=\"{message}\"/>\n")
                }
                TestStatus::Error => format!("      <error message=\"{message}\"/>\n"),
                TestStatus::Skipped => format!("      <skipped message=\"{message}\"/>\n"),
            };
            let stream = |name: &str, text: &str| {
                if text.is_empty() {
                    String::new()
                } else {
                    format!("      <{name}>{}</{name}>\n", xml(text))
                }
            };
            let body =
                inner + &stream("system-out", &case.stdout) + &stream("system-err", &case.stderr);
            if body.is_empty() {
                out.push_str("/>\n");
            } else {
                let _ = write!(out, ">\n{body}    </testcase>\n");
            }
        }
        out.push_str("  </testsuite>\n");
        out
    }
}

/// Escapes text for XML 1.0; characters that XML cannot hold become `\u{FFFD}`.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(c),
            c if c < ' ' || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_escapes_what_tests_print() {
        let mut report = TestReport::new("demo", "sandbox", "tree1full:sha256:0");
        report.cases.push(TestCase {
            name: "a<b>".into(),
            status: TestStatus::Failed,
            message: "Expected \"1\" & got 2".into(),
            seconds: 0.25,
            stdout: "]]>\u{1b}[0m".into(),
            stderr: String::new(),
        });
        let text = report.junit();
        assert!(text.contains("name=\"a&lt;b&gt;\""), "{text}");
        assert!(text.contains("&quot;1&quot; &amp; got 2"), "{text}");
        assert!(text.contains("]]&gt;\u{FFFD}[0m"), "{text}");
        assert!(text.contains("failures=\"1\""), "{text}");
    }
}
