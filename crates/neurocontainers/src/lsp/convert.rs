//! Our places, paths and diagnostics as those of the protocol, and back.

use std::{
    ops::Range,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use nd_report::{ColumnUnit, Diagnostic, LineIndex, Position, Severity};
use serde_json::{Value, json};

use crate::diagnose::{Outcome, TOOL};

/// The path of a `file:` URI.
pub(super) fn path_of_uri(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::new();
    let mut left = rest.as_bytes();
    while let Some((byte, after)) = left.split_first() {
        left = after;
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| *byte == b'%') {
            Some(code) => {
                bytes.push(code);
                left = &after[2..];
            }
            None => bytes.push(*byte),
        }
    }
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
    path.is_absolute().then_some(path)
}

/// The `file:` URI of a path.
pub(super) fn uri_of_path(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// The byte offset of a position in `text`.
pub(super) fn position(value: &Value, text: &str) -> Option<usize> {
    let number = |key: &str| usize::try_from(value[key].as_u64()?).ok();
    let position = Position {
        line: number("line")?,
        column: number("character")?,
    };
    Some(LineIndex::new(text).offset(position, ColumnUnit::Utf16))
}

/// The range of bytes of `text`.
pub(super) fn range(range: Range<usize>, text: &str) -> Value {
    let index = LineIndex::new(text);
    let place = |offset| {
        let found = index.position(offset, ColumnUnit::Utf16);
        json!({"line": found.line, "character": found.column})
    };
    json!({"start": place(range.start), "end": place(range.end.max(range.start))})
}

/// A diagnostic; `uri` names files.
pub(super) fn diagnostic(
    found: &Diagnostic,
    outcome: &Outcome,
    uri: impl Fn(&Path) -> String,
) -> Value {
    let place = |span: nd_report::Span| {
        let text = outcome.sources.text(span.file).unwrap_or_default();
        range(span.range(), text)
    };
    let mut message = found.message.clone();
    for hint in &found.hints {
        message.push_str("\nhint: ");
        message.push_str(&hint.text);
    }
    let main = found.labels.first();
    let related: Vec<Value> = found
        .labels
        .iter()
        .skip(1)
        .filter_map(|label| {
            let path = outcome.paths.get(&label.span.file)?;
            let text = if label.text.is_empty() {
                "also here"
            } else {
                &label.text
            };
            Some(json!({
                "location": {"uri": uri(path), "range": place(label.span)},
                "message": text,
            }))
        })
        .collect();
    json!({
        "range": main.map_or_else(|| range(0..0, ""), |label| place(label.span)),
        "severity": match found.severity {
            Severity::Error => 1,
            Severity::Warning => 2,
            Severity::Note => 3,
        },
        "code": found.code.id(),
        "codeDescription": {"href": format!("{}{}", TOOL.pages, found.code.page())},
        "source": TOOL.name,
        "message": message,
        "relatedInformation": related,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_their_uris() {
        for path in ["/a/b.yaml", "/with blank/ä%41", "/"] {
            let path = Path::new(path);
            assert_eq!(path_of_uri(&uri_of_path(path)).as_deref(), Some(path));
        }
        assert_eq!(path_of_uri("file:///a%20b%"), Some(PathBuf::from("/a b%")));
        assert_eq!(path_of_uri("untitled:x"), None);
        assert_eq!(path_of_uri("file://host"), None);
    }
}
