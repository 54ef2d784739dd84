//! Methods of Python's strings, lists and mappings.

use minijinja::{
    Error, ErrorKind, State,
    value::{Kwargs, Value, ValueKind, from_args},
};

use crate::format;

/// Called by the engine for methods it does not know.
pub(crate) fn call(
    _: &mut State,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => match value.as_str() {
            Some(text) => text_method(text, method, arguments),
            None => Err(ErrorKind::UnknownMethod.into()),
        },
        ValueKind::Map => map_method(value, method, arguments),
        ValueKind::Seq => list_method(value, method, arguments),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn misuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn none(arguments: &[Value]) -> Result<(), Error> {
    from_args::<()>(arguments)
}

/// Argument that may be absent or none.
fn optional_text(value: Option<Value>) -> Result<Option<String>, Error> {
    match value {
        None => Ok(None),
        Some(value) if value.is_none() => Ok(None),
        Some(value) => match value.as_str() {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(misuse(format!("expected text, found {}", value.kind()))),
        },
    }
}

/// One or several alternatives, as `startswith` takes them.
fn alternatives(value: &Value) -> Result<Vec<String>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(vec![text.to_owned()]);
    }
    value
        .try_iter()?
        .map(|item| {
            item.as_str()
                .map(str::to_owned)
                .ok_or_else(|| misuse("expected text"))
        })
        .collect()
}

fn list(items: impl IntoIterator<Item = String>) -> Value {
    items.into_iter().map(Value::from).collect()
}

/// Characters that `str.strip` and `str.split` without argument take.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn text_method(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    Ok(match method {
        "lower" | "casefold" => {
            none(arguments)?;
            text.to_lowercase().into()
        }
        "upper" => {
            none(arguments)?;
            text.to_uppercase().into()
        }
        "capitalize" => {
            none(arguments)?;
            capitalize(text).into()
        }
        "title" => {
            none(arguments)?;
            title(text).into()
        }
        "swapcase" => {
            none(arguments)?;
            swapcase(text).into()
        }
        "strip" | "lstrip" | "rstrip" => strip(text, method, arguments)?,
        "split" | "rsplit" => split(text, method == "rsplit", arguments)?,
        "splitlines" => {
            let keep: Option<bool> = keyword(arguments, "keepends")?;
            list(split_lines(text, keep.unwrap_or(false)))
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            let found = if method == "partition" {
                text.find(separator)
            } else {
                text.rfind(separator)
            };
            partition(text, separator, found, method == "partition")?
        }
        "join" => {
            let (items,): (&Value,) = from_args(arguments)?;
            let mut out = String::new();
            for (index, item) in items.try_iter()?.enumerate() {
                if index > 0 {
                    out.push_str(text);
                }
                match item.as_str() {
                    Some(item) => out.push_str(item),
                    None => {
                        return Err(misuse(format!(
                            "sequence item {index}: expected text, found {}",
                            item.kind()
                        )));
                    }
                }
            }
            out.into()
        }
        "replace" => {
            let (old, new, count): (&str, &str, Option<i64>) = from_args(arguments)?;
            match count {
                Some(count) if count >= 0 => text.replacen(old, new, count as usize).into(),
                _ => text.replace(old, new).into(),
            }
        }
        "startswith" | "endswith" => {
            let (wanted, start, end): (&Value, Option<i64>, Option<i64>) = from_args(arguments)?;
            let text = window(text, start, end).map_or("", |(_, text)| text);
            alternatives(wanted)?
                .iter()
                .any(|wanted| {
                    if method == "startswith" {
                        text.starts_with(wanted.as_str())
                    } else {
                        text.ends_with(wanted.as_str())
                    }
                })
                .into()
        }
        "find" | "rfind" | "index" | "rindex" => find(text, method, arguments)?,
        "count" => {
            let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(arguments)?;
            match window(text, start, end) {
                Some((_, text)) if wanted.is_empty() => (text.chars().count() + 1).into(),
                Some((_, text)) => text.matches(wanted).count().into(),
                None => 0.into(),
            }
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            text.strip_prefix(prefix).unwrap_or(text).into()
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            text.strip_suffix(suffix).unwrap_or(text).into()
        }
        "zfill" => {
            let (width,): (i64,) = from_args(arguments)?;
            zfill(text, bounded(width)?).into()
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (i64, Option<&str>) = from_args(arguments)?;
            justify(text, method, bounded(width)?, fill.unwrap_or(" "))?.into()
        }
        "expandtabs" => {
            let size: Option<i64> = keyword(arguments, "tabsize")?;
            expand_tabs(text, bounded(size.unwrap_or(8))?).into()
        }
        "format" => return format::format_method(text, arguments),
        "isdigit" | "isdecimal" | "isnumeric" => {
            none(arguments)?;
            all(text, char::is_numeric).into()
        }
        "isalpha" => {
            none(arguments)?;
            all(text, char::is_alphabetic).into()
        }
        "isalnum" => {
            none(arguments)?;
            all(text, char::is_alphanumeric).into()
        }
        "isspace" => {
            none(arguments)?;
            all(text, is_space).into()
        }
        "isascii" => {
            none(arguments)?;
            text.is_ascii().into()
        }
        "islower" => {
            none(arguments)?;
            (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into()
        }
        "isupper" => {
            none(arguments)?;
            (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into()
        }
        "istitle" => {
            none(arguments)?;
            (text.chars().any(char::is_alphabetic) && title(text) == text).into()
        }
        "isidentifier" => {
            none(arguments)?;
            let start = |c: char| c.is_alphabetic() || c == '_';
            (text.starts_with(start) && text.chars().all(|c| c.is_alphanumeric() || c == '_'))
                .into()
        }
        _ => return Err(ErrorKind::UnknownMethod.into()),
    })
}

