//! Long words that the scanner does not have to see.
//!
//! Most bytes of many recipes are the base64 text of a picture. No rule of YAML looks into such a
//! word, so the scanner, which goes letter by letter, sees a short mark in its place and the
//! loader puts the word back.

use std::ops::Range;

/// Bytes that a word has at least to be worth it.
const WORTH: usize = 1024;

/// Bytes that stay at both ends of a word.
const EDGE: usize = 16;

/// Begins every mark.
const MARK: &str = "cut0";

/// Inner parts of long words, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Bytes of the text that a mark stands for.
    pub(crate) parts: Vec<Range<usize>>,
}

/// Letters of base64: none of them means anything to YAML in the middle of a word.
const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

const LETTERS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_letter(byte as u8);
        byte += 1;
    }
    table
};

impl Cuts {
    /// Looks for long words.
    pub(crate) fn find(text: &str) -> Self {
        let bytes = text.as_bytes();
        let letter = |at: &usize| LETTERS[usize::from(bytes[*at])];
        let mut parts = Vec::new();
        let mut at = WORTH / 2;
        // Of every long word, two bytes at this distance are letters.
        while at + WORTH / 2 < bytes.len() {
            if !letter(&at) || !letter(&(at + WORTH / 2)) {
                at += WORTH / 2;
                continue;
            }
            let start = (0..at).rev().find(|at| !letter(at)).map_or(0, |at| at + 1);
            let end = (at..bytes.len())
                .find(|at| !letter(at))
                .unwrap_or(bytes.len());
            if end - start >= WORTH && is_inert(text, start..end) {
                parts.push(start + EDGE..end - EDGE);
            }
            at = end.max(at) + WORTH / 2;
        }
        if !parts.is_empty() && text.contains(MARK) {
            parts.clear();
        }
        Self { parts }
    }

    /// What the scanner sees in the place of part `index`.
    pub(crate) fn mark(index: usize) -> String {
        format!("{MARK}{index:08}")
    }

    /// Puts the words back that a scalar at `range` of the text lost. `next` is the first part that
    /// no earlier scalar had.
    pub(crate) fn restore(
        &self,
        text: &str,
        range: &Range<usize>,
        scalar: &str,
        next: &mut usize,
    ) -> Option<String> {
        let mut whole = None;
        while let Some(part) = self.parts.get(*next).filter(|part| part.start < range.end) {
            if part.start >= range.start {
                let seen: &str = whole.as_deref().unwrap_or(scalar);
                whole = Some(seen.replacen(&Self::mark(*next), &text[part.clone()], 1));
            }
            *next += 1;
        }
        whole
    }
}

/// Whether a word is neither a name for the scanner (anchor, tag, directive) nor part of a key,
/// whose length is limited.
fn is_inert(text: &str, word: Range<usize>) -> bool {
    let before = text[..word.start]
        .rsplit(|c: char| c.is_whitespace())
        .next()
        .unwrap_or_default();
    let after = text[word.end..].lines().next().unwrap_or_default();
    !before.contains(['&', '*', '!', '%']) && !after.contains(':')
}
