//! Workflow commands that GitHub shows beside the lines of a change.

use std::fmt::Write as _;

use nd_report::{Diagnostic, Severity};

use super::Places;
use crate::Sources;

/// All of `diagnostics` as workflow commands, one a line: `::error file=…,line=…::message`.
pub fn github_commands(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let places = Places::new(sources);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some(region) = diagnostic
            .labels
            .first()
            .and_then(|label| places.region(label.span))
        {
            properties.push(format!("file={}", property(region.name)));
            properties.push(format!("line={}", region.line));
            // GitHub refuses columns when a place spans lines.
            if region.line == region.end_line {
                properties.push(format!("col={}", region.column));
                properties.push(format!("endLine={}", region.end_line));
                // Its last column is the last character itself.
                let end = region.end_column.saturating_sub(1).max(region.column);
                properties.push(format!("endColumn={end}"));
            } else {
                properties.push(format!("endLine={}", region.end_line));
            }
        }
        properties.push(format!("title={}", property(&diagnostic.code.to_string())));
        let mut message = diagnostic.message.clone();
        for hint in &diagnostic.hints {
            let _ = write!(message, "\nhint: {}", hint.text);
        }
        let _ = writeln!(
            text,
            "::{command} {}::{}",
            properties.join(","),
            data(&message)
        );
    }
    text
}

/// Escapes the message of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
