//! JSON as Python's `json.dumps` writes it, in one line.

use nd_report::{float_repr, write_ascii_json};
use serde_json::Value;

/// One line: `", "` and `": "` between items, ASCII alone.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_ascii_json(key, out);
                out.push_str(": ");
                write(item, out);
            }
            out.push('}');
        }
        Value::String(text) => write_ascii_json(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// A value as Python's `str` gives it.
pub(crate) fn python_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => python_repr(other),
    }
}

fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => float_repr(float),
            None => number.to_string(),
        },
        Value::String(text) => nd_yaml::python_repr(&nd_yaml::Value::Str(text.clone())),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(python_repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, item)| {
                    let key = python_repr(&Value::from(key.as_str()));
                    format!("{key}: {}", python_repr(item))
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}
