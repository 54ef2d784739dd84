//! What can go wrong with a template.

use std::ops::Range;

use minijinja::{Error, ErrorKind};

/// What sort of problem a template has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TemplateErrorKind {
    /// The template does not parse.
    Syntax,
    /// A name, attribute or item does not exist.
    Undefined,
    /// There is no filter, test, function or method of this name.
    Unknown,
    /// An operation does not fit its operands, or an argument its function.
    Operation,
    /// The template called `raise`, or a function of the caller refused.
    Raised,
    /// It takes too much work, or nests too deep.
    Limit,
}

/// A problem with a template and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What sort of problem.
    pub kind: TemplateErrorKind,
    /// What is wrong: lower case, no final period.
    pub message: String,
    /// Bytes of the template it is about, where they are known.
    pub range: Option<Range<usize>>,
}

/// Marks errors made by [`failure`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

/// The error that a function in the context returns to refuse with `message`; it comes out of
/// the engine as [`TemplateErrorKind::Raised`] with exactly this message.
pub fn failure(message: impl Into<String>) -> Error {
    let message = message.into();
    Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Failure(message))
}

/// The error of an object that has no method of the name it was called by; the engine then
/// tries Python's methods.
pub fn unknown_method() -> Error {
    ErrorKind::UnknownMethod.into()
}

impl TemplateError {
    /// Makes the engine's error ours. `source` is the text the engine got.
    pub(crate) fn from_engine(problem: &Error, source: &str) -> Self {
        let range = problem
            .range()
            .filter(|range| range.start <= range.end && source.get(range.clone()).is_some());
        if let Some(failure) = raised(problem) {
            return Self {
                kind: TemplateErrorKind::Raised,
                message: failure,
                range,
            };
        }
        let kind = match problem.kind() {
            ErrorKind::SyntaxError | ErrorKind::BadEscape | ErrorKind::InvalidDelimiter => {
                TemplateErrorKind::Syntax
            }
            ErrorKind::UndefinedError => TemplateErrorKind::Undefined,
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::UnknownBlock
            | ErrorKind::TemplateNotFound => TemplateErrorKind::Unknown,
            ErrorKind::OutOfFuel => TemplateErrorKind::Limit,
            _ if problem
                .detail()
                .is_some_and(|detail| detail.contains("recursion limit")) =>
            {
                TemplateErrorKind::Limit
            }
            _ => TemplateErrorKind::Operation,
        };
        let at = range.clone().and_then(|range| source.get(range));
        let message = match (kind, at) {
            (TemplateErrorKind::Undefined, Some(at)) if is_path(at) => {
                format!("`{at}` is undefined")
            }
            (TemplateErrorKind::Limit, _) => "template takes too much work".into(),
            _ => match problem.detail() {
                Some(detail) => detail.to_owned(),
                None => problem.kind().to_string(),
            },
        };
        Self {
            kind,
            message,
            range,
        }
    }
}

/// Message of a [`failure`] somewhere behind the error.
fn raised(problem: &Error) -> Option<String> {
    let mut cause = std::error::Error::source(problem);
    while let Some(next) = cause {
        if let Some(failure) = next.downcast_ref::<Failure>() {
            return Some(failure.0.clone());
        }
        cause = next.source();
    }
    None
}

/// Whether text is a name with attributes, and so good to show.
fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 80
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}