fn all(text: &str, test: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

/// One argument, by position or by name.
fn keyword<T: TryFrom<Value, Error = Error>>(
    arguments: &[Value],
    name: &str,
) -> Result<Option<T>, Error> {
    let (first, named): (Option<Value>, Kwargs) = from_args(arguments)?;
    let value = match first {
        Some(value) => Some(value),
        None if named.has(name) => Some(named.get::<Value>(name)?),
        None => None,
    };
    named.assert_all_used()?;
    value.map(T::try_from).transpose()
}

/// A width that a template may ask for.
fn bounded(width: i64) -> Result<usize, Error> {
    if width > 100_000 {
        return Err(misuse("width is too large"));
    }
    Ok(width.max(0) as usize)
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        None => String::new(),
        Some(first) => first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase(),
    }
}

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn swapcase(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

fn strip(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (chars,): (Option<Value>,) = from_args(arguments)?;
    let chars = optional_text(chars)?;
    let stripped = |c: char| match &chars {
        Some(chars) => chars.contains(c),
        None => is_space(c),
    };
    Ok(match method {
        "lstrip" => text.trim_start_matches(stripped),
        "rstrip" => text.trim_end_matches(stripped),
        _ => text.trim_matches(stripped),
    }
    .into())
}

fn split(text: &str, from_right: bool, arguments: &[Value]) -> Result<Value, Error> {
    let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = match separator {
        None if named.has("sep") => named.get("sep")?,
        given => given,
    };
    let most = match most {
        None if named.has("maxsplit") => named.get("maxsplit")?,
        given => given,
    };
    named.assert_all_used()?;
    let separator = optional_text(separator)?;
    let limit = match most {
        Some(most) if most >= 0 => most as usize,
        _ => usize::MAX,
    };
    let pieces: Vec<String> = match separator.as_deref() {
        Some("") => return Err(misuse("empty separator")),
        Some(separator) if from_right => {
            let mut pieces: Vec<_> = text
                .rsplitn(limit.saturating_add(1), separator)
                .map(str::to_owned)
                .collect();
            pieces.reverse();
            pieces
        }
        Some(separator) => text
            .splitn(limit.saturating_add(1), separator)
            .map(str::to_owned)
            .collect(),
        None => split_space(text, limit, from_right),
    };
    Ok(list(pieces))
}

/// Splits at runs of white space; what is left after `limit` splits keeps its space at the far
/// end.
fn split_space(text: &str, limit: usize, from_right: bool) -> Vec<String> {
    let near = |text| -> &str {
        if from_right {
            str::trim_end_matches(text, is_space)
        } else {
            str::trim_start_matches(text, is_space)
        }
    };
    let mut pieces = Vec::new();
    let mut rest = near(text);
    while !rest.is_empty() {
        let cut = if from_right {
            rest.rfind(is_space)
        } else {
            rest.find(is_space)
        };
        let Some(at) = cut.filter(|_| pieces.len() < limit) else {
            pieces.push(rest.to_owned());
            break;
        };
        let after = at + rest[at..].chars().next().map_or(1, char::len_utf8);
        let (piece, left) = if from_right {
            (&rest[after..], &rest[..at])
        } else {
            (&rest[..at], &rest[after..])
        };
        pieces.push(piece.to_owned());
        rest = near(left);
    }
    if from_right {
        pieces.reverse();
    }
    pieces
}

fn split_lines(text: &str, keep: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ends = |c: char| {
            matches!(
                c,
                '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                    ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        };
        let Some(at) = rest.find(ends) else {
            lines.push(rest.to_owned());
            break;
        };
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        lines.push(rest[..if keep { at + length } else { at }].to_owned());
        rest = &rest[at + length..];
    }
    lines
}

fn partition(
    text: &str,
    separator: &str,
    found: Option<usize>,
    head_first: bool,
) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(misuse("empty separator"));
    }
    let parts = match found {
        Some(at) => [&text[..at], separator, &text[at + separator.len()..]],
        None if head_first => [text, "", ""],
        None => ["", "", text],
    };
    let [before, middle, after] = parts;
    Ok(Value::from((before, middle, after)))
}

