//! Values as Python prints them: `str()` and `repr()`.

use std::fmt::Write as _;

use nd_report::float_repr;

use crate::node::{DateTime, Node, Value};

/// `str(value)`: text as it is, everything else as [`python_repr`] but for dates.
pub fn python_str(value: &Value) -> String {
    match value {
        Value::Str(text) => text.clone(),
        Value::Date(date) => format!("{:04}-{:02}-{:02}", date.year, date.month, date.day),
        Value::DateTime(time) => date_time_str(time),
        _ => python_repr(value),
    }
}

/// `repr(value)`; a set is printed in the order written.
pub fn python_repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(value) => _ = write!(out, "{value}"),
        Value::BigInt(text) => out.push_str(text),
        Value::Float(value) => out.push_str(&float_repr(*value)),
        Value::Str(text) => write_str_repr(text, out),
        Value::Date(date) => {
            _ = write!(
                out,
                "datetime.date({}, {}, {})",
                date.year, date.month, date.day
            );
        }
        Value::DateTime(time) => write_date_time_repr(time, out),
        Value::Bytes(bytes) => write_bytes_repr(bytes, out),
        Value::Seq(items) => {
            write_list(items.iter(), ('[', ']'), out, |item, out| {
                write_repr(&item.value, out);
            });
        }
        Value::Set(map) if map.is_empty() => out.push_str("set()"),
        Value::Set(map) => {
            let keys = map.entries.iter().map(|entry| &entry.key);
            write_list(keys, ('{', '}'), out, |key: &Node, out| {
                write_repr(&key.value, out);
            });
        }
        Value::Map(map) => write_list(map.entries.iter(), ('{', '}'), out, |entry, out| {
            write_repr(&entry.key.value, out);
            out.push_str(": ");
            write_repr(&entry.value.value, out);
        }),
        Value::Pairs(pairs) => write_list(pairs.iter(), ('[', ']'), out, |entry, out| {
            out.push('(');
            write_repr(&entry.key.value, out);
            out.push_str(", ");
            write_repr(&entry.value.value, out);
            out.push(')');
        }),
    }
}

fn write_list<'a, T: 'a>(
    items: impl Iterator<Item = &'a T>,
    (open, close): (char, char),
    out: &mut String,
    write: impl Fn(&'a T, &mut String),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(item, out);
    }
    out.push(close);
}

fn date_time_str(time: &DateTime) -> String {
    let date = time.date;
    let mut out = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year, date.month, date.day, time.hour, time.minute, time.second
    );
    if time.microsecond != 0 {
        _ = write!(out, ".{:06}", time.microsecond);
    }
    if let Some(offset) = time.offset {
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.abs();
        _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
    out
}

fn write_date_time_repr(time: &DateTime, out: &mut String) {
    let date = time.date;
    _ = write!(
        out,
        "datetime.datetime({}, {}, {}, {}, {}",
        date.year, date.month, date.day, time.hour, time.minute
    );
    if time.second != 0 || time.microsecond != 0 {
        _ = write!(out, ", {}", time.second);
    }
    if time.microsecond != 0 {
        _ = write!(out, ", {}", time.microsecond);
    }
    match time.offset {
        None => {}
        Some(0) => out.push_str(", tzinfo=datetime.timezone.utc"),
        Some(offset) => {
            out.push_str(", tzinfo=datetime.timezone(datetime.timedelta(");
            let seconds = i32::from(offset) * 60;
            if seconds < 0 {
                _ = write!(out, "days=-1, seconds={}", seconds + 24 * 60 * 60);
            } else {
                _ = write!(out, "seconds={seconds}");
            }
            out.push_str("))");
        }
    }
    out.push(')');
}

fn write_bytes_repr(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(*byte) == quote => {
                out.push('\\');
                out.push(quote);
            }
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out.push(quote);
}

fn write_str_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(quote);
            }
            ' '..='~' => out.push(c),
            _ if is_printable(c) => out.push(c),
            _ => {
                let code = u32::from(c);
                _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Python's `isprintable` for assigned characters beyond ASCII: no controls, formats,
/// separators or private characters.
fn is_printable(c: char) -> bool {
    !matches!(
        u32::from(c),
        0..=0x1f
            | 0x7f..=0xa0
            | 0xad
            | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x1680
            | 0x180e
            | 0x2000..=0x200f
            | 0x2028..=0x202f
            | 0x205f..=0x206f
            | 0x3000
            | 0xe000..=0xf8ff
            | 0xfeff
            | 0xfff0..=0xfffb
            | 0xfffe..=0xffff
            | 0xe0000..=0xe0fff
            | 0xf0000..=0x10_ffff
    )
}
