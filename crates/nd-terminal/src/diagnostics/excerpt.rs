//! The few lines of a file that diagnostics speak of, long ones cut.
//!
//! The renderer looks at every byte of what it is given, several times. Recipes hold icons of
//! kilobytes on one line, and a run shows hundreds of diagnostics, so it is given little.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// Lines shown before and after one that is spoken of.
const CONTEXT: usize = 1;
/// Lines of a place that are kept: its beginning.
const LINES_OF_A_PLACE: usize = 6;
/// Bytes kept before a place on its line, and behind it.
const BEFORE: usize = 60;
const AFTER: usize = 60;
/// Stands for what was cut.
const CUT: &str = "…";

#[derive(Debug)]
struct Line {
    /// Number in the file, from 0.
    number: usize,
    /// Its bytes in the excerpt, with the end of the line.
    range: Range<usize>,
    /// Bytes of the file that are kept.
    kept: Range<usize>,
    /// Characters of the file's line before those.
    column: usize,
    /// Bytes of the mark for what was cut before.
    mark: usize,
}

/// Some lines of a file.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    lines: Vec<Line>,
}

impl Excerpt {
    /// The lines of `text` around `places`, which lie within it, and the places in the excerpt.
    pub(super) fn new(
        name: &str,
        text: &str,
        places: &[Range<usize>],
    ) -> (Self, Vec<Range<usize>>) {
        let mut starts = vec![0];
        starts.extend(line_starts(text));
        let line_of = |at: usize| starts.partition_point(|start| *start <= at) - 1;
        let mut numbers: Vec<usize> = Vec::new();
        for place in places {
            let first = line_of(place.start);
            let last =
                line_of(place.end.saturating_sub(1).max(place.start)).min(first + LINES_OF_A_PLACE);
            numbers.extend(first.saturating_sub(CONTEXT)..=(last + CONTEXT).min(starts.len() - 1));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut excerpt = Self {
            name: name.to_owned(),
            text: String::new(),
            lines: Vec::new(),
        };
        for number in numbers {
            let end = starts.get(number + 1).copied().unwrap_or(text.len());
            let line = text[starts[number]..end].trim_end_matches(['\n', '\r']);
            let whole = starts[number]..starts[number] + line.len();
            excerpt.push(number, whole, text, places);
        }
        let places = places.iter().map(|place| excerpt.place(place)).collect();
        (excerpt, places)
    }

    fn push(&mut self, number: usize, whole: Range<usize>, text: &str, places: &[Range<usize>]) {
        let here = places
            .iter()
            .filter(|place| place.start < whole.end && place.end > whole.start);
        let first = here.clone().map(|place| place.start.max(whole.start)).min();
        let last = here.map(|place| place.end.min(whole.end)).max();
        let (first, last) = (first.unwrap_or(whole.start), last.unwrap_or(whole.start));
        let mut kept = whole.clone();
        if whole.len() > 2 * (BEFORE + AFTER) {
            // A line is cut at its head only when there is much before the place.
            if first - whole.start > 2 * BEFORE {
                kept.start = first - BEFORE;
            }
            kept.end = whole
                .end
                .min((last + AFTER).min(kept.start + 3 * (BEFORE + AFTER)));
            while !text.is_char_boundary(kept.start) {
                kept.start -= 1;
            }
            while !text.is_char_boundary(kept.end) {
                kept.end -= 1;
            }
        }
        let start = self.text.len();
        let mark = if kept.start > whole.start {
            CUT.len()
        } else {
            0
        };
        if mark > 0 {
            self.text.push_str(CUT);
        }
        self.text.push_str(&text[kept.clone()]);
        if kept.end < whole.end {
            self.text.push_str(CUT);
        }
        self.text.push('\n');
        self.lines.push(Line {
            number,
            range: start..self.text.len(),
            column: text[whole.start..kept.start].chars().count(),
            kept,
            mark,
        });
    }

    /// A place of the file in the excerpt.
    fn place(&self, place: &Range<usize>) -> Range<usize> {
        let find = |at: usize| {
            let line = self
                .lines
                .iter()
                .rfind(|line| line.kept.start <= at)
                .or(self.lines.first());
            line.map_or(0, |line| {
                let within = at.saturating_sub(line.kept.start).min(line.kept.len());
                line.range.start + line.mark + within
            })
        };
        let start = find(place.start);
        start..find(place.end).max(start)
    }
}

/// Starts of all lines but the first; nothing behind the last newline is a line.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    ends.map(|(at, _)| at + 1)
        .filter(|start| *start < text.len())
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let end = span.offset() + span.len();
        if self.lines.is_empty() || end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let line_of = |at: usize| {
            let found = self.lines.partition_point(|line| line.range.start <= at);
            found.saturating_sub(1)
        };
        let follows = |a: usize, b: usize| self.lines[a].number + 1 == self.lines[b].number;
        let mut first = line_of(span.offset());
        let mut last = line_of(end.saturating_sub(1).max(span.offset()));
        let of_span = &self.lines[first];
        if before == 0 {
            let text = &self.text[span.offset()..end];
            let written = &self.text[of_span.range.start..span.offset()];
            let cut = usize::from(of_span.mark > 0);
            let column = (of_span.column + written.chars().count()).saturating_sub(cut);
            return Ok(Box::new(MietteSpanContents::new_named(
                self.name.clone(),
                text.as_bytes(),
                *span,
                of_span.number,
                column,
                last - first + 1,
            )));
        }
        for _ in 0..before {
            if first > 0 && follows(first - 1, first) {
                first -= 1;
            }
        }
        for _ in 0..after {
            if last + 1 < self.lines.len() && follows(last, last + 1) {
                last += 1;
            }
        }
        let range = self.lines[first].range.start..self.lines[last].range.end;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            &self.text.as_bytes()[range.clone()],
            (range.start, range.len()).into(),
            self.lines[first].number,
            0,
            last - first + 1,
        )))
    }
}
