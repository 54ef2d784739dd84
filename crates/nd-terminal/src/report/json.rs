//! Our own document, version 1.

use nd_report::{Diagnostic, Span};
use serde_json::{Value, json};

use super::{Counts, Places, ToolInfo};
use crate::Sources;

/// All of `diagnostics` as one JSON object.
///
/// `{"schema_version": 1, "tool": {name, version}, "summary": {files, errors, warnings, notes},
/// "diagnostics": [{code, name, severity, message, page, labels: [{text, place}], hints: [{text,
/// fix: null or {safe, replacement, place}}]}]}`, where a place is `{file, line, column, end_line,
/// end_column, start, end}`: lines and columns count from 1 in code points, `end_column` is one
/// past the last character, `start` and `end` are byte offsets. The first label is the main place;
/// there is none when a problem has no place.
pub fn json_report(diagnostics: &[Diagnostic], sources: &Sources, tool: &ToolInfo<'_>) -> Value {
    let places = Places::new(sources);
    let counts = Counts::of(diagnostics);
    let found: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| one(diagnostic, &places, tool))
        .collect();
    json!({
        "schema_version": 1,
        "tool": {"name": tool.name, "version": tool.version},
        "summary": {
            "files": sources.files().count(),
            "errors": counts.errors,
            "warnings": counts.warnings,
            "notes": counts.notes,
        },
        "diagnostics": found,
    })
}

fn one(diagnostic: &Diagnostic, places: &Places<'_>, tool: &ToolInfo<'_>) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| json!({"text": label.text, "place": place(label.span, places)}))
        .collect();
    let hints: Vec<Value> = diagnostic
        .hints
        .iter()
        .map(|hint| {
            let fix = hint.fix.as_ref().map(|fix| {
                json!({
                    "safe": fix.safe,
                    "replacement": fix.replacement,
                    "place": place(fix.span, places),
                })
            });
            json!({"text": hint.text, "fix": fix})
        })
        .collect();
    json!({
        "code": diagnostic.code.id(),
        "name": diagnostic.code.name,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "page": format!("{}{}", tool.pages, diagnostic.code.page()),
        "labels": labels,
        "hints": hints,
    })
}

fn place(span: Span, places: &Places<'_>) -> Value {
    places.region(span).map_or(Value::Null, |region| {
        json!({
            "file": region.name,
            "line": region.line,
            "column": region.column,
            "end_line": region.end_line,
            "end_column": region.end_column,
            "start": span.start,
            "end": span.end,
        })
    })
}
