//! The tree that reading gives.

use nd_report::Span;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Bytes it takes in its file; of an alias, those of the alias.
    pub span: Span,
    /// The value as PyYAML would give it.
    pub value: Value,
    /// How a scalar was written.
    pub style: Style,
    /// Text of a scalar that did not become a string; see [`Node::written`].
    pub(crate) text: Option<Box<str>>,
    /// Equal in all copies that aliases and merges made of one node, across files too.
    pub(crate) identity: u64,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes; its type follows from its text.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block after `|` or `>`.
    Block,
    /// Not a scalar.
    Collection,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean, `yes` and `off` included.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that [`Value::Int`] cannot hold, in decimal.
    BigInt(Box<str>),
    /// A floating point number.
    Float(f64),
    /// Text.
    Str(String),
    /// A date.
    Date(Date),
    /// A date and time.
    DateTime(DateTime),
    /// Bytes (`!!binary`).
    Bytes(Vec<u8>),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping.
    Map(Map),
    /// A set (`!!set`): keys with null values.
    Set(Map),
    /// A list of pairs (`!!omap`, `!!pairs`).
    Pairs(Vec<Entry>),
}

/// A calendar date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999 999.
    pub microsecond: u32,
    /// Distance from UTC in minutes, if one was given.
    pub offset: Option<i16>,
}

/// Entries of a mapping in the order of their first mention, no key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; its span is the place to point at for problems with the key.
    pub key: Node,
    /// The value.
    pub value: Node,
}

/// Two nodes are equal when their values are; places and styles do not matter.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A node that no file holds, for values that a program makes up. `span` is the place to
    /// point at when something is wrong with it.
    pub fn new(value: Value, span: Span) -> Self {
        let style = match value {
            Value::Seq(_) | Value::Map(_) | Value::Set(_) | Value::Pairs(_) => Style::Collection,
            Value::Str(_) => Style::Quoted,
            _ => Style::Plain,
        };
        Self {
            span,
            value,
            style,
            text: None,
            identity: 0,
        }
    }

    /// The text of a scalar as written, without quotes and with escapes resolved: `1.10` for
    /// the number 1.1. `None` for collections and for values that no text stands behind.
    pub fn written(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => self.text.as_deref(),
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer, if this is one that fits.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// What the value is called in messages: `a string`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::BigInt(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Str(_) => "a string",
            Value::Date(_) | Value::DateTime(_) => "a date",
            Value::Bytes(_) => "bytes",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Set(_) => "a set",
            Value::Pairs(_) => "a list of pairs",
        }
    }
}

impl Map {
    /// A mapping of these entries; of entries with equal string keys the last wins.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut map = Self::default();
        for entry in entries {
            match map
                .entries
                .iter_mut()
                .find(|known| known.key.value == entry.key.value)
            {
                Some(known) => known.value = entry.value,
                None => map.entries.push(entry),
            }
        }
        map
    }

    /// Value of a string key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Key and value of a string key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.key.as_str() == Some(key))
    }

    /// Entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// Entries in order, by value.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
