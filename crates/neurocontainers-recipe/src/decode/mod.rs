//! Nodes to [`crate::raw`]: every problem goes to the sink, the first one ends nothing.

mod about;
mod build;
mod deploy;
mod directive;
mod fields;
mod file;
mod recipe;
mod variant;

use nd_report::{Code, Diagnostic, Severity, Sink, Span};
use nd_yaml::{Node, Value};

use crate::{Compat, Profile, codes};

pub(crate) use directive::decode_directives;
pub(crate) use fields::{Fields, MOST_HINTS};
pub(crate) use recipe::{Draft, decode_recipe};

/// Decodes and reports.
#[derive(Debug)]
pub(crate) struct Decoder<'s> {
    /// How upstream's accidents are treated.
    pub(crate) compat: Compat,
    /// How much a recipe has to say about itself.
    pub(crate) profile: Profile,
    /// Where problems go.
    pub(crate) sink: &'s mut Sink,
}

impl Decoder<'_> {
    /// Whether upstream's accidents are reproduced.
    pub(crate) fn upstream(&self) -> bool {
        self.compat.is_upstream()
    }

    /// Whether upstream's accidents are improved.
    pub(crate) fn improved(&self) -> bool {
        !self.upstream()
    }

    /// Reports an error with one place.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.sink
            .push(Diagnostic::new(code, Severity::Error, message).at(span, ""));
    }

    /// Reports a warning with one place.
    pub(crate) fn warn(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.sink
            .push(Diagnostic::new(code, Severity::Warning, message).at(span, ""));
    }

    /// Reports that `what` has the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} must be {wanted}, not {}", node.kind());
        self.error(codes::WRONG_TYPE, node.span, message);
    }

    /// Reports that `what` is empty.
    pub(crate) fn empty(&mut self, span: Span, what: &str) {
        self.error(codes::EMPTY_VALUE, span, format!("{what} cannot be empty"));
    }

    /// Reports that a mapping lacks `key`.
    pub(crate) fn missing(&mut self, span: Span, what: &str, key: &str) {
        let message = format!("missing required key `{key}` in {what}");
        self.error(codes::MISSING_KEY, span, message);
    }

    /// The mapping in `node`, or a report.
    pub(crate) fn mapping<'d>(&mut self, node: &'d Node, what: &'static str) -> Option<Fields<'d>> {
        if let Some(map) = node.as_map() {
            Some(Fields {
                what,
                span: node.span,
                map,
            })
        } else {
            self.wrong_type(node, what, "a mapping");
            None
        }
    }

    /// The list in `node`, or a report.
    pub(crate) fn list<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d [Node]> {
        if let Some(items) = node.as_seq() {
            return Some(items);
        }
        // Python goes through an empty string or mapping without noticing that it is no list.
        if self.upstream()
            && matches!(&node.value, Value::Str(_) | Value::Map(_))
            && !truthy(&node.value)
        {
            return Some(&[]);
        }
        self.wrong_type(node, what, "a list");
        None
    }

    /// Text that has to be there and must not be blank.
    pub(crate) fn words<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d str> {
        match &node.value {
            Value::Str(text) if !text.trim().is_empty() => Some(text),
            Value::Str(_) | Value::Null => {
                self.empty(node.span, what);
                None
            }
            _ => {
                self.wrong_type(node, what, "a string");
                None
            }
        }
    }

    /// A template for one line of text: any scalar, not blank. Upstream takes whatever Python
    /// counts as true and makes it text.
    pub(crate) fn template<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d Node> {
        match &node.value {
            _ if self.upstream() && node.as_str().is_none() => {
                if !truthy(&node.value) {
                    self.empty(node.span, what);
                    return None;
                }
                Some(node)
            }
            Value::Str(text) if !text.trim().is_empty() => Some(node),
            Value::Str(_) | Value::Null => {
                self.empty(node.span, what);
                None
            }
            Value::Seq(_) | Value::Map(_) | Value::Set(_) | Value::Pairs(_) | Value::Bytes(_) => {
                self.wrong_type(node, what, "a string");
                None
            }
            _ => Some(node),
        }
    }

    /// A boolean. Upstream takes everything and asks Python whether it counts as true.
    pub(crate) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Some(value) = node.as_bool() {
            return Some(value);
        }
        if self.upstream() {
            return Some(truthy(&node.value));
        }
        self.wrong_type(node, what, "`true` or `false`");
        None
    }

    /// A URL, or a template at its start.
    pub(crate) fn url<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d Node> {
        let text = self.words(node, what)?;
        if ["http://", "https://", "{{"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            return Some(node);
        }
        let message = format!("{what} must be a valid URL starting with http:// or https://");
        self.error(codes::INVALID_URL, node.span, message);
        None
    }
}

/// Whether Python counts the value as true.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Int(value) => *value != 0,
        Value::Float(value) => *value != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::Bytes(bytes) => !bytes.is_empty(),
        Value::Seq(items) => !items.is_empty(),
        Value::Map(map) | Value::Set(map) => !map.is_empty(),
        Value::Pairs(pairs) => !pairs.is_empty(),
        Value::BigInt(_) | Value::Date(_) | Value::DateTime(_) => true,
    }
}

/// Whether the node is a list, or a choice between alternatives, which may give one.
fn is_list(node: &Node) -> bool {
    node.as_seq().is_some() || node.get("try").is_some_and(|node| node.as_seq().is_some())
}
