//! From bytes to a node: limits, encoding, and the attempts that lenient indentation needs.

use nd_report::{Code, Diagnostic, FileId, Severity, Sink, Span};

use crate::{
    codes,
    cuts::Cuts,
    loader::{Loader, Stop},
    node::Node,
    offsets::{Offsets, Padding},
};

/// What a text may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Collections inside one another; never more than 1000 whatever is asked.
    pub depth: usize,
    /// Values, keys and collections in all, those that aliases repeat included.
    pub nodes: usize,
    /// Bytes of text that aliases repeat.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 << 20,
            depth: 100,
            nodes: 100_000,
            alias_bytes: 2 << 20,
        }
    }
}

/// Most readings of one text, and most bytes that they have together.
const ATTEMPTS: usize = 200;
const ATTEMPT_BYTES: usize = 8 << 20;

/// Reads one document. Empty text is null.
///
/// Problems go to `sink`. With a syntax error, a second document or a limit passed there is no
/// node; other errors (duplicate keys, of which the last wins, unknown tags) leave one, so that
/// a run can go on to find more. `file` is what spans in the node and the diagnostics name.
///
/// ```
/// use nd_report::{FileId, Sink};
///
/// let mut sink = Sink::new();
/// let node = nd_yaml::parse(b"version: 1.10", FileId(0), &nd_yaml::Limits::default(), &mut sink);
/// let version = node.as_ref().and_then(|node| node.get("version"));
/// assert_eq!(version.map(|v| nd_yaml::python_str(&v.value)).as_deref(), Some("1.1"));
/// assert_eq!(version.and_then(|v| v.written()), Some("1.10"));
/// ```
pub fn parse(text: &[u8], file: FileId, limits: &Limits, sink: &mut Sink) -> Option<Node> {
    if text.len() > limits.bytes {
        sink.push(
            error(
                codes::LIMIT,
                format!(
                    "file has {} bytes, more than the {} that are read",
                    text.len(),
                    limits.bytes
                ),
            )
            .at(Span::new(file, 0..0), ""),
        );
        return None;
    }
    let text = decode(text, file, sink)?;
    let (text, start) = match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, 3),
        None => (text, 0),
    };
    let mut padding = Padding::default();
    let cuts = Cuts::find(text);
    // Each attempt costs a reading of the text.
    let mut attempts = (ATTEMPT_BYTES / text.len().max(1)).clamp(1, ATTEMPTS);
    loop {
        let (scanned, offsets) = Offsets::new(text, &padding, &cuts, start);
        let mut found = Sink::new();
        let loader = Loader::new(text, (offsets, &cuts), file, *limits, &mut found);
        let result = loader.run(&scanned);
        attempts -= 1;
        if let Err(Stop::Indentation { at, quoted }) = result
            && attempts > 0
        {
            let changed = if quoted {
                padding.add_quoted(text, at - start)
            } else {
                padding.add_line(text, at - start)
            };
            if changed {
                continue;
            }
        }
        for diagnostic in found.into_diagnostics() {
            sink.push(diagnostic);
        }
        return result.ok();
    }
}

pub(crate) fn error(code: Code, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Error, message)
}

/// Checks the encoding and the characters; everything later may rely on both.
fn decode<'t>(bytes: &'t [u8], file: FileId, sink: &mut Sink) -> Option<&'t str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(problem) => {
            let at = problem.valid_up_to();
            sink.push(
                error(codes::ENCODING, "text is not valid UTF-8")
                    .at(Span::new(file, at..at + 1), "this byte begins no character"),
            );
            return None;
        }
    };
    if !bytes.chunks(64).any(is_suspicious) {
        return Some(text);
    }
    let forbidden = bytes.iter().enumerate().find_map(|(at, byte)| match byte {
        b'\t' | b'\n' | b'\r' | 0x20..=0x7e => None,
        0..=0x1f | 0x7f => Some(at),
        // U+0080 to U+009F but for U+0085, U+FFFE and U+FFFF.
        0xc2 if (0x80..0xa0).contains(&bytes[at + 1]) && bytes[at + 1] != 0x85 => Some(at),
        0xef if bytes[at + 1..].starts_with(b"\xbf\xbe")
            || bytes[at + 1..].starts_with(b"\xbf\xbf") =>
        {
            Some(at)
        }
        _ => None,
    });
    if let Some(at) = forbidden {
        let c = text[at..].chars().next().unwrap_or_default();
        sink.push(
            error(
                codes::ENCODING,
                format!("character U+{:04X} is not allowed in YAML", u32::from(c)),
            )
            .at(Span::new(file, at..at + c.len_utf8()), "")
            .hint("in a double-quoted string write it as an escape, such as `\\x1b`"),
        );
        return None;
    }
    Some(text)
}

/// Whether bytes hold more than ordinary characters and white space; without a branch for each byte,
/// so that many are looked at in one instruction.
fn is_suspicious(bytes: &[u8]) -> bool {
    let found = bytes.iter().fold(0, |found, byte| {
        let is = |what: bool| u8::from(what);
        let white = is(*byte == b'\n') | is(*byte == b'\t') | is(*byte == b'\r');
        found | is(*byte >= 0x7f) | (is(*byte < 0x20) & (white ^ 1))
    });
    found != 0
}
