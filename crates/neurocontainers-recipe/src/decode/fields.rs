//! Keys of one mapping.

use nd_report::{Diagnostic, Fix, Severity, Span};
use nd_yaml::{Entry, Map, Node};

use crate::{codes, text::nearest};

use super::Decoder;

/// How many problems get advice; a file with more is none that somebody wrote.
pub(crate) const MOST_HINTS: usize = 200;

/// A mapping that is being decoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'d> {
    /// What the mapping is, for messages.
    pub(crate) what: &'static str,
    /// Where it is.
    pub(crate) span: Span,
    /// Its entries.
    pub(crate) map: &'d Map,
}

impl<'d> Fields<'d> {
    /// The value of a key, null included.
    pub(crate) fn raw(&self, key: &str) -> Option<&'d Node> {
        self.map.get(key)
    }

    /// The value of an optional key; null is as good as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'d Node> {
        self.map.get(key).filter(|node| !node.is_null())
    }

    /// The value of an optional key; for upstream everything is absent that Python counts as
    /// false.
    pub(crate) fn optional(&self, key: &str, out: &Decoder<'_>) -> Option<&'d Node> {
        self.get(key)
            .filter(|node| out.improved() || super::truthy(&node.value))
    }

    /// The value of a key that has to be there; may be null.
    pub(crate) fn required(&self, key: &str, out: &mut Decoder<'_>) -> Option<&'d Node> {
        let found = self.map.get(key);
        if found.is_none() {
            out.missing(self.place(), self.what, key);
        }
        found
    }

    /// Where to point at for what is missing: the first key rather than the whole mapping.
    pub(crate) fn place(&self) -> Span {
        self.map
            .iter()
            .next()
            .map_or(self.span, |entry| entry.key.span)
    }

    /// Reports every key that is not in `known`.
    pub(crate) fn deny_unknown(&self, known: &[&str], out: &mut Decoder<'_>) -> bool {
        let mut fine = true;
        for entry in self.map {
            if !entry.key.as_str().is_some_and(|key| known.contains(&key)) {
                fine = false;
                self.unknown_key(entry, known, out);
            }
        }
        fine
    }

    /// Reports one key that does not belong where it stands.
    pub(crate) fn unknown_key(&self, entry: &Entry, known: &[&str], out: &mut Decoder<'_>) {
        let key = nd_yaml::python_str(&entry.key.value);
        let shown: String = key.chars().take(60).collect();
        let mut found = Diagnostic::new(
            codes::UNKNOWN_KEY,
            Severity::Error,
            format!("unexpected key `{shown}` in {}", self.what),
        )
        .at(entry.key.span, "");
        if out.sink.diagnostics().len() > MOST_HINTS {
            out.sink.push(found);
            return;
        }
        if let Some(meant) = nearest(&key, known.iter().copied()) {
            let advice = format!("did you mean `{meant}`?");
            // Where that key stands already, writing it a second time repairs nothing.
            found = if self.map.get(meant).is_some() {
                found.hint(advice)
            } else {
                let fix = Fix {
                    span: entry.key.span,
                    replacement: meant.to_owned(),
                    safe: true,
                };
                found.fix(advice, fix)
            };
        }
        let list: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
        out.sink
            .push(found.hint(format!("valid keys: {}", list.join(", "))));
    }
}
