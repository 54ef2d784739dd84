//! From text to nodes.

use std::ops::Range;

use nd_report::{Diagnostic, FileId, Severity, Sink, Span, is_invisible};

use super::{Member, Node, Object, Value};
use crate::codes;

/// What a text may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Collections inside one another.
    pub depth: usize,
    /// Values in all.
    pub values: usize,
}

impl Default for Limits {
    /// Some fifty times the largest catalogue known.
    fn default() -> Self {
        Self {
            bytes: 32 << 20,
            depth: 32,
            values: 1_000_000,
        }
    }
}

/// Reads one JSON document, by RFC 8259.
///
/// Problems go to `sink`. With a syntax error or a limit passed there is no node; a key that stands
/// twice is an error that leaves one (the last value counts, as in Python's reader).
///
/// ```
/// use nd_report::{FileId, Sink};
/// use neurocommand::json::{Limits, parse};
///
/// let mut sink = Sink::new();
/// let node = parse(r#"{"abc": {"apps": {}}}"#, FileId(0), &Limits::default(), &mut sink).unwrap();
/// assert!(node.get("abc").and_then(|abc| abc.get("apps")).is_some());
/// ```
pub fn parse(text: &str, file: FileId, limits: &Limits, sink: &mut Sink) -> Option<Node> {
    let mut reader = Reader {
        text,
        at: 0,
        file,
        limits,
        values: 0,
        sink,
    };
    let result = reader.document();
    match result {
        Ok(node) => Some(node),
        Err(stop) => {
            let span = Span::new(file, stop.place);
            let found = Diagnostic::new(stop.code, Severity::Error, stop.message);
            sink.push(found.at(span, ""));
            None
        }
    }
}

/// Why reading cannot go on.
struct Stop {
    code: nd_report::Code,
    message: String,
    place: Range<usize>,
}

struct Reader<'t, 's> {
    text: &'t str,
    at: usize,
    file: FileId,
    limits: &'s Limits,
    values: usize,
    sink: &'s mut Sink,
}

impl Reader<'_, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        if self.text.len() > self.limits.bytes {
            let message = format!(
                "the file has {} bytes, more than the {} that are read",
                self.text.len(),
                self.limits.bytes
            );
            return Err(self.limit(message));
        }
        if self.text.starts_with('\u{feff}') {
            self.at = 3;
        }
        let node = self.value(0)?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.wrong("something stands after the end of the document"));
        }
        Ok(node)
    }

    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        self.blanks();
        self.values += 1;
        if depth > self.limits.depth {
            let message = format!("collections stand more than {} deep", self.limits.depth);
            return Err(self.limit(message));
        }
        if self.values > self.limits.values {
            let message = format!("the file has more than {} values", self.limits.values);
            return Err(self.limit(message));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => Value::Object(self.object(depth)?),
            Some(b'[') => Value::List(self.list(depth)?),
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            _ => self.word()?,
        };
        Ok(Node {
            span: Span::new(self.file, start..self.at),
            value,
        })
    }

    fn object(&mut self, depth: usize) -> Result<Object, Stop> {
        self.at += 1;
        let mut members = Object::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(members);
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in quotes has to stand here"));
            }
            let key = self.string()?;
            let place = Span::new(self.file, start..self.at);
            self.blanks();
            if !self.take(b':') {
                return Err(self.wrong("`:` has to stand here"));
            }
            let node = self.value(depth + 1)?;
            if let Some(first) = members.get_mut(&key) {
                self.sink.push(
                    Diagnostic::new(
                        codes::DUPLICATE_KEY,
                        Severity::Error,
                        format!("key `{}` stands twice", shown(&key)),
                    )
                    .at(place, "here again")
                    .at(first.key, "here first")
                    .hint("keep one of them; readers take the last"),
                );
                first.node = node;
            } else {
                members.insert(key, Member { key: place, node });
            }
            self.blanks();
            if self.take(b'}') {
                return Ok(members);
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}` has to stand here"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Stop> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Ok(items);
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]` has to stand here"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Stop> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                return Err(self.wrong("the text has no closing quote"));
            };
            text.push_str(&self.text[self.at..self.at + plain]);
            self.at += plain;
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                _ => return Err(self.wrong("a control character cannot stand in text")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let letter = self.text.as_bytes().get(self.at + 1).copied();
        let simple = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong("this is no escape sequence of JSON")),
        };
        self.at += 2;
        Ok(simple)
    }

    fn unicode(&mut self) -> Result<char, Stop> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 4)?;
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
        };
        let Some(first) = unit(self.at + 2) else {
            return Err(self.wrong("four hexadecimal digits have to follow"));
        };
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first)
            && self.text.get(self.at + 6..self.at + 8) == Some("\\u")
            && let Some(second) = unit(self.at + 8)
        {
            units.push(second);
        }
        let Some(Ok(character)) = char::decode_utf16(units.iter().copied()).next() else {
            return Err(self.wrong("half of a surrogate pair is no character"));
        };
        self.at += 6 * character.len_utf16();
        Ok(character)
    }

    fn number(&mut self) -> Result<String, Stop> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while matches!(reader.peek(), Some(b'0'..=b'9')) {
                reader.at += 1;
            }
            reader.at - from
        };
        self.take(b'-');
        let zero = self.peek() == Some(b'0');
        let whole = digits(self);
        let mut good = whole > 0 && !(zero && whole > 1);
        if self.take(b'.') {
            good &= digits(self) > 0;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            good &= digits(self) > 0;
        }
        if good {
            Ok(self.text[start..self.at].to_owned())
        } else {
            self.at = start;
            Err(self.wrong("this is no number of JSON"))
        }
    }

    fn word(&mut self) -> Result<Value, Stop> {
        let words = [
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
        ];
        let rest = &self.text[self.at..];
        for (word, value) in words {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong(if rest.is_empty() {
            "the file ends where a value has to stand"
        } else {
            "this is no value of JSON"
        }))
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn wrong(&self, message: &str) -> Stop {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let width = rest.chars().next().map_or(0, char::len_utf8);
        Stop {
            code: codes::SYNTAX,
            message: message.to_owned(),
            place: self.at..self.at + width,
        }
    }

    fn limit(&self, message: String) -> Stop {
        Stop {
            code: codes::LIMIT,
            message,
            place: self.at..self.at,
        }
    }
}

/// Text that can be said: short, no control characters, nothing that turns the direction of a line.
pub(crate) fn shown(text: &str) -> String {
    let mut said: String = text
        .chars()
        .take(80)
        .map(|c| if is_invisible(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(80).is_some() {
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let mut sink = Sink::new();
        let node = parse(text, FileId(0), &Limits::default(), &mut sink);
        let said = sink
            .diagnostics()
            .first()
            .map(|found| found.message.clone());
        node.filter(|_| said.is_none())
            .ok_or(said.unwrap_or_default())
    }

    #[test]
    fn reads_what_json_is_and_nothing_else() {
        let node =
            read("\u{feff} {\"a\\u00e9\\ud83e\\udde0\": [1, -0.5e+3, true, null, \"\\n\"]}\n")
                .unwrap();
        assert_eq!(node.get("aé🧠").unwrap().items().unwrap().len(), 5);
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "1.",
            "+1",
            "NaN",
            "'a'",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"a\nb\"",
            "{} {}",
            "\"\\u12",
            "[",
            "nul",
            "1e",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(
            read("{\"a\":1,\"a\":2}").unwrap_err(),
            "key `a` stands twice"
        );
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            read(&deep).unwrap_err(),
            "collections stand more than 32 deep"
        );
    }
}
