//! The step that keeps the specification in the image.

use serde_json::Value;

use super::json::compact;

/// Longest piece of a line; builders do not take lines of any length.
const PIECE: usize = 16 * 1024;

/// A command that writes the specification to `/.reproenv.json`, byte for byte under every POSIX
/// shell, in lines that a Dockerfile and a definition file can hold.
pub(super) fn command(specification: &Value) -> String {
    let text = compact(specification);
    let mut pieces = Vec::new();
    for part in parts(specification, &text) {
        let mut rest = part.as_str();
        while rest.len() > PIECE {
            // All is ASCII.
            let (piece, after) = rest.split_at(PIECE);
            pieces.push(piece.to_owned());
            rest = after;
        }
        pieces.push(rest.to_owned());
    }
    let words: Vec<String> = pieces.iter().map(|piece| quoted(piece)).collect();
    format!(
        "printf '%s' \\\n    {} \\\n    > /.reproenv.json",
        words.join(" \\\n    ")
    )
}

/// The text with a piece for each instruction.
fn parts(specification: &Value, text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text;
    for instruction in specification["instructions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let shown = compact(instruction);
        let Some(at) = rest.find(&shown) else {
            break;
        };
        if let Some(last) = parts.last_mut() {
            last.push_str(&rest[..at]);
        }
        parts.push(shown.clone());
        rest = &rest[at + shown.len()..];
    }
    if let Some(last) = parts.last_mut() {
        last.push_str(rest);
    }
    // The beginning is too short for a line of its own.
    parts
}

/// In single quotes. Braces beside one another would be a build argument for Apptainer, `<<` a
/// here-document for some builders; JSON can say them in another way.
fn quoted(piece: &str) -> String {
    let piece = piece.replace("{{", "{\\u007b").replace("<<", "<\\u003c");
    format!("'{}'", piece.replace('\'', "'\\''"))
}
