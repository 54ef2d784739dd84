//! Why a request is refused, and the exit status that says so.

use nd_report::edits;

/// What sort of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The command line is wrong.
    Usage,
    /// `--copy` or `--add` has too few values; upstream gives another status for it.
    TooFewValues,
    /// A template file does not have the form of one, or cannot be read.
    TemplateFile,
    /// There is no template of this name.
    UnknownTemplate,
    /// The template has no such method.
    UnknownMethod,
    /// A required argument of a template is missing.
    MissingArgument,
    /// The method of the template has no such argument.
    UnknownArgument,
    /// The template offers no such version.
    UnknownVersion,
    /// The text of a template cannot be rendered.
    Render,
    /// The specification is no JSON, or not of the right form.
    Specification,
    /// An instruction cannot be written in the format that is asked for.
    Instruction,
    /// The user did not agree.
    Aborted,
}

/// A refusal: what is wrong, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort.
    pub kind: RefusalKind,
    /// What is wrong and where: lower case, no final period.
    pub message: String,
    /// What would be right, each a line.
    pub hints: Vec<String>,
}

impl Refusal {
    /// A refusal without hints.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Exit status: 2 for a wrong command line, 1 for everything else; `compat` gives upstream's.
    pub fn status(&self, compat: bool) -> u8 {
        match self.kind {
            RefusalKind::Usage => 2,
            RefusalKind::TooFewValues if !compat => 2,
            _ => 1,
        }
    }
}

/// More edits than that are no slip, however long the words are.
const FURTHEST: usize = 25;

/// `a`, `b` and `c` in backticks, nearest to `wanted` first, at most `most` of them.
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Option<String> {
    let mut all: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(wanted, candidate)?, candidate)))
        .collect();
    all.sort_by_key(|(distance, _)| *distance);
    let words: Vec<String> = all
        .iter()
        .take(most)
        .map(|(_, candidate)| format!("`{candidate}`"))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Edits between two texts as far as that is not too many; a common beginning is free, so that `--inst` is near
/// `--install`.
fn distance(wanted: &str, candidate: &str) -> Option<usize> {
    if candidate.starts_with(wanted) && wanted.len() > 3 {
        return Some(1);
    }
    // A word of which half is other letters is another word.
    let limit = (candidate.len().max(wanted.len()) * 2 / 5).clamp(1, FURTHEST);
    edits(wanted, candidate, limit)
}
