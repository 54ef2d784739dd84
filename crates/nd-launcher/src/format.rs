//! The line format of launch files and policies.
//!
//! A line is a key, a space and fields divided by tabs. Lines that are empty or begin with `#` say
//! nothing; white space around a line does not count. In fields, `\\`, `\n`, `\t` and `\xHH` stand
//! for a backslash, a line break, a tab and any byte. No field holds a NUL byte, since all of them end up in
//! arguments and variables.

use std::{
    borrow::Cow, ffi::OsStr, fmt, os::unix::ffi::OsStrExt as _, os::unix::ffi::OsStringExt as _,
};

use crate::Text;

/// Bytes that a file may have at most.
pub(crate) const LIMIT: usize = 4 << 20;

/// Where and why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// More bytes than any such file has.
    TooLarge,
    /// The first line names no version that is known.
    Version,
    /// A key that is not known.
    Key,
    /// A key without its value.
    NoValue,
    /// A value that the key cannot have.
    Value,
    /// A backslash that begins nothing known.
    Escape,
    /// A NUL byte.
    Nul,
    /// A key that may stand once stands twice.
    Repeated,
    /// No line with this key.
    Missing(&'static str),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match self.problem {
            Problem::TooLarge => f.write_str("the file is larger than any of its kind"),
            Problem::Version => {
                f.write_str("not a file of this kind, or of a version that is not known")
            }
            Problem::Key => f.write_str("unknown key"),
            Problem::NoValue => f.write_str("the key has no value"),
            Problem::Value => f.write_str("the key cannot have this value"),
            Problem::Escape => {
                f.write_str("a backslash must be one of `\\\\`, `\\n`, `\\t`, `\\xHH`")
            }
            Problem::Nul => f.write_str("a NUL byte"),
            Problem::Repeated => f.write_str("the key stands twice"),
            Problem::Missing(key) => write!(f, "there is no line `{key}`"),
        }
    }
}

impl std::error::Error for FormatError {}

/// A line: its number, key and fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// An error at this line.
    pub(crate) fn error(&self, problem: Problem) -> FormatError {
        FormatError {
            line: self.number,
            problem,
        }
    }

    /// The only field, not empty.
    pub(crate) fn value(&self) -> Result<Text<'a>, FormatError> {
        if self.rest.is_empty() {
            return Err(self.error(Problem::NoValue));
        }
        unescape(self.rest).map_err(|problem| self.error(problem))
    }

    /// The first field, not empty, and the second when there is one.
    pub(crate) fn fields(&self) -> Result<(Text<'a>, Option<Text<'a>>), FormatError> {
        let divided = self.rest.iter().position(|byte| *byte == b'\t');
        let (first, second) = match divided {
            Some(at) => (&self.rest[..at], Some(&self.rest[at + 1..])),
            None => (self.rest, None),
        };
        if first.is_empty() {
            return Err(self.error(Problem::NoValue));
        }
        let text = |bytes| unescape(bytes).map_err(|problem| self.error(problem));
        Ok((text(first)?, second.map(text).transpose()?))
    }

    /// A field `NAME=VALUE`, divided at its first `=`.
    pub(crate) fn assignment(&self) -> Result<(Text<'a>, Text<'a>), FormatError> {
        let at = self.rest.iter().position(|byte| *byte == b'=');
        let Some(at) = at.filter(|at| *at > 0) else {
            return Err(self.error(Problem::Value));
        };
        let text = |bytes| unescape(bytes).map_err(|problem| self.error(problem));
        Ok((text(&self.rest[..at])?, text(&self.rest[at + 1..])?))
    }

    /// The value, which is one of these words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, FormatError> {
        let value = self.value()?;
        words
            .iter()
            .find(|(word, _)| OsStr::new(word) == &*value)
            .map(|(_, meaning)| *meaning)
            .ok_or(self.error(Problem::Value))
    }
}

/// The lines of a file that say something.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter_map(|(at, raw)| {
            let line = raw.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                return None;
            }
            let end = line
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap_or(line.len());
            Some(Line {
                number: at + 1,
                key: &line[..end],
                rest: line[end..].trim_ascii_start(),
            })
        })
}

/// A field as it was before [`escape`]. Borrows when nothing was escaped.
fn unescape(bytes: &[u8]) -> Result<Text<'_>, Problem> {
    if bytes.contains(&0) {
        return Err(Problem::Nul);
    }
    if !bytes.contains(&b'\\') {
        return Ok(Cow::Borrowed(OsStr::from_bytes(bytes)));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next().ok_or(Problem::Escape)? {
            b'\\' => b'\\',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let mut digit = || {
                    let byte = *rest.next()?;
                    char::from(byte).to_digit(16)
                };
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(Problem::Escape);
                };
                match (high * 16 + low) as u8 {
                    0 => return Err(Problem::Nul),
                    byte => byte,
                }
            }
            _ => return Err(Problem::Escape),
        });
    }
    Ok(Cow::Owned(std::ffi::OsString::from_vec(out)))
}

/// Appends a line `KEY FIELD…`; a NUL byte, which no argument can hold, is left out.
pub(crate) fn put(out: &mut Vec<u8>, key: &str, fields: &[&OsStr]) {
    out.extend_from_slice(key.as_bytes());
    for (at, field) in fields.iter().enumerate() {
        out.push(if at == 0 { b' ' } else { b'\t' });
        escape(out, field.as_bytes());
    }
    out.push(b'\n');
}

fn escape(out: &mut Vec<u8>, field: &[u8]) {
    for (at, byte) in field.iter().enumerate() {
        let edge = at == 0 || at + 1 == field.len();
        match byte {
            0 => {}
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // White space at the edges would be lost.
            b' ' if edge => out.extend_from_slice(b"\\x20"),
            byte if byte.is_ascii_control() => {
                out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
            byte => out.push(*byte),
        }
    }
}
