//! Which type a plain scalar has: the implicit resolvers of PyYAML's safe loader.

/// Type of a plain scalar without a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plain {
    /// `~`, `null` in three cases, nothing.
    Null,
    /// `yes`, `no`, `true`, `false`, `on`, `off` in three cases each.
    Bool,
    /// Five spellings of integers.
    Int,
    /// Five spellings of numbers.
    Float,
    /// A date, or date and time.
    Timestamp,
    /// `<<`.
    Merge,
    /// `=`, which the safe loader cannot construct.
    Value,
    /// Everything else.
    Str,
}

/// Resolves plain text. Order of the attempts is PyYAML's.
pub(crate) fn plain(text: &str) -> Plain {
    let bytes = text.as_bytes();
    match bytes.first() {
        None | Some(b'~') if bytes.len() <= 1 => Plain::Null,
        Some(b'<') if text == "<<" => Plain::Merge,
        Some(b'=') if text == "=" => Plain::Value,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => match text {
            "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "true" | "True" | "TRUE" | "false"
            | "False" | "FALSE" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => Plain::Bool,
            "null" | "Null" | "NULL" => Plain::Null,
            _ => Plain::Str,
        },
        Some(b'-' | b'+' | b'0'..=b'9' | b'.') => {
            if is_float(bytes) {
                Plain::Float
            } else if is_int(bytes) {
                Plain::Int
            } else if is_timestamp(bytes) {
                Plain::Timestamp
            } else {
                Plain::Str
            }
        }
        _ => Plain::Str,
    }
}

/// Takes bytes while `accept` holds; gives what is left and how many were taken.
fn take(bytes: &[u8], accept: impl Fn(u8) -> bool) -> (&[u8], usize) {
    let count = bytes.iter().take_while(|b| accept(**b)).count();
    (&bytes[count..], count)
}

fn digit_or_underscore(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

fn unsigned(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(b'-' | b'+') => &bytes[1..],
        _ => bytes,
    }
}

/// `[eE][-+][0-9]+`, or nothing.
fn is_exponent(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b'e' | b'E', b'-' | b'+', digits @ ..] => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// `(:[0-5]?[0-9])+`; gives what is left, or `None` when there is not even one part.
fn sexagesimal(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut parts = 0;
    while let [b':', rest @ ..] = bytes {
        bytes = match rest {
            [b'0'..=b'5', b'0'..=b'9', rest @ ..] | [b'0'..=b'9', rest @ ..] => rest,
            _ => return None,
        };
        parts += 1;
    }
    (parts > 0).then_some(bytes)
}

