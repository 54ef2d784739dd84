//! Formatting of values: `%` on strings, `str.format`, and the specifications both know.

use std::collections::VecDeque;

use minijinja::{
    Error, ErrorKind,
    value::{Kwargs, Value, ValueKind, from_args},
};

use nd_report::float_repr;

/// Widest field a template may ask for.
const WIDEST: usize = 10_000;

fn misuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// What `str()` gives.
fn text_of(value: &Value) -> Result<String, Error> {
    if value.kind() == ValueKind::Number && !value.is_integer() {
        return f64::try_from(value.clone()).map(float_repr);
    }
    Ok(value.to_string())
}

/// A format specification: `[[fill]align][sign][0][width][.precision][type]`.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut spec = Self::default();
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let is_align = |c: Option<&char>| matches!(c, Some('<' | '>' | '^' | '='));
        if is_align(chars.get(1)) {
            spec.fill = chars.first().copied();
            spec.align = chars.get(1).copied();
            at = 2;
        } else if is_align(chars.first()) {
            spec.align = chars.first().copied();
            at = 1;
        }
        if let Some(c @ ('+' | '-' | ' ')) = chars.get(at) {
            spec.sign = Some(*c);
            at += 1;
        }
        if chars.get(at) == Some(&'0') && spec.align.is_none() {
            spec.fill = Some('0');
            spec.align = Some('=');
            at += 1;
        }
        let number = |at: &mut usize| {
            let mut value = None;
            while let Some(digit) = chars.get(*at).and_then(|c| c.to_digit(10)) {
                value = Some(value.unwrap_or(0_usize) * 10 + digit as usize);
                if value > Some(WIDEST) {
                    return Err(misuse("field is too wide"));
                }
                *at += 1;
            }
            Ok(value)
        };
        spec.width = number(&mut at)?.unwrap_or(0);
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision = number(&mut at)?.or(Some(0));
        }
        if let Some(c) = chars.get(at) {
            spec.kind = Some(*c);
            at += 1;
        }
        if at < chars.len() {
            return Err(misuse(format!("invalid format specifier `{text}`")));
        }
        Ok(spec)
    }

    fn apply(&self, value: &Value) -> Result<String, Error> {
        let is_number = value.kind() == ValueKind::Number;
        let kind = self.kind.unwrap_or(if is_number { 'n' } else { 's' });
        let number = || f64::try_from(value.clone()).map_err(|_| misuse("a number is needed"));
        let integer = || i128::try_from(value.clone()).map_err(|_| misuse("an integer is needed"));
        let mut text = match kind {
            's' => {
                let text = text_of(value)?;
                match self.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                }
            }
            'n' if self.precision.is_none() => text_of(value)?,
            'd' => integer()?.to_string(),
            'x' => format!("{:x}", integer()?),
            'X' => format!("{:X}", integer()?),
            'o' => format!("{:o}", integer()?),
            'b' => format!("{:b}", integer()?),
            'f' | 'F' => format!("{:.*}", self.precision.unwrap_or(6), number()?),
            other => return Err(misuse(format!("format `{other}` is not supported"))),
        };
        if is_number && !text.starts_with('-') && matches!(self.sign, Some('+' | ' ')) {
            text.insert(0, self.sign.unwrap_or('+'));
        }
        let missing = self.width.saturating_sub(text.chars().count());
        let fill = |count| self.fill.unwrap_or(' ').to_string().repeat(count);
        Ok(
            match self.align.unwrap_or(if is_number { '>' } else { '<' }) {
                '<' => text + &fill(missing),
                '^' => fill(missing / 2) + &text + &fill(missing - missing / 2),
                '=' if text.starts_with(['+', '-', ' ']) => {
                    format!("{}{}{}", &text[..1], fill(missing), &text[1..])
                }
                _ => fill(missing) + &text,
            },
        )
    }
}

/// `str.format`: `{}`, `{0}`, `{name}`, each with a specification or `!r`.
pub(crate) fn format_method(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (positional, named) = match arguments.split_last() {
        Some((last, before)) if last.is_kwargs() => (
            before,
            from_args::<(Kwargs,)>(std::slice::from_ref(last))?.0,
        ),
        _ => (arguments, from_args::<(Kwargs,)>(&[])?.0),
    };
    let mut out = String::new();
    let mut automatic = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{");
        let Some(end) = end else {
            return Err(misuse(format!("single `{brace}` in format string")));
        };
        let (field, spec) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        rest = &rest[end + 1..];
        let (field, shown) = match field.strip_suffix("!r") {
            Some(field) => (field, true),
            None => (field.strip_suffix("!s").unwrap_or(field), false),
        };
        let value = if field.is_empty() {
            automatic += 1;
            positional.get(automatic - 1).cloned()
        } else if let Ok(index) = field.parse::<usize>() {
            positional.get(index).cloned()
        } else {
            named.get(field).ok()
        };
        let Some(value) = value else {
            return Err(misuse(format!("format field `{field}` has no argument")));
        };
        let value = if shown { repr(value).into() } else { value };
        out.push_str(&Spec::parse(spec)?.apply(&value)?);
    }
    out.push_str(rest);
    Ok(out.into())
}

fn repr(value: Value) -> String {
    let list = Value::from(vec![value]).to_string();
    list[1..list.len() - 1].to_owned()
}

/// `text % value`: `%s`, `%r`, `%d`, `%f` and relatives with flags, width and precision,
/// `%(name)s`, `%%`.
pub(crate) fn percent(text: &str, value: &Value) -> Result<String, Error> {
    let mut positional: VecDeque<Value> = if value.is_tuple() {
        value.try_iter()?.collect()
    } else {
        [value.clone()].into()
    };
    let mut used_names = false;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut item = None;
        if let Some(named) = rest.strip_prefix('(') {
            let Some(end) = named.find(')') else {
                return Err(misuse("incomplete format key"));
            };
            let found = value.get_attr(&named[..end])?;
            if found.is_undefined() {
                return Err(misuse(format!("no value for `{}`", &named[..end])));
            }
            item = Some(found);
            used_names = true;
            rest = &named[end + 1..];
        }
        let length = rest.find(|c: char| c.is_alphabetic() || c == '%');
        let Some(length) = length else {
            return Err(misuse("incomplete format"));
        };
        let flags = &rest[..length];
        let conversion = rest[length..].chars().next().unwrap_or('%');
        rest = &rest[length + conversion.len_utf8()..];
        if conversion == '%' {
            out.push('%');
            continue;
        }
        let item = match item {
            Some(item) => item,
            None => positional
                .pop_front()
                .ok_or_else(|| misuse("not enough arguments for format string"))?,
        };
        // `-` asks for the left, everything else stands to the right.
        let spec = match flags.strip_prefix('-') {
            Some(width) => format!("<{width}"),
            None if flags.starts_with('0') || flags.starts_with('+') => flags.to_owned(),
            None => format!(">{flags}"),
        };
        let mut spec = Spec::parse(&spec)?;
        let item = match conversion {
            'r' => Value::from(repr(item)),
            'd' | 'i' if item.kind() == ValueKind::Number && !item.is_integer() => {
                Value::from(f64::try_from(item)?.trunc() as i64)
            }
            _ => item,
        };
        spec.kind = Some(match conversion {
            'r' => 's',
            'i' => 'd',
            other => other,
        });
        out.push_str(&spec.apply(&item)?);
    }
    out.push_str(rest);
    if !positional.is_empty() && !used_names && value.kind() != ValueKind::Map {
        return Err(misuse(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(out)
}
