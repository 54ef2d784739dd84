//! From places in what the scanner sees to places in the file.
//!
//! The scanner counts characters, spans count bytes; the scanner does not see a byte order mark;
//! and it may see more indentation than the file has, see [`Padding`].

use std::{borrow::Cow, collections::BTreeMap};

/// Spaces that a line gets: more than any block is indented in practice.
const WIDTH: usize = 256;

/// Lines inside brackets and quotes that the scanner sees indented further than they are.
///
/// YAML 1.2 wants them deeper than the block they stand in, PyYAML does not care:
///
/// ```yaml
/// architectures: [
///   x86_64
/// ]
/// ```
///
/// White space at the start of such lines means nothing, so the remedy is to add some.
#[derive(Debug, Default)]
pub(crate) struct Padding {
    /// First byte of each line.
    lines: BTreeMap<usize, usize>,
}

impl Padding {
    /// Indents the line that holds `at`. Gives false if it is already.
    pub(crate) fn add_line(&mut self, text: &str, at: usize) -> bool {
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        self.lines.insert(start, WIDTH).is_none()
    }

    /// Indents the lines that continue the quoted text which begins at `at`. Gives false if
    /// there is nothing to do.
    pub(crate) fn add_quoted(&mut self, text: &str, at: usize) -> bool {
        let Some(quote @ ('"' | '\'')) = text[at..].chars().next() else {
            return false;
        };
        let mut changed = false;
        let mut chars = text[at + 1..].char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' if quote == '"' => {
                    // An escaped line break is followed by indentation like any other.
                    if let Some((index, '\n')) = chars.next() {
                        changed |= self.lines.insert(at + 1 + index + 1, WIDTH).is_none();
                    }
                }
                '\n' => changed |= self.lines.insert(at + 1 + index + 1, WIDTH).is_none(),
                // Two single quotes are one; what ends here begins again at once.
                c if c == quote => {
                    let rest = &text[at + 1 + index + 1..];
                    if quote == '"' || !rest.starts_with('\'') {
                        break;
                    }
                    chars.next();
                }
                _ => {}
            }
        }
        changed
    }

    /// What the scanner sees.
    pub(crate) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.lines.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + self.lines.len() * WIDTH);
        let mut copied = 0;
        for (start, width) in &self.lines {
            out.push_str(&text[copied..*start]);
            // A line that begins with a tab would be told off for it.
            out.extend(std::iter::repeat_n(' ', *width));
            copied = *start;
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }
}

/// Turns positions into bytes of the file.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// For each character of more than one byte: its index, and the bytes that it and those
    /// before it have beyond one each.
    wide: Vec<(usize, usize)>,
    /// Where the scanner sees additional spaces, how many, and how many before them.
    padded: Vec<(usize, usize, usize)>,
    /// Bytes before the text that the scanner sees.
    pub(crate) start: usize,
    /// Bytes of the file.
    pub(crate) end: usize,
}

impl Offsets {
    /// `scanned` is `text` with the padding; `start` bytes of the file stand before it.
    pub(crate) fn new(text: &str, scanned: &str, padding: &Padding, start: usize) -> Self {
        let mut wide = Vec::new();
        if !scanned.is_ascii() {
            let mut extra = 0;
            for (index, c) in scanned.chars().enumerate() {
                if c.len_utf8() > 1 {
                    extra += c.len_utf8() - 1;
                    wide.push((index, extra));
                }
            }
        }
        let mut before = 0;
        let padded = padding.lines.iter().map(|(start, width)| {
            let place = (start + before, *width, before);
            before += width;
            place
        });
        Self {
            wide,
            padded: padded.collect(),
            start,
            end: start + text.len(),
        }
    }

    /// Byte of the file for an index of a character.
    pub(crate) fn byte(&self, index: usize) -> usize {
        let before = self.wide.partition_point(|(wide, _)| *wide < index);
        let extra = before.checked_sub(1).map_or(0, |at| self.wide[at].1);
        let mut byte = index + extra;
        let before = self.padded.partition_point(|(place, ..)| *place < byte);
        if let Some((place, width, earlier)) = before.checked_sub(1).map(|at| self.padded[at]) {
            byte = (place + width).max(byte) - width - earlier;
        }
        (self.start + byte).min(self.end)
    }
}
