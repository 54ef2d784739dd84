//! Deployment files, one over the other, each value with its origin.

use std::{collections::BTreeMap, ops::Range};

use nd_report::{Diagnostic, FileId, Severity, Sink, Span, nearest};
use serde::Deserialize as _;
use toml::Spanned;

use super::keys::{KEYS, Kind, find};
use crate::{codes, json::shown};

/// One file, as it is laid over those before it.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'t> {
    /// How people call it.
    pub name: &'t str,
    /// What diagnostics call it.
    pub file: FileId,
    /// Its text.
    pub text: &'t str,
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// `FILE:LINE`, or words when no file says it.
    pub origin: String,
}

/// Values that keys have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// A boolean.
    Flag(bool),
}

/// All values by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved(pub BTreeMap<&'static str, Setting>);

impl Resolved {
    /// A value that is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &self.0.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A value that is a list.
    pub fn list(&self, key: &str) -> &[String] {
        match self.0.get(key).map(|setting| &setting.value) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// A value that is a boolean.
    pub fn flag(&self, key: &str) -> bool {
        matches!(
            self.0.get(key).map(|setting| &setting.value),
            Some(Value::Flag(true))
        )
    }

    /// Whether one of `keys` has a value that is not the shipped one.
    pub fn is_set(&self, keys: &[&str]) -> bool {
        let own = |setting: &Setting| !setting.origin.starts_with("shipped:");
        keys.iter().filter_map(|key| self.0.get(key)).any(own)
    }

    /// Sets what a command line says.
    pub fn set(&mut self, key: &'static str, value: Value, origin: &str) {
        let origin = origin.to_owned();
        self.0.insert(key, Setting { value, origin });
    }
}

/// Lays `layers` one over the other, the last on top. A layer that sets `brand` is another project: it
/// begins from nothing, so that nothing of the project below shows through.
pub fn resolve(layers: &[Layer<'_>], sink: &mut Sink) -> Resolved {
    let mut resolved = Resolved::default();
    for layer in layers {
        apply(layer, &mut resolved, sink);
    }
    if let Some(brand) = resolved.text("brand").map(str::to_owned)
        && resolved.text("slug").is_none()
    {
        resolved.set("slug", Value::Text(slug_of(&brand)), "made from `brand`");
    }
    resolved
}

fn apply(layer: &Layer<'_>, resolved: &mut Resolved, sink: &mut Sink) {
    let table = match toml::Deserializer::parse(layer.text)
        .and_then(BTreeMap::<Spanned<String>, Spanned<toml::Value>>::deserialize)
    {
        Ok(table) => table,
        Err(error) => {
            let place = error.span().unwrap_or(0..0);
            let found =
                Diagnostic::new(codes::SETTING, Severity::Error, error.message().to_owned());
            sink.push(found.at(Span::new(layer.file, place), ""));
            return;
        }
    };
    if table.keys().any(|key| key.get_ref() == "brand") {
        *resolved = Resolved::default();
    }
    for (key, value) in table {
        let Some(known) = find(key.get_ref()) else {
            let message = format!("key `{}` is unknown", shown(key.get_ref()));
            let found = Diagnostic::new(codes::UNKNOWN_SETTING, Severity::Warning, message)
                .at(Span::new(layer.file, key.span()), "");
            let names = KEYS.iter().map(|key| key.name);
            let found = match nearest(key.get_ref(), names) {
                Some(name) => found.hint(format!("did you mean `{name}`?")),
                None => found,
            };
            sink.push(found);
            continue;
        };
        match check(known.kind, value.get_ref()) {
            Ok(good) => {
                let origin = format!("{}:{}", layer.name, line(layer.text, &key.span()));
                resolved.set(known.name, good, &origin);
            }
            Err(wanted) => {
                let message = format!("`{}` has to be {wanted}", known.name);
                let found = Diagnostic::new(codes::SETTING, Severity::Error, message);
                sink.push(found.at(Span::new(layer.file, value.span()), ""));
            }
        }
    }
}

fn line(text: &str, place: &Range<usize>) -> usize {
    text.get(..place.start)
        .unwrap_or(text)
        .matches('\n')
        .count()
        + 1
}

/// The value when it fits, else what would have.
fn check(kind: Kind, value: &toml::Value) -> Result<Value, String> {
    let text = |wanted: &str| match value.as_str() {
        Some(text) if !text.chars().any(nd_report::is_invisible) => Ok(text.to_owned()),
        _ => Err(wanted.to_owned()),
    };
    match kind {
        Kind::Text => text("text without control characters").map(Value::Text),
        Kind::Word => {
            let wanted = "a lower-case letter, then letters, digits and `-`";
            let word = text(wanted)?;
            let first = word.starts_with(|c: char| c.is_ascii_lowercase());
            let rest = word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            (first && rest)
                .then_some(Value::Text(word))
                .ok_or_else(|| wanted.to_owned())
        }
        Kind::Path => {
            let wanted = "an absolute path without `..`";
            let path = text(wanted)?;
            let good = path.starts_with('/') && !path.split('/').any(|part| part == "..");
            good.then_some(Value::Text(path))
                .ok_or_else(|| wanted.to_owned())
        }
        Kind::List => value
            .as_array()
            .and_then(|items| {
                items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect()
            })
            .map(Value::List)
            .ok_or_else(|| "a list of text".to_owned()),
        Kind::Flag => value
            .as_bool()
            .map(Value::Flag)
            .ok_or_else(|| "a boolean".to_owned()),
        Kind::Choice(words) => {
            let wanted = format!("one of {}", words.join(", "));
            let word = text(&wanted)?;
            words
                .contains(&word.as_str())
                .then_some(Value::Text(word))
                .ok_or(wanted)
        }
    }
}

/// `brand` as a word for names.
fn slug_of(brand: &str) -> String {
    let mut slug = String::new();
    for c in brand.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug
        .trim_end_matches('-')
        .trim_start_matches(|c: char| !c.is_ascii_lowercase());
    if slug.is_empty() {
        "applications".to_owned()
    } else {
        slug.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{Deployment, Desktop, SHIPPED};

    fn layer<'t>(name: &'t str, text: &'t str) -> Layer<'t> {
        Layer {
            name,
            file: FileId(0),
            text,
        }
    }

    #[test]
    fn what_is_shipped_is_good() {
        let mut sink = Sink::new();
        let resolved = resolve(&[layer("shipped", SHIPPED)], &mut sink);
        assert_eq!(sink.diagnostics(), []);
        let deployment = Deployment::of(&resolved);
        assert_eq!(
            (deployment.brand.as_str(), deployment.desktop),
            ("Neurodesk", Desktop::Standard)
        );
    }

    #[test]
    fn another_brand_begins_from_nothing_and_other_keys_lie_over_what_is_there() {
        let mut sink = Sink::new();
        let site = layer("site.toml", "\nprefix = \"/opt/x\"\n");
        let resolved = resolve(&[layer("shipped", SHIPPED), site], &mut sink);
        assert_eq!(resolved.text("brand"), Some("Neurodesk"));
        assert_eq!(resolved.0["prefix"].origin, "site.toml:2");
        let other = layer("other.toml", "brand = \"Plasma Physics!\"\n");
        let resolved = resolve(&[layer("shipped", SHIPPED), other], &mut sink);
        assert_eq!(resolved.text("slug"), Some("plasma-physics"));
        assert_eq!(resolved.text("repository"), None);
        assert_eq!(sink.diagnostics(), []);
    }

    #[test]
    fn wrong_values_are_told_and_left_out() {
        let text = "slug = \"../x\"\nprefix = \"rel\"\nlauncher = 3\ndesktop = \"cde\"\nbrnd = \"x\"\nedit_system_menu = 1\n";
        let mut sink = Sink::new();
        let resolved = resolve(&[layer("x", text)], &mut sink);
        assert!(resolved.0.is_empty(), "{resolved:?}");
        assert_eq!(sink.diagnostics().len(), 6);
        resolve(&[layer("x", "a = = b")], &mut sink);
        assert_eq!(sink.diagnostics().len(), 7);
    }
}
