//! Counts of tests over several runners.

use std::{fmt, ops::AddAssign};

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Ended well.
    pub(crate) passed: u64,
    /// Did not.
    pub(crate) failed: u64,
    /// Said that something they need is missing.
    pub(crate) skipped: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

impl Totals {
    /// One check that passed or failed.
    pub(crate) fn one(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
            skipped: 0,
        }
    }

    /// Reads the output of `cargo test -- --show-output`. A test that says `skipped: REASON`
    /// counts as skipped, not as passed.
    pub(crate) fn from_cargo_test(output: &str) -> Self {
        let mut totals = Self::default();
        let mut said = 0;
        for line in output.lines() {
            if let Some((_, counts)) = line
                .trim_start()
                .strip_prefix("test result: ")
                .and_then(|rest| rest.split_once(". "))
            {
                for count in counts.split(';') {
                    match count.trim().split_once(' ') {
                        Some((n, "passed")) => totals.passed += n.parse().unwrap_or(0),
                        Some((n, "failed")) => totals.failed += n.parse().unwrap_or(0),
                        Some((n, "ignored")) => totals.skipped += n.parse().unwrap_or(0),
                        _ => {}
                    }
                }
            } else if line.starts_with("skipped: ") {
                said += 1;
            }
        }
        // Such a test ends well, and is in its runner's count of passed ones.
        totals.skipped += said;
        totals.passed = totals.passed.saturating_sub(said);
        totals
    }

    /// Reads `tests` of a build's summary: an object with `passed`, `failed` and `skipped`
    /// somewhere in it, or arrays of objects with a `status`.
    pub(crate) fn from_summary(tests: &serde_json::Value) -> Self {
        let mut totals = Self::default();
        match tests {
            serde_json::Value::Object(map) => {
                let count = |key: &str| map.get(key).and_then(serde_json::Value::as_u64);
                if let (Some(passed), Some(failed)) = (count("passed"), count("failed")) {
                    totals.passed = passed;
                    totals.failed = failed;
                    totals.skipped = count("skipped").unwrap_or(0);
                } else if let Some(status) = map.get("status").and_then(serde_json::Value::as_str) {
                    match status {
                        "passed" => totals.passed = 1,
                        "skipped" => totals.skipped = 1,
                        _ => totals.failed = 1,
                    }
                } else {
                    for value in map.values() {
                        totals += Self::from_summary(value);
                    }
                }
            }
            serde_json::Value::Array(list) => {
                for value in list {
                    totals += Self::from_summary(value);
                }
            }
            _ => {}
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    //! Counting must never turn a failure into silence.

    use super::Totals;

    #[test]
    fn counts_several_binaries_and_said_skips() {
        let output = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nskipped: no `skopeo`\n\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let totals = Totals::from_cargo_test(output);
        assert_eq!(totals.to_string(), "4 passed, 1 failed, 2 skipped");
    }
}
