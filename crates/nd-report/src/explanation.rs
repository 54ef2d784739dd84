//! What a rule is about, for the page of its code.

use crate::Code;

/// Words about one code; every code that a program can report has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// One line: what is wrong.
    pub summary: &'static str,
    /// Some sentences in Markdown: why it matters, what to do.
    pub details: &'static str,
    /// The smallest text that has the problem; empty when none can be shown.
    pub wrong: &'static str,
    /// The same text without the problem; empty when none can be shown.
    pub right: &'static str,
}

impl Code {
    /// The code as documents name it: `ND0102`.
    pub fn id(self) -> String {
        format!("ND{:04}", self.number)
    }

    /// Path of the code's page below `docs/book/src`.
    pub fn page(self) -> String {
        format!("reference/diagnostics/nd{:04}.md", self.number)
    }
}
