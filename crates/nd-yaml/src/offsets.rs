//! From places in what the scanner sees to places in the file.
//!
//! The scanner counts characters, spans count bytes; the scanner does not see a byte order mark; it
//! may see more indentation than the file has, see [`Padding`], and less of long words, see [`Cuts`].

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use crate::cuts::Cuts;

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
}

/// A place where the scanner sees something else than the file has.
#[derive(Debug)]
struct Edit {
    /// Bytes of what the scanner sees.
    seen: Range<usize>,
    /// Bytes of the text.
    text: Range<usize>,
}

/// Turns positions into bytes of the file.
#[derive(Debug)]
pub(crate) struct Offsets {
    /// For each character of more than one byte: its index, and the bytes that it and those
    /// before it have beyond one each.
    wide: Vec<(usize, usize)>,
    /// In the order of the text.
    edits: Vec<Edit>,
    /// Bytes before the text that the scanner sees.
    pub(crate) start: usize,
    /// Bytes of the file.
    pub(crate) end: usize,
}

impl Offsets {
    /// What the scanner sees of `text`, and how to get back from there; `start` bytes of the file
    /// stand before it.
    pub(crate) fn new<'t>(
        text: &'t str,
        padding: &Padding,
        cuts: &Cuts,
        start: usize,
    ) -> (Cow<'t, str>, Self) {
        let pads = padding.lines.iter().map(|(at, width)| {
            // A line that begins with a tab would be told off for tabs.
            (*at..*at, " ".repeat(*width))
        });
        let marks = cuts
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| (part.clone(), Cuts::mark(index)));
        let mut places: Vec<(Range<usize>, String)> = pads.chain(marks).collect();
        places.sort_by_key(|(place, _)| place.start);
        let mut edits = Vec::with_capacity(places.len());
        let mut seen = String::new();
        let mut copied = 0;
        for (place, instead) in places {
            seen.push_str(&text[copied..place.start]);
            let begin = seen.len();
            seen.push_str(&instead);
            copied = place.end;
            edits.push(Edit {
                seen: begin..seen.len(),
                text: place,
            });
        }
        let seen = if edits.is_empty() {
            Cow::Borrowed(text)
        } else {
            seen.push_str(&text[copied..]);
            Cow::Owned(seen)
        };
        let mut wide = Vec::new();
        if !seen.is_ascii() {
            let mut extra = 0;
            for (index, c) in seen.chars().enumerate() {
                if c.len_utf8() > 1 {
                    extra += c.len_utf8() - 1;
                    wide.push((index, extra));
                }
            }
        }
        let offsets = Self {
            wide,
            edits,
            start,
            end: start + text.len(),
        };
        (seen, offsets)
    }

    /// Byte of the file for an index of a character.
    pub(crate) fn byte(&self, index: usize) -> usize {
        let before = self.wide.partition_point(|(wide, _)| *wide < index);
        let extra = before.checked_sub(1).map_or(0, |at| self.wide[at].1);
        let mut byte = index + extra;
        let before = self.edits.partition_point(|edit| edit.seen.start < byte);
        if let Some(edit) = before.checked_sub(1).map(|at| &self.edits[at]) {
            byte = match byte.checked_sub(edit.seen.end) {
                Some(behind) => edit.text.end + behind,
                None => edit.text.start,
            };
        }
        (self.start + byte).min(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_marks_for_the_scanner_and_places_stay() {
        let word = "A".repeat(3000);
        let text = format!("é: {word} # ende\nb: [\nc]\n");
        let mut padding = Padding::default();
        padding.add_line(&text, text.find("c]").unwrap());
        let cuts = Cuts::find(&text);
        let (seen, offsets) = Offsets::new(&text, &padding, &cuts, 3);
        assert!(seen.len() < 400);
        for what in ["é", "A", "ende", "b:", "c]", "\n"] {
            let index = seen[..seen.find(what).unwrap()].chars().count();
            assert_eq!(offsets.byte(index), 3 + text.find(what).unwrap(), "{what}");
        }
        let mut next = 0;
        let place = text.find('A').unwrap();
        let scalar = &seen[seen.find('A').unwrap()..seen.find(" # ").unwrap()];
        let whole = cuts.restore(&text, &(place..place + 3000), scalar, &mut next);
        assert_eq!(whole, Some(word));
    }
}
