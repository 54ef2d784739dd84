//! Filters whose Jinja2 behaviour the engine's own lack.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands keyword arguments to filters by value"
)]

use std::fmt::Write as _;

use minijinja::{
    Error, ErrorKind,
    value::{Kwargs, Value, ValueKind},
};

/// `int(default=0, base=10)`: what Python's `int` takes, else what its `float` takes, else the
/// default.
pub(crate) fn int(
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    named: Kwargs,
) -> Result<Value, Error> {
    let default = match default {
        None if named.has("default") => named.get("default")?,
        given => given,
    };
    let base = match base {
        None if named.has("base") => named.get("base")?,
        given => given,
    };
    named.assert_all_used()?;
    strict(value)?;
    let found = match value.kind() {
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncated),
        ValueKind::String => value.as_str().and_then(|text| {
            text_int(text, base.unwrap_or(10)).or_else(|| text_float(text).and_then(truncated))
        }),
        _ => None,
    };
    Ok(found.unwrap_or_else(|| default.unwrap_or_else(|| 0.into())))
}

/// `float(default=0.0)`.
pub(crate) fn float(value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = match default {
        None if named.has("default") => named.get("default")?,
        given => given,
    };
    named.assert_all_used()?;
    strict(value)?;
    let found = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::String => value.as_str().and_then(text_float),
        _ => None,
    };
    Ok(match found {
        Some(number) => number.into(),
        None => default.unwrap_or_else(|| 0.0.into()),
    })
}

/// Both raise for undefined values in either mode.
fn strict(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    Ok(())
}

fn truncated(number: f64) -> Option<Value> {
    let whole = number.trunc();
    (whole.is_finite() && whole.abs() < 1e38).then(|| {
        let whole = whole as i128;
        i64::try_from(whole).map_or_else(|_| Value::from(whole), Value::from)
    })
}

fn text_int(text: &str, base: u32) -> Option<Value> {
    let text = text.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        3..=7 | 9..=15 | 17..=36 => "",
        _ => return None,
    };
    let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if misplaced || digits.is_empty() {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(&digits, base).ok()?;
    let value = if negative { -value } else { value };
    Some(i64::try_from(value).map_or_else(|_| Value::from(value), Value::from))
}

fn text_float(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// `tojson(indent=None)`: sorted keys, ASCII alone, characters of HTML escaped.
pub(crate) fn to_json(value: &Value, indent: Option<usize>, named: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        None if named.has("indent") => named.get("indent")?,
        given => given,
    };
    named.assert_all_used()?;
    strict(value)?;
    let mut out = String::new();
    write_json(value, indent.map(|width: usize| width.min(16)), 0, &mut out)?;
    Ok(Value::from_safe_string(out))
}

fn write_json(
    value: &Value,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    if depth > 100 {
        return Err(Error::new(
            ErrorKind::BadSerialization,
            "value is nested too deep",
        ));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => _ = write!(out, "{value}"),
        ValueKind::Number => out.push_str(&match f64::try_from(value.clone())? {
            number if number.is_nan() => "NaN".to_owned(),
            number if number.is_infinite() => if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }
            .to_owned(),
            number => nd_report::float_repr(number),
        }),
        ValueKind::String => write_json_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            let items = keys.into_iter().map(|key| {
                let item = value.get_item(&key)?;
                Ok((Some(key), item))
            });
            write_json_items(('{', '}'), items, indent, depth, out)?;
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| Ok((None, item)));
            write_json_items(('[', ']'), items, indent, depth, out)?;
        }
        kind => {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                format!("{kind} is not JSON serializable"),
            ));
        }
    }
    Ok(())
}

fn write_json_items(
    (open, close): (char, char),
    items: impl Iterator<Item = Result<(Option<Value>, Value), Error>>,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    out.push(open);
    let mut count = 0;
    for item in items {
        let (key, item) = item?;
        if count > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        count += 1;
        line(out, depth + 1);
        if let Some(key) = key {
            if let Some(text) = key.as_str() {
                write_json_text(text, out);
            } else {
                out.push('"');
                write_json(&key, None, depth + 1, out)?;
                out.push('"');
            }
            out.push_str(": ");
        }
        write_json(&item, indent, depth + 1, out)?;
    }
    if count > 0 {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

/// Text of JSON that may stand in HTML.
fn write_json_text(text: &str, out: &mut String) {
    let mut json = String::new();
    nd_report::write_ascii_json(text, &mut json);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\'' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            _ => out.push(c),
        }
    }
}

/// `default(value='', boolean=false)`.
pub(crate) fn default(
    value: &Value,
    other: Option<Value>,
    boolean: Option<bool>,
    named: Kwargs,
) -> Result<Value, Error> {
    let other = match other {
        None if named.has("default_value") => named.get("default_value")?,
        given => given,
    };
    let boolean = match boolean {
        None if named.has("boolean") => named.get("boolean")?,
        given => given,
    };
    named.assert_all_used()?;
    if value.is_undefined() || (boolean == Some(true) && !value.is_true()) {
        return Ok(other.unwrap_or_else(|| "".into()));
    }
    Ok(value.clone())
}

/// `center(width=80)`.
pub(crate) fn center(text: &str, width: Option<usize>) -> Result<String, Error> {
    crate::methods::justify(text, "center", width.unwrap_or(80).min(10_000), " ")
}

/// `wordcount`.
pub(crate) fn word_count(text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .count()
}

/// `truncate(length=255, killwords=false, end='...', leeway=5)`.
pub(crate) fn truncate(
    text: &str,
    length: Option<usize>,
    kill_words: Option<bool>,
    end: Option<&str>,
    named: Kwargs,
) -> Result<String, Error> {
    let length = match length {
        None if named.has("length") => named.get("length")?,
        given => given.unwrap_or(255),
    };
    let kill_words = match kill_words {
        None if named.has("killwords") => named.get("killwords")?,
        given => given.unwrap_or(false),
    };
    let end: String = match end {
        None if named.has("end") => named.get("end")?,
        given => given.unwrap_or("...").to_owned(),
    };
    let leeway = if named.has("leeway") {
        named.get("leeway")?
    } else {
        5_usize
    };
    named.assert_all_used()?;
    let end_length = end.chars().count();
    if length < end_length {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "length must not be less than that of the end",
        ));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept: String = text.chars().take(length - end_length).collect();
    let kept = if kill_words {
        kept.as_str()
    } else {
        kept.rsplit_once(' ')
            .map_or(kept.as_str(), |(before, _)| before)
    };
    Ok(format!("{kept}{end}"))
}

/// `urlencode` of text: everything but letters, digits, `-._~` and `/` is escaped.
pub(crate) fn url_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

/// `escape`: the five characters of HTML, once.
pub(crate) fn escape(value: &Value) -> Result<Value, Error> {
    strict(value)?;
    if value.is_safe() {
        return Ok(value.clone());
    }
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

/// `striptags`: comments and tags go, white space becomes single spaces, entities characters.
pub(crate) fn strip_tags(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with("<!--") {
            rest.find("-->").map(|end| end + 3)
        } else {
            rest.find('>').map(|end| end + 1)
        };
        let Some(end) = end else {
            break;
        };
        rest = &rest[end..];
    }
    kept.push_str(rest);
    let words: Vec<&str> = kept.split_whitespace().collect();
    words
        .join(" ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}
