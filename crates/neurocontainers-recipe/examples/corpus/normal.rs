//! Instructions of a Dockerfile in a form that can be compared.

use serde_json::{Value, json};

/// Where the saved specification begins.
const SPECIFICATION: &str = "# Save specification to JSON.";

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// The instructions as a list of `{op, value}`: without comments and the saved specification,
/// continued lines joined, runs of white space collapsed.
pub(crate) fn instructions(dockerfile: &str) -> Value {
    let lines: Vec<&str> = dockerfile.split('\n').collect();
    let end = lines
        .iter()
        .rposition(|line| *line == SPECIFICATION)
        .unwrap_or(lines.len());
    let mut found = Vec::new();
    let mut text = String::new();
    for line in &lines[..end] {
        let bare = line.trim_matches(is_blank);
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if let Some(start) = line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
            text.push_str(start);
        } else {
            text.push_str(line);
            found.push(instruction(&std::mem::take(&mut text)));
        }
    }
    if !text.is_empty() {
        found.push(instruction(&text));
    }
    Value::Array(found)
}

fn instruction(text: &str) -> Value {
    let words = text
        .split(|c| is_blank(c) || c == '\n')
        .filter(|word| !word.is_empty());
    let text = words.collect::<Vec<_>>().join(" ");
    let (op, value) = text.split_once(' ').unwrap_or((&text, ""));
    json!({ "op": op.to_uppercase(), "value": value })
}
