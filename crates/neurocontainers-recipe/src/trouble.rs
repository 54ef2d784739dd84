//! What the template engine says, as diagnostics that point into the recipe.

use std::ops::Range;

use nd_jinja::{TemplateError, TemplateErrorKind};
use nd_report::{Diagnostic, Severity, Span};
use nd_yaml::{Node, Style};

use crate::{Source, Sources, codes};

/// What was rendered or parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Text with expressions in it.
    Template,
    /// One expression.
    Condition,
}

/// A diagnostic about the template in `node`.
pub(crate) fn in_node(
    trouble: &TemplateError,
    node: &Node,
    syntax: Syntax,
    sources: &Sources,
) -> Diagnostic {
    let source = sources.get(node.span.file);
    let exact = trouble
        .range
        .clone()
        .and_then(|range| locate(node, range, source?));
    describe(trouble, syntax).at(exact.unwrap_or(node.span), "")
}

/// A diagnostic about a file that is a template as a whole.
pub(crate) fn in_file(
    trouble: &TemplateError,
    source: Option<&Source>,
    syntax: Syntax,
) -> Diagnostic {
    let found = describe(trouble, syntax);
    match source {
        Some(source) => {
            let range = trouble.range.clone().unwrap_or(0..0);
            found.at(Span::new(source.file, range), "")
        }
        None => found,
    }
}

fn describe(trouble: &TemplateError, syntax: Syntax) -> Diagnostic {
    let (code, what) = match (trouble.kind, syntax) {
        (TemplateErrorKind::Syntax, Syntax::Template) => {
            (codes::TEMPLATE_SYNTAX, "template syntax error")
        }
        (TemplateErrorKind::Syntax, Syntax::Condition) => {
            (codes::CONDITION_SYNTAX, "condition syntax error")
        }
        (TemplateErrorKind::Limit, _) => (codes::LIMIT, "template error"),
        (TemplateErrorKind::Raised, _) if trouble.message.starts_with("declared file") => {
            (codes::FILE_NOT_AVAILABLE, "template error")
        }
        (TemplateErrorKind::Raised, _) if trouble.message.starts_with("local context") => {
            (codes::LOCAL_CONTEXT, "template error")
        }
        _ => (codes::TEMPLATE_ERROR, "template error"),
    };
    let message = format!("{what}: {}", trouble.message);
    let found = Diagnostic::new(code, Severity::Error, message);
    if code == codes::TEMPLATE_SYNTAX && trouble.message.contains("comment") {
        found.hint("shell text with `{#` stands between `{% raw %}` and `{% endraw %}`")
    } else {
        found
    }
}

/// Where bytes of a scalar's value stand in the file, when that can be told.
fn locate(node: &Node, range: Range<usize>, source: &Source) -> Option<Span> {
    let value = node.as_str()?;
    let written = source.slice(node.span);
    let span = |from: usize, to: usize| {
        let start = node.span.start as usize;
        Some(Span::new(node.span.file, start + from..start + to))
    };
    match node.style {
        Style::Plain if written == value => span(range.start, range.end),
        Style::Quoted if written.get(1..written.len().checked_sub(1)?) == Some(value) => {
            span(range.start + 1, range.end + 1)
        }
        Style::Block => {
            locate_in_block(value, &range, written).and_then(|(from, to)| span(from, to))
        }
        // Escapes and folded lines: find the piece if it stands there once.
        _ => {
            let piece = value.get(range).filter(|piece| piece.len() > 2)?;
            let at = written.find(piece)?;
            let again = written.get(at + 1..)?.contains(piece);
            (!again)
                .then_some(())
                .and_then(|()| span(at, at + piece.len()))
        }
    }
}

/// Finds a line of a literal block among the lines as written, which are indented.
fn locate_in_block(value: &str, range: &Range<usize>, written: &str) -> Option<(usize, usize)> {
    let before = value.get(..range.start)?;
    let number = before.matches('\n').count();
    let column = range.start - before.rfind('\n').map_or(0, |at| at + 1);
    let line = value.lines().nth(number)?;
    let mut at = written.find('\n')? + 1;
    let mut lines = written.get(at..)?.split_inclusive('\n');
    for _ in 0..number {
        at += lines.next()?.len();
    }
    let found = lines.next()?.trim_end_matches(['\n', '\r']);
    let indent = found.len().checked_sub(line.len())?;
    if found.get(indent..) != Some(line) {
        return None;
    }
    let start = at + indent + column;
    let length = range.len().min(line.len().saturating_sub(column));
    Some((start, start + length))
}
