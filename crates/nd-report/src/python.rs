//! Values as Python writes them.

use std::fmt::Write as _;

/// Writes `text` with its quotes as Python's `json.dumps` does: everything but printable ASCII is
/// escaped, what is beyond 16 bits as two surrogates.
///
/// ```
/// let mut out = String::new();
/// nd_report::write_ascii_json("a \"é\" 🧠", &mut out);
/// assert_eq!(out, r#""a \"\u00e9\" \ud83e\udde0""#);
/// ```
pub fn write_ascii_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// `repr` of a float: shortest digits that read back, an exponent from 1e16 up and below 1e-4.
///
/// ```
/// assert_eq!(nd_report::float_repr(3.0), "3.0");
/// assert_eq!(nd_report::float_repr(1e-5), "1e-05");
/// ```
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let text = format!("{value}");
        if text.contains('.') {
            text
        } else {
            text + ".0"
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zeros_have_their_sign_and_large_numbers_an_exponent() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1.5e16, "1.5e+16"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(super::float_repr(value), expected);
        }
    }

    #[test]
    fn what_shows_nothing_is_escaped_as_python_does() {
        let mut out = String::new();
        super::write_ascii_json("\u{7f}\u{1}\n/", &mut out);
        assert_eq!(out, "\"\\u007f\\u0001\\n/\"");
    }
}
