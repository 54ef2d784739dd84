//! Keys as Python compares them.

use crate::node::{Entry, Style, Value};

/// A plain `<<` as key.
pub(crate) fn is_merge(entry: &Entry) -> bool {
    entry.key.style == Style::Plain && entry.key.as_str() == Some("<<")
}

/// A key as Python compares it: 1, 1.0 and true are one key.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Null,
    Number(i64),
    Float(u64),
    Text(String),
    Other(String),
}

impl Key {
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Number(i64::from(*value)),
            Value::Int(value) => Self::Number(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Self::Number(*value as i64)
            }
            Value::Float(value) => Self::Float(value.to_bits()),
            Value::Str(text) => Self::Text(text.clone()),
            other => Self::Other(crate::python_repr(other)),
        }
    }
}

/// Whether Python takes the value as a key.
pub(crate) fn is_hashable(value: &Value) -> bool {
    !matches!(
        value,
        Value::Seq(_) | Value::Map(_) | Value::Set(_) | Value::Pairs(_)
    )
}

pub(crate) fn equal_keys(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Str(one), Value::Str(other)) => one == other,
        (Value::Str(_), _) | (_, Value::Str(_)) => false,
        _ => Key::of(one) == Key::of(other),
    }
}
