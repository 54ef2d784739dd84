//! Values as Python prints them, where the engine prints them differently.

use minijinja::{
    Error, Output, State, escape_formatter,
    value::{Value, ValueKind},
};
use nd_report::float_repr;

/// Deepest value that is looked through.
const DEEPEST: usize = 50;

/// Writes a value into the output: as the engine does, but for floats, alone or in collections.
pub(crate) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if differs(value, 0) {
        return out.write_str(&text(value)).map_err(Error::from);
    }
    escape_formatter(out, state, value)
}

/// What Python's `str` gives.
pub(crate) fn text(value: &Value) -> String {
    if !differs(value, 0) {
        return value.to_string();
    }
    let mut out = String::new();
    write_repr(value, 0, &mut out);
    out
}

/// Whether the engine prints the value in another way than Python.
fn differs(value: &Value, depth: usize) -> bool {
    match value.kind() {
        ValueKind::Number => !value.is_integer(),
        ValueKind::Undefined => depth > 0,
        // Iterators are not looked into: that would use them up.
        ValueKind::Seq | ValueKind::Map if depth < DEEPEST => value.try_iter().is_ok_and(|items| {
            let map = value.kind() == ValueKind::Map;
            items.into_iter().any(|item| {
                differs(&item, depth + 1)
                    || (map
                        && value
                            .get_item(&item)
                            .is_ok_and(|item| differs(&item, depth + 1)))
            })
        }),
        _ => false,
    }
}

fn write_repr(value: &Value, depth: usize, out: &mut String) {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Number if !value.is_integer() => {
            let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
            out.push_str(&float_repr(number));
        }
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Seq if depth < DEEPEST => {
            let (open, close) = if value.is_tuple() {
                ('(', ')')
            } else {
                ('[', ']')
            };
            out.push(open);
            let mut count = 0;
            for item in items() {
                out.push_str(if count > 0 { ", " } else { "" });
                write_repr(&item, depth + 1, out);
                count += 1;
            }
            if value.is_tuple() && count == 1 {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map if depth < DEEPEST => {
            out.push('{');
            for (index, key) in items().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(&key, depth + 1, out);
                out.push_str(": ");
                write_repr(&value.get_item(&key).unwrap_or_default(), depth + 1, out);
            }
            out.push('}');
        }
        _ => {
            // The engine shows items of lists as Python's `repr` does.
            let list = Value::from(vec![value.clone()]).to_string();
            out.push_str(&list[1..list.len() - 1]);
        }
    }
}