pub(crate) fn is_float(bytes: &[u8]) -> bool {
    let signed = unsigned(bytes);
    match signed {
        b".inf" | b".Inf" | b".INF" => return true,
        _ => {}
    }
    if matches!(bytes, b".nan" | b".NaN" | b".NAN") {
        return true;
    }
    // A number that starts with its point has no sign.
    if let [b'.', b'0'..=b'9', ..] = bytes {
        let (rest, _) = take(&bytes[1..], digit_or_underscore);
        return is_exponent(rest);
    }
    if !signed.first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    let (rest, _) = take(signed, digit_or_underscore);
    match rest {
        [b'.', rest @ ..] => {
            let (rest, _) = take(rest, digit_or_underscore);
            is_exponent(rest)
        }
        [b':', ..] => match sexagesimal(rest) {
            Some([b'.', rest @ ..]) => take(rest, digit_or_underscore).0.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

pub(crate) fn is_int(bytes: &[u8]) -> bool {
    let all = |bytes: &[u8], accept: fn(u8) -> bool| {
        !bytes.is_empty() && bytes.iter().all(|b| accept(*b))
    };
    match unsigned(bytes) {
        [b'0'] => true,
        [b'0', b'b', rest @ ..] => all(rest, |b| matches!(b, b'0' | b'1' | b'_')),
        [b'0', b'x', rest @ ..] => all(rest, |b| b.is_ascii_hexdigit() || b == b'_'),
        [b'0', rest @ ..] => all(rest, |b| matches!(b, b'0'..=b'7' | b'_')),
        signed @ [b'1'..=b'9', ..] => {
            let (rest, _) = take(signed, digit_or_underscore);
            rest.is_empty() || sexagesimal(rest).is_some_and(<[u8]>::is_empty)
        }
        _ => false,
    }
}

/// The long form of a timestamp has one or two digits in month and day, the short form two.
fn is_timestamp(bytes: &[u8]) -> bool {
    let Some(parts) = timestamp_parts(bytes) else {
        return false;
    };
    parts.time.is_some() || (bytes.len() == 10)
}

/// Fields of a timestamp as bytes of digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimestampParts<'a> {
    pub(crate) date: [&'a [u8]; 3],
    pub(crate) time: Option<TimeParts<'a>>,
}

/// Time of day of a timestamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeParts<'a> {
    pub(crate) fields: [&'a [u8]; 3],
    pub(crate) fraction: &'a [u8],
    pub(crate) zone: Zone<'a>,
}

/// Time zone of a timestamp.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Zone<'a> {
    None,
    Utc,
    Offset {
        negative: bool,
        hours: &'a [u8],
        minutes: &'a [u8],
    },
}

/// Takes between `least` and `most` digits.
fn digits<'a>(bytes: &mut &'a [u8], least: usize, most: usize) -> Option<&'a [u8]> {
    let count = bytes
        .iter()
        .take(most)
        .take_while(|b| b.is_ascii_digit())
        .count();
    if count < least {
        return None;
    }
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    Some(taken)
}

fn literal(bytes: &mut &[u8], byte: u8) -> Option<()> {
    let rest = bytes.strip_prefix(&[byte])?;
    *bytes = rest;
    Some(())
}

/// Splits what the constructor's timestamp expression matches.
pub(crate) fn timestamp_parts(bytes: &[u8]) -> Option<TimestampParts<'_>> {
    let mut rest = bytes;
    let year = digits(&mut rest, 4, 4)?;
    literal(&mut rest, b'-')?;
    let month = digits(&mut rest, 1, 2)?;
    literal(&mut rest, b'-')?;
    let day = digits(&mut rest, 1, 2)?;
    let date = [year, month, day];
    if rest.is_empty() {
        return Some(TimestampParts { date, time: None });
    }
    if let [b'T' | b't', after @ ..] = rest {
        rest = after;
    } else {
        let (after, count) = take(rest, |b| b == b' ' || b == b'\t');
        if count == 0 {
            return None;
        }
        rest = after;
    }
    let hour = digits(&mut rest, 1, 2)?;
    literal(&mut rest, b':')?;
    let minute = digits(&mut rest, 2, 2)?;
    literal(&mut rest, b':')?;
    let second = digits(&mut rest, 2, 2)?;
    let mut fraction: &[u8] = &[];
    if literal(&mut rest, b'.').is_some() {
        fraction = digits(&mut rest, 0, usize::MAX)?;
    }
    let zone = if rest.is_empty() {
        Zone::None
    } else {
        let (mut after, _) = take(rest, |b| b == b' ' || b == b'\t');
        if after == b"Z" {
            Zone::Utc
        } else {
            let negative = literal(&mut after, b'-').is_some();
            if !negative {
                literal(&mut after, b'+')?;
            }
            let hours = digits(&mut after, 1, 2)?;
            let mut minutes: &[u8] = &[];
            if literal(&mut after, b':').is_some() {
                minutes = digits(&mut after, 2, 2)?;
            }
            if !after.is_empty() {
                return None;
            }
            Zone::Offset {
                negative,
                hours,
                minutes,
            }
        }
    };
    Some(TimestampParts {
        date,
        time: Some(TimeParts {
            fields: [hour, minute, second],
            fraction,
            zone,
        }),
    })
}
