//! Diagnostics as documents for other programs.

mod github;
mod json;
mod sarif;

use std::{collections::HashMap, fmt};

use nd_report::{ColumnUnit, Diagnostic, FileId, LineIndex, Severity, Span};

use crate::Sources;

pub use github::github_commands;
pub use json::json_report;
pub use sarif::sarif_report;

/// Who reports.
#[derive(Debug, Clone, Copy)]
pub struct ToolInfo<'a> {
    /// Name of the program.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Where its home is, an absolute URL.
    pub home: &'a str,
    /// Where the pages of codes are, an absolute URL that ends in `/`; what
    /// [`nd_report::Code::page`] says is appended.
    pub pages: &'a str,
}

/// How many diagnostics of each severity there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// What does not work.
    pub errors: usize,
    /// What probably is not meant.
    pub warnings: usize,
    /// What is good to know.
    pub notes: usize,
}

impl Counts {
    /// Counts `diagnostics`.
    pub fn of(diagnostics: &[Diagnostic]) -> Self {
        let mut counts = Self::default();
        for diagnostic in diagnostics {
            match diagnostic.severity {
                Severity::Error => counts.errors += 1,
                Severity::Warning => counts.warnings += 1,
                Severity::Note => counts.notes += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.errors, "error"),
            (self.warnings, "warning"),
            (self.notes, "note"),
        ];
        let words: Vec<String> = words
            .iter()
            .map(|(count, word)| format!("{count} {word}{}", if *count == 1 { "" } else { "s" }))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// Diagnostics with one line each: `FILE:LINE:COLUMN: SEVERITY: MESSAGE [CODE]`.
pub fn short_lines<'d>(
    diagnostics: impl IntoIterator<Item = &'d Diagnostic>,
    sources: &Sources,
) -> String {
    use fmt::Write as _;
    let places = Places::new(sources);
    let mut text = String::new();
    for found in diagnostics {
        let place = found
            .labels
            .first()
            .and_then(|label| places.region(label.span));
        if let Some(region) = place {
            let _ = write!(text, "{}:{}:{}: ", region.name, region.line, region.column);
        }
        let _ = writeln!(
            text,
            "{}: {} [{}]",
            found.severity, found.message, found.code
        );
    }
    text
}

/// A range of a file, counted from 1; `end_column` is one past the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region<'s> {
    name: &'s str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

/// Finds lines and columns; a file is searched for its lines once.
struct Places<'s>(HashMap<FileId, (&'s str, LineIndex<'s>)>);

impl<'s> Places<'s> {
    fn new(sources: &'s Sources) -> Self {
        Self(
            sources
                .files()
                .filter_map(|file| {
                    let index = LineIndex::new(sources.text(file)?);
                    Some((file, (sources.name(file)?, index)))
                })
                .collect(),
        )
    }

    fn region(&self, span: Span) -> Option<Region<'s>> {
        let (name, index) = self.0.get(&span.file)?;
        let start = index.position(span.range().start, ColumnUnit::CodePoints);
        let end = index
            .position(span.range().end, ColumnUnit::CodePoints)
            .max(start);
        Some(Region {
            name,
            line: start.line + 1,
            column: start.column + 1,
            end_line: end.line + 1,
            end_column: end.column + 1,
        })
    }
}
