//! Numbers in tar headers: octal text, or binary with the first bit set.

/// Reads a numeric field: base-256 (negative too) if its first bit is set, else octal.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let negative = first & 0x40 != 0;
    let mut value: i64 = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        // The marking bit is the sign once more.
        let byte = match (at, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = value.checked_mul(256)? | i64::from(byte);
    }
    Some(value)
}

fn octal(field: &[u8]) -> Option<i64> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let Some(start) = field.iter().position(|b| !blank(b)) else {
        return Some(0);
    };
    let rest = &field[start..];
    let end = rest.iter().position(blank).unwrap_or(rest.len());
    rest[..end]
        .iter()
        .try_fold(0_i64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
}

/// Writes `value` as octal with a closing NUL; false if it does not fit.
pub(super) fn write(value: u64, field: &mut [u8]) -> bool {
    let digits = field.len() - 1;
    if digits * 3 < 64 && value >> (digits * 3) != 0 {
        return false;
    }
    for at in 0..digits {
        field[digits - 1 - at] = b'0' + (value >> (3 * at) & 7) as u8;
    }
    field[digits] = 0;
    true
}
