//! The texts that spans point into.

use std::sync::OnceLock;

use nd_report::{FileId, Span};

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its number in spans.
    pub file: FileId,
    /// Its path as shown to people.
    pub name: String,
    /// Its text; empty when it was no text.
    pub text: String,
    /// Where lines end, found when somebody asks for the first time.
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    pub(crate) fn new(file: FileId, name: String, text: String) -> Self {
        Self {
            file,
            name,
            text,
            lines: OnceLock::new(),
        }
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: u32) -> u32 {
        let lines = self.lines.get_or_init(|| {
            let ends = memchr::memchr_iter(b'\n', self.text.as_bytes());
            ends.map(|at| u32::try_from(at).unwrap_or(u32::MAX))
                .collect()
        });
        let before = lines.partition_point(|end| *end < at);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }
}

/// All files of a recipe that were read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    first: u32,
    files: Vec<Source>,
}

impl Sources {
    /// No files; the first one will have this number.
    pub fn starting_at(first: u32) -> Self {
        Self {
            first,
            files: Vec::new(),
        }
    }

    /// Number that the next file will have.
    pub fn next_id(&self) -> FileId {
        FileId(self.first + u32::try_from(self.files.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn add(&mut self, name: String, text: String) -> FileId {
        let file = self.next_id();
        self.files.push(Source::new(file, name, text));
        file
    }

    /// The file of this number.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files
            .get(usize::try_from(file.0.checked_sub(self.first)?).ok()?)
    }

    /// Files in the order they were read.
    pub fn iter(&self) -> std::slice::Iter<'_, Source> {
        self.files.iter()
    }
}

impl<'a> IntoIterator for &'a Sources {
    type Item = &'a Source;
    type IntoIter = std::slice::Iter<'a, Source>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        let source = Source::new(FileId(3), "a".into(), "one\ntwo\n\nfour".into());
        let lines: Vec<u32> = [0, 3, 4, 8, 9, 13].map(|at| source.line(at)).to_vec();
        assert_eq!(lines, [1, 1, 2, 3, 4, 4]);
    }
}
