//! Integers of any size, as decimal text.

use std::fmt::Write as _;

use crate::node::Value;

/// Longest integer that is converted; Python refuses longer ones too.
const MOST_DIGITS: usize = 4300;

/// The integer that `digits` (most significant first) make in `base`, or `None` for no digits
/// or too many of them.
pub(crate) fn from_digits(
    negative: bool,
    base: u32,
    digits: impl Iterator<Item = Option<u32>>,
) -> Option<Value> {
    // Limbs of nine decimal digits, least significant first.
    const LIMB: u64 = 1_000_000_000;
    let mut limbs = vec![0_u64];
    let mut count = 0;
    for digit in digits {
        count += 1;
        if count > MOST_DIGITS {
            return None;
        }
        let mut carry = u64::from(digit?);
        for limb in &mut limbs {
            let sum = *limb * u64::from(base) + carry;
            *limb = sum % LIMB;
            carry = sum / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    if count == 0 {
        return None;
    }
    let mut text = String::new();
    for (index, limb) in limbs.iter().rev().enumerate() {
        if index == 0 {
            text.push_str(&limb.to_string());
        } else {
            _ = write!(text, "{limb:09}");
        }
    }
    if negative && text != "0" {
        text.insert(0, '-');
    }
    Some(match text.parse() {
        Ok(value) => Value::Int(value),
        Err(_) => Value::BigInt(text.into()),
    })
}

/// Python's `int(text, base)` after PyYAML's own treatment of sign, prefix, underscores and
/// base 60; `None` where Python raises.
pub(crate) fn yaml_int(text: &str) -> Option<Value> {
    let text: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    let in_base = |digits: &str, base: u32| {
        from_digits(negative, base, digits.chars().map(|c| c.to_digit(base)))
    };
    if digits == "0" {
        Some(Value::Int(0))
    } else if let Some(rest) = digits.strip_prefix("0b") {
        in_base(rest, 2)
    } else if let Some(rest) = digits.strip_prefix("0x") {
        in_base(rest, 16)
    } else if digits.starts_with('0') {
        in_base(digits, 8)
    } else if digits.contains(':') {
        from_digits(
            negative,
            60,
            digits.split(':').enumerate().map(|(index, part)| {
                let value: u32 = part.parse().ok()?;
                // Only the first part may be larger than a digit, and then its digits count.
                (index == 0 || value < 60).then_some(value)
            }),
        )
    } else if digits.len() <= 18 {
        let value: i64 = digits.parse().ok()?;
        Some(Value::Int(if negative { -value } else { value }))
    } else {
        in_base(digits, 10)
    }
}
