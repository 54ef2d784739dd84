//! Scalar text to value, as PyYAML's constructors do it.

use crate::{
    integer::yaml_int,
    node::{Date, DateTime, Value},
    resolve::{Plain, TimeParts, Zone, plain, timestamp_parts},
};

/// Why a scalar has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unconstructible {
    /// `=` or `<<` where a value belongs.
    Special,
    /// The text does not fit the type it has.
    Misfit(&'static str),
    /// The tag is not for scalars.
    NotScalar,
    /// Nobody knows the tag.
    UnknownTag,
}

/// Value of a plain scalar without a tag.
pub(crate) fn construct_plain(text: &str) -> Result<Value, Unconstructible> {
    match plain(text) {
        Plain::Str => Ok(Value::Str(text.to_owned())),
        Plain::Null => Ok(Value::Null),
        Plain::Bool => construct_bool(text),
        Plain::Int => construct_int(text),
        Plain::Float => construct_float(text),
        Plain::Timestamp => construct_timestamp(text),
        Plain::Merge | Plain::Value => Err(Unconstructible::Special),
    }
}

/// Value of a scalar with the tag `!!name`.
pub(crate) fn construct_tagged(name: &str, text: &str) -> Result<Value, Unconstructible> {
    match name {
        "str" => Ok(Value::Str(text.to_owned())),
        "null" => Ok(Value::Null),
        "bool" => construct_bool(text),
        "int" => construct_int(text),
        "float" => construct_float(text),
        "timestamp" => construct_timestamp(text),
        "binary" => construct_binary(text),
        "seq" | "map" | "set" | "omap" | "pairs" => Err(Unconstructible::NotScalar),
        _ => Err(Unconstructible::UnknownTag),
    }
}

fn construct_bool(text: &str) -> Result<Value, Unconstructible> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(Value::Bool(true)),
        "no" | "false" | "off" => Ok(Value::Bool(false)),
        _ => Err(Unconstructible::Misfit("a boolean")),
    }
}

fn construct_int(text: &str) -> Result<Value, Unconstructible> {
    yaml_int(text).ok_or(Unconstructible::Misfit("an integer"))
}

fn construct_float(text: &str) -> Result<Value, Unconstructible> {
    let text: String = text
        .chars()
        .filter(|c| *c != '_')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let (sign, number) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text.as_str()),
    };
    let misfit = Unconstructible::Misfit("a number");
    let value = match number {
        ".inf" => f64::INFINITY,
        // Of `.nan` the sign is nobody's business.
        ".nan" => return Ok(Value::Float(f64::NAN)),
        _ if number.contains(':') => {
            let mut base = 1.0;
            let mut value = 0.0;
            for part in number.rsplit(':') {
                value += part.parse::<f64>().map_err(|_| misfit)? * base;
                base *= 60.0;
            }
            value
        }
        _ => number.trim().parse::<f64>().map_err(|_| misfit)?,
    };
    Ok(Value::Float(sign * value))
}

/// Number of a few ASCII digits; none is 0.
fn number(digits: &[u8]) -> u32 {
    digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

fn construct_timestamp(text: &str) -> Result<Value, Unconstructible> {
    let misfit = Unconstructible::Misfit("a date");
    let parts = timestamp_parts(text.as_bytes()).ok_or(misfit)?;
    let [year, month, day] = parts.date.map(number);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(misfit),
    };
    if year == 0 || day == 0 || day > days {
        return Err(misfit);
    }
    let date = Date {
        year: year as u16,
        month: month as u8,
        day: day as u8,
    };
    match parts.time {
        None => Ok(Value::Date(date)),
        Some(time) => construct_time(date, time)
            .ok_or(misfit)
            .map(Value::DateTime),
    }
}

fn construct_time(date: Date, time: TimeParts<'_>) -> Option<DateTime> {
    let [hour, minute, second] = time.fields.map(number);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = &time.fraction[..time.fraction.len().min(6)];
    let microsecond = number(fraction) * 10_u32.pow(6 - fraction.len() as u32);
    let offset = match time.zone {
        Zone::None => None,
        Zone::Utc => Some(0),
        Zone::Offset {
            negative,
            hours,
            minutes,
        } => {
            let minutes = (number(hours) * 60 + number(minutes)) as i16;
            if minutes >= 24 * 60 {
                return None;
            }
            Some(if negative { -minutes } else { minutes })
        }
    };
    Some(DateTime {
        date,
        hour: hour as u8,
        minute: minute as u8,
        second: second as u8,
        microsecond,
        offset,
    })
}

/// Base64 as Python's `decodebytes`: characters outside the alphabet are skipped.
fn construct_binary(text: &str) -> Result<Value, Unconstructible> {
    let misfit = Unconstructible::Misfit("base64 text");
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held, mut padding) = (0_u32, 0_u32, 0);
    for byte in text.bytes() {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            0x80.. => return Err(misfit),
            _ => continue,
        };
        bits = bits << 6 | u32::from(sextet);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let wanted = match held {
        0 => 0,
        2 => 1,
        4 => 2,
        _ => return Err(misfit),
    };
    if padding < wanted {
        return Err(misfit);
    }
    Ok(Value::Bytes(bytes))
}