/// The characters `start..end` as Python slices them, and how many stand before them; `None`
/// when the start lies beyond the end.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> Option<(usize, &str)> {
    if start.is_none() && end.is_none() {
        return Some((0, text));
    }
    let count = text.chars().count() as i64;
    let place = |at: i64| (if at < 0 { (at + count).max(0) } else { at }).min(count);
    if start.is_some_and(|start| start > count) {
        return None;
    }
    let start = place(start.unwrap_or(0));
    let end = place(end.unwrap_or(count));
    if start > end {
        return None;
    }
    let byte = |at: i64| {
        text.char_indices()
            .nth(at as usize)
            .map_or(text.len(), |(byte, _)| byte)
    };
    Some((start as usize, &text[byte(start)..byte(end)]))
}

fn find(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(arguments)?;
    let found = window(text, start, end).and_then(|(before, text)| {
        let at = if method.starts_with('r') {
            text.rfind(wanted)
        } else {
            text.find(wanted)
        }?;
        Some(before + text[..at].chars().count())
    });
    match found {
        Some(at) => Ok(at.into()),
        None if method.ends_with("find") => Ok((-1).into()),
        None => Err(misuse("substring not found")),
    }
}

fn zfill(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    let zeros = "0".repeat(missing);
    match text.strip_prefix(['+', '-']) {
        Some(rest) => format!("{}{zeros}{rest}", &text[..1]),
        None => format!("{zeros}{text}"),
    }
}

pub(crate) fn justify(text: &str, method: &str, width: usize, fill: &str) -> Result<String, Error> {
    if fill.chars().count() != 1 {
        return Err(misuse(
            "the fill character must be exactly one character long",
        ));
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        // As CPython rounds: the odd one goes left when the width is odd.
        _ => missing / 2 + (missing & width & 1),
    };
    Ok(format!(
        "{}{text}{}",
        fill.repeat(left),
        fill.repeat(missing - left)
    ))
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                out.push_str(&" ".repeat(spaces));
                column += spaces;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}

fn map_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match method {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(arguments)?;
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() {
                default.unwrap_or_else(|| Value::from(()))
            } else {
                found
            })
        }
        "keys" => {
            none(arguments)?;
            Ok(value.try_iter()?.collect())
        }
        "values" => {
            none(arguments)?;
            value
                .try_iter()?
                .map(|key| value.get_item(&key))
                .collect::<Result<Value, Error>>()
        }
        "items" => {
            none(arguments)?;
            value
                .try_iter()?
                .map(|key| {
                    let item = value.get_item(&key)?;
                    Ok(Value::from((key, item)))
                })
                .collect::<Result<Value, Error>>()
        }
        "copy" => {
            none(arguments)?;
            Ok(value.clone())
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn list_method(value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let (wanted,): (&Value,) = from_args(arguments)?;
            Ok(value
                .try_iter()?
                .filter(|item| item == wanted)
                .count()
                .into())
        }
        "index" => {
            let (wanted,): (&Value,) = from_args(arguments)?;
            match value.try_iter()?.position(|item| item == *wanted) {
                Some(at) => Ok(at.into()),
                None => Err(misuse("value is not in the list")),
            }
        }
        "copy" => {
            none(arguments)?;
            Ok(value.clone())
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}
