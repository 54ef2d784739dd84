//! JSON that remembers where it stood, and its text as Python writes it.
//!
//! The catalogue's files are read by programs that keep the order of members and written by
//! programs whose bytes have to be met; `serde_json` has no places for diagnostics.

mod read;
mod write;

pub(crate) use read::shown;
pub use read::{Limits, parse};
pub use write::{Style, to_text};

use indexmap::IndexMap;
use nd_report::{FileId, Span};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The bytes it takes in its file; empty for what a program made.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// Members of an object in the order of their first mention.
pub type Object = IndexMap<String, Member>;

/// The value of a member, and where its key stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key with its quotes.
    pub key: Span,
    /// The value.
    pub node: Node,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(Object),
}

/// The place of what stands in no file.
pub const NOWHERE: Span = Span {
    file: FileId(u32::MAX),
    start: 0,
    end: 0,
};

impl Node {
    /// A value that stands in no file.
    pub fn new(value: Value) -> Self {
        Self {
            span: NOWHERE,
            value,
        }
    }

    /// Text that stands in no file.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Value::Text(text.into()))
    }

    /// Members that stand in no file.
    pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        let members = members
            .into_iter()
            .map(|(key, node)| (key.into(), Member::new(node)))
            .collect();
        Self::new(Value::Object(members))
    }

    /// The members of an object.
    pub fn members(&self) -> Option<&Object> {
        match &self.value {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        Some(&self.members()?.get(key)?.node)
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Whether both hold the same, wherever they stand; the order of members counts.
    pub fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((ka, a), (kb, b))| ka == kb && a.node.same(&b.node))
            }
            (a, b) => a == b,
        }
    }
}

impl Member {
    /// A member that stands in no file.
    pub fn new(node: Node) -> Self {
        Self { key: NOWHERE, node }
    }
}

impl From<&serde_json::Value> for Node {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        Self::new(match value {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(number.to_string()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            Json::Object(map) => {
                return Self::object(map.iter().map(|(key, value)| (key, Self::from(value))));
            }
        })
    }
}
