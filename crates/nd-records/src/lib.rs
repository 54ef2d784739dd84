//! JSON documents that two crates share, each with its version.
//!
//! Only forms and their rules live here; who writes and reads them, and where, is decided
//! elsewhere.

mod summary;
mod test_report;

pub use summary::{BuildSummary, OutputFile, StepSummary, TestSummary};
pub use test_report::{TestCase, TestReport, TestStatus};
