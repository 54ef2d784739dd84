//! Lines and columns of byte offsets.

/// A place in a text, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 0.
    pub line: usize,
    /// Column, from 0, in the unit that was asked for.
    pub column: usize,
}

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnUnit {
    /// Unicode code points: what people and SARIF count.
    CodePoints,
    /// UTF-16 code units: what editors count.
    Utf16,
}

/// Where the lines of a text begin.
#[derive(Debug, Clone)]
pub struct LineIndex<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> LineIndex<'t> {
    /// The index of `text`; a line ends after `\n`, so `\r\n` ends one as well.
    pub fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// The place of byte `offset`. An offset beyond the text is its end, one inside a character
    /// that character's start.
    pub fn position(&self, offset: usize, unit: ColumnUnit) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = &self.text[self.starts[line]..offset];
        let column = match unit {
            ColumnUnit::CodePoints => before.chars().count(),
            ColumnUnit::Utf16 => before.chars().map(char::len_utf16).sum(),
        };
        Position { line, column }
    }

    /// The byte offset of a place; one beyond its line is the end of the line, one beyond the
    /// text the end of the text.
    pub fn offset(&self, position: Position, unit: ColumnUnit) -> usize {
        let Some(start) = self.starts.get(position.line).copied() else {
            return self.text.len();
        };
        let end = self
            .starts
            .get(position.line + 1)
            .map_or(self.text.len(), |next| next - 1);
        let mut column = 0;
        for (at, c) in self.text[start..end].char_indices() {
            if column >= position.column {
                return start + at;
            }
            column += match unit {
                ColumnUnit::CodePoints => 1,
                ColumnUnit::Utf16 => c.len_utf16(),
            };
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_both_units_and_back() {
        let text = "a: 1\nb: \u{1f9e0}x\r\n";
        let index = LineIndex::new(text);
        let at = text.find('x').unwrap();
        let points = index.position(at, ColumnUnit::CodePoints);
        assert_eq!((points.line, points.column), (1, 4));
        let units = index.position(at, ColumnUnit::Utf16);
        assert_eq!((units.line, units.column), (1, 5));
        assert_eq!(index.offset(units, ColumnUnit::Utf16), at);
        assert_eq!(index.offset(points, ColumnUnit::CodePoints), at);
        // Inside the brain, and beyond everything.
        assert_eq!(index.position(at - 1, ColumnUnit::Utf16).column, 3);
        assert_eq!(index.position(999, ColumnUnit::Utf16).line, 2);
    }
}
