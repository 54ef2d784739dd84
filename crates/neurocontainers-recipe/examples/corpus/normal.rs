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

/// The value with cache ids (`h` and eight hex digits) replaced by their order of appearance.
pub(crate) fn cache_ids(value: &Value) -> Value {
    fn text(text: &str, known: &mut Vec<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("/h") {
            let (before, found) = rest.split_at(at + 1);
            out.push_str(before);
            rest = id(found, known, &mut out);
        }
        out.push_str(rest);
        out
    }
    fn id<'t>(found: &'t str, known: &mut Vec<String>, out: &mut String) -> &'t str {
        let digits = found
            .bytes()
            .skip(1)
            .take_while(u8::is_ascii_hexdigit)
            .count();
        if !found.starts_with('h') || digits != 8 {
            out.push_str(&found[..1]);
            return &found[1..];
        }
        let (name, rest) = found.split_at(9);
        let number = known
            .iter()
            .position(|other| other == name)
            .unwrap_or_else(|| {
                known.push(name.to_owned());
                known.len() - 1
            });
        out.push_str(&number.to_string());
        rest
    }
    fn walk(value: &Value, known: &mut Vec<String>) -> Value {
        match value {
            Value::String(value) => Value::String(text(value, known)),
            Value::Array(items) => items.iter().map(|item| walk(item, known)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| {
                    let mut name = String::new();
                    let rest = if key.is_empty() {
                        ""
                    } else {
                        id(key, known, &mut name)
                    };
                    (name + rest, walk(value, known))
                })
                .collect(),
            other => other.clone(),
        }
    }
    walk(value, &mut Vec::new())
}

fn instruction(text: &str) -> Value {
    let words = text
        .split(|c| is_blank(c) || c == '\n')
        .filter(|word| !word.is_empty());
    let text = words.collect::<Vec<_>>().join(" ");
    let (op, value) = text.split_once(' ').unwrap_or((&text, ""));
    json!({ "op": op.to_uppercase(), "value": value })
}
