//! Text of JSON as Python writes it.

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

#[cfg(test)]
mod tests {
    #[test]
    fn what_shows_nothing_is_escaped_as_python_does() {
        let mut out = String::new();
        super::write_ascii_json("\u{7f}\u{1}\n/", &mut out);
        assert_eq!(out, "\"\\u007f\\u0001\\n/\"");
    }
}
