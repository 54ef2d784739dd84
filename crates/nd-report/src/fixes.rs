//! Repairs of a text by the edits that diagnostics carry.

use std::ops::Range;

use crate::{Diagnostic, FileId, Fix};

/// A text after its repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The text.
    pub text: String,
    /// How many edits were made.
    pub applied: usize,
    /// How many were left out because they overlap an earlier one or do not fit the text.
    pub refused: usize,
}

/// Makes the safe edits of `diagnostics` in `text`, the content of `file`.
///
/// Edits are taken in the order of their places; one that overlaps an edit before it is refused,
/// and so is one whose range is not in the text or cuts a character. The same edit asked for twice
/// is made once. All bytes outside the edits stay as they are.
pub fn apply_safe_fixes(text: &str, file: FileId, diagnostics: &[Diagnostic]) -> Fixed {
    let mut fixes: Vec<&Fix> = diagnostics
        .iter()
        .flat_map(|diagnostic| &diagnostic.hints)
        .filter_map(|hint| hint.fix.as_ref())
        .filter(|fix| fix.safe && fix.span.file == file)
        .collect();
    fixes.sort_by_key(|fix| (fix.span.start, fix.span.end));
    fixes.dedup();
    let mut fixed = Fixed {
        text: String::with_capacity(text.len()),
        applied: 0,
        refused: 0,
    };
    let mut kept_to = 0;
    let mut last: Option<Range<usize>> = None;
    for fix in fixes {
        let range = fix.span.range();
        // Two insertions at one place have no order; neither have an insertion and what begins there.
        let overlaps = last
            .as_ref()
            .is_some_and(|last| range.start < last.end || range.start == last.start);
        if overlaps || text.get(range.clone()).is_none() {
            fixed.refused += 1;
            continue;
        }
        fixed.text.push_str(&text[kept_to..range.start]);
        fixed.text.push_str(&fix.replacement);
        kept_to = range.end;
        fixed.applied += 1;
        last = Some(range);
    }
    fixed.text.push_str(&text[kept_to..]);
    fixed
}
