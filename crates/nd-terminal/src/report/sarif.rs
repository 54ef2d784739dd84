//! SARIF 2.1.0, the format of code scanning services.

use nd_report::{Code, Diagnostic, Explanation, Fix, Severity, Span};
use serde_json::{Value, json};

use super::{Places, Region, ToolInfo};
use crate::Sources;

/// All of `diagnostics` as a SARIF log of one run. `explanations` describe the rules; a code
/// without one is listed by its name alone.
pub fn sarif_report(
    diagnostics: &[Diagnostic],
    sources: &Sources,
    tool: &ToolInfo<'_>,
    explanations: &[Explanation],
) -> Value {
    let places = Places::new(sources);
    let mut codes: Vec<Code> = diagnostics.iter().map(|found| found.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes
        .iter()
        .map(|code| rule(*code, tool, explanations))
        .collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|found| result(found, &codes, &places))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": tool.name,
                "semanticVersion": tool.version,
                "informationUri": tool.home,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code, tool: &ToolInfo<'_>, explanations: &[Explanation]) -> Value {
    let page = format!("{}{}", tool.pages, code.page());
    let mut rule = json!({
        "id": code.id(),
        "name": code.name,
        "helpUri": page,
    });
    if let Some(words) = explanations.iter().find(|words| words.code == code) {
        rule["shortDescription"] = json!({"text": words.summary});
        rule["fullDescription"] = json!({"text": words.details});
        rule["help"] = json!({"text": words.details, "markdown": words.details});
    }
    rule
}

fn result(found: &Diagnostic, codes: &[Code], places: &Places<'_>) -> Value {
    let mut message = found.message.clone();
    for hint in &found.hints {
        message.push_str("\nhint: ");
        message.push_str(&hint.text);
    }
    let mut labels = found.labels.iter();
    let main: Vec<Value> = labels
        .next()
        .and_then(|label| location(label.span, "", places))
        .into_iter()
        .collect();
    let related: Vec<Value> = labels
        .filter_map(|label| location(label.span, &label.text, places))
        .collect();
    let fixes: Vec<Value> = found
        .hints
        .iter()
        .filter_map(|hint| fix(&hint.text, hint.fix.as_ref()?, places))
        .collect();
    let mut result = json!({
        "ruleId": found.code.id(),
        "ruleIndex": codes.binary_search(&found.code).unwrap_or_default(),
        "level": match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": {"text": message},
        "locations": main,
    });
    if !related.is_empty() {
        result["relatedLocations"] = Value::Array(related);
    }
    if !fixes.is_empty() {
        result["fixes"] = Value::Array(fixes);
    }
    result
}

fn location(span: Span, text: &str, places: &Places<'_>) -> Option<Value> {
    let region = places.region(span)?;
    let mut location = json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(region.name)},
        "region": region_value(region),
    }});
    if !text.is_empty() {
        location["message"] = json!({"text": text});
    }
    Some(location)
}

fn fix(text: &str, fix: &Fix, places: &Places<'_>) -> Option<Value> {
    let region = places.region(fix.span)?;
    Some(json!({
        "description": {"text": text},
        "artifactChanges": [{
            "artifactLocation": {"uri": uri(region.name)},
            "replacements": [{
                "deletedRegion": region_value(region),
                "insertedContent": {"text": fix.replacement},
            }],
        }],
    }))
}

fn region_value(region: Region<'_>) -> Value {
    json!({
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    })
}

/// The name of a file as a relative reference: what a URI does not allow is percent-encoded.
fn uri(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
