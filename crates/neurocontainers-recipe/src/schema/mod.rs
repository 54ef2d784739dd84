//! The format of recipes and test suites as data: for JSON schemas, editors and documentation.
//!
//! Decoding does not read this description; a test holds the two against each other, key by key.

mod about;
mod json;
mod recipe;
mod suite;

pub use json::json_schema;
pub use recipe::{DIRECTIVE, RECIPE};
pub use suite::SUITE;

/// A mapping of the format.
#[derive(Debug)]
pub struct Object {
    /// Its name among the definitions of a schema.
    pub name: &'static str,
    /// What it is, one sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Keys of which exactly one has to be there; empty for no such demand.
    pub one_of: &'static [&'static str],
    /// What further keys hold; `None` when there may not be any.
    pub others: Option<Kind>,
}

/// A key of a mapping.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether it has to be there.
    pub required: bool,
    /// What it holds.
    pub kind: Kind,
    /// What it means, in Markdown.
    pub doc: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Anything.
    Any,
    /// Nothing.
    Null,
    /// Text that is not blank.
    Text,
    /// Text, a number, a boolean.
    Scalar,
    /// Text of a form that a regular expression describes.
    Pattern(&'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Integer(i64, i64),
    /// A list.
    List(&'static Kind),
    /// A list that is not empty.
    FullList(&'static Kind),
    /// A mapping with keys of the author's own.
    Map(&'static Kind),
    /// A mapping of the format.
    Object(&'static Object),
    /// One of several kinds.
    Either(&'static [Kind]),
}

/// A key that may be absent.
const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        required: false,
        kind,
        doc,
    }
}

/// A key that has to be there.
const fn needed(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        required: true,
        kind,
        doc,
    }
}

impl Object {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The key at a path of keys; steps into lists are left out, since all entries are of one kind.
///
/// ```
/// use neurocontainers_recipe::schema::{RECIPE, describe};
///
/// let key = describe(&RECIPE, &["build", "directives", "file", "url"]);
/// assert!(key.is_some_and(|key| key.doc.contains("fetched")));
/// ```
pub fn describe(root: &'static Object, path: &[&str]) -> Option<&'static Key> {
    let (last, before) = path.split_last()?;
    let mut object = root;
    for (at, name) in before.iter().enumerate() {
        match step(object.key(name)?.kind) {
            Inside::Object(next) => object = next,
            // A name of the author's own comes next.
            Inside::Named(next) if at + 1 < before.len() => {
                return describe(next, &path[at + 2..]);
            }
            _ => return None,
        }
    }
    object.key(last)
}

enum Inside {
    Object(&'static Object),
    Named(&'static Object),
    Nothing,
}

fn step(kind: Kind) -> Inside {
    match kind {
        Kind::Object(object) => Inside::Object(object),
        Kind::List(inner) | Kind::FullList(inner) => step(*inner),
        Kind::Map(inner) => match step(*inner) {
            Inside::Object(object) => Inside::Named(object),
            _ => Inside::Nothing,
        },
        Kind::Either(kinds) => kinds
            .iter()
            .map(|kind| step(*kind))
            .find(|inside| !matches!(inside, Inside::Nothing))
            .unwrap_or(Inside::Nothing),
        _ => Inside::Nothing,
    }
}

/// All mappings below one, itself first, each once.
pub fn objects(root: &'static Object) -> Vec<&'static Object> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(object) = found.get(next).copied() {
        next += 1;
        for kind in object.keys.iter().map(|key| key.kind).chain(object.others) {
            inner(kind, &mut found);
        }
    }
    found
}

fn inner(kind: Kind, found: &mut Vec<&'static Object>) {
    match kind {
        Kind::Object(object) if found.iter().any(|known| known.name == object.name) => {}
        Kind::Object(object) => found.push(object),
        Kind::List(kind) | Kind::FullList(kind) | Kind::Map(kind) => inner(*kind, found),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| inner(*kind, found)),
        _ => {}
    }
}
