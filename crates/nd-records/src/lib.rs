//! JSON documents that two crates share, each with its version.
//!
//! Only forms and their rules live here; who writes and reads them, and where, is decided
//! elsewhere.

mod release;
mod summary;
mod test_report;

pub use release::{ReleaseApp, ReleaseRecord, ascii_json};
pub use summary::{BuildSummary, OutputFile, StepSummary, TestSummary};
pub use test_report::{TestCase, TestReport, TestStatus};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
