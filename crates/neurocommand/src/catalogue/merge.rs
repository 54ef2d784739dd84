//! Queued changes of one catalogue, merged application by application.

use std::collections::BTreeMap;

use nd_report::{Diagnostic, Severity, Sink};

use super::{change::canonical, diff::equal};
use crate::{
    codes,
    json::{Member, Node, Object, Value, shown},
};

/// One queued change: a catalogue, and the one it was made from.
#[derive(Debug, Clone)]
pub struct Source {
    /// How people call it.
    pub label: String,
    /// What it was made from.
    pub base: Node,
    /// What it is.
    pub changed: Node,
}

/// The result of a merge.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The catalogue with every change that is agreed upon, in canonical form.
    pub document: Node,
    /// Where sources changed something: container, or `container/application`, and the source that won.
    pub winners: BTreeMap<String, String>,
    /// How many places sources disagree about.
    pub conflicts: usize,
}

/// A place in a catalogue: container, and application or another key of it.
type Place = (String, String, bool);

/// Merges `sources` into `current`, in their order.
///
/// Places are applications and the other keys of a container; categories are merged one by one. When
/// two sources, or a source and `current`, changed a place differently, that is a conflict: `sink` gets
/// it and the place keeps its earlier value, unless `later_wins`.
pub fn merge(current: &Node, sources: &[Source], later_wins: bool, sink: &mut Sink) -> Merged {
    let mut merged = Merged {
        document: canonical(current),
        winners: BTreeMap::new(),
        conflicts: 0,
    };
    for source in sources {
        for place in changed_places(&source.base, &source.changed) {
            let (before, wanted) = (at(&source.base, &place), at(&source.changed, &place));
            let now = at(&merged.document, &place);
            let same = |a: Option<&Node>, b: Option<&Node>| match (a, b) {
                (Some(a), Some(b)) => equal(a, b),
                (a, b) => a.is_none() && b.is_none(),
            };
            if same(now, wanted) {
                continue;
            }
            let value = if place.1 == "categories" && !place.2 {
                Some(categories(before, now, wanted))
            } else {
                wanted.cloned()
            };
            let agreed = same(now, before) || (place.1 == "categories" && !place.2);
            let shown_place = if place.1.is_empty() {
                place.0.clone()
            } else {
                format!("{}/{}", place.0, place.1)
            };
            if !agreed {
                let other = merged
                    .winners
                    .get(&shown_place)
                    .map_or("the current catalogue", String::as_str);
                let message = format!(
                    "`{}` and {} disagree about `{}`",
                    shown(&source.label),
                    if merged.winners.contains_key(&shown_place) {
                        format!("`{}`", shown(other))
                    } else {
                        other.to_owned()
                    },
                    shown(&shown_place)
                );
                let severity = if later_wins {
                    Severity::Warning
                } else {
                    Severity::Error
                };
                let mut found = Diagnostic::new(codes::CONFLICT, severity, message);
                for node in [wanted, now].into_iter().flatten() {
                    if node.span != crate::json::NOWHERE {
                        found = found.at(node.span, "");
                    }
                }
                sink.push(found.hint("settle it in one of them, or let the later win"));
                merged.conflicts += 1;
                if !later_wins {
                    continue;
                }
            }
            set(&mut merged.document, &place, value);
            merged.winners.insert(shown_place, source.label.clone());
        }
    }
    merged.document = canonical(&merged.document);
    merged
}

/// Places whose values differ, containers first.
fn changed_places(a: &Node, b: &Node) -> Vec<Place> {
    let empty = Object::new();
    let (a, b) = (a.members().unwrap_or(&empty), b.members().unwrap_or(&empty));
    let mut places = Vec::new();
    let both = |a: &Object, b: &Object| -> Vec<String> {
        a.keys()
            .chain(b.keys().filter(|key| !a.contains_key(*key)))
            .cloned()
            .collect()
    };
    for name in both(a, b) {
        let fields = |all: &Object| {
            all.get(&name)
                .and_then(|member| member.node.members())
                .cloned()
        };
        let (before, after) = (fields(a), fields(b));
        if before.is_none() || after.is_none() {
            // A new container is made by its parts, so that two sources can both bring some.
            if after.is_none() {
                places.push((name.clone(), String::new(), false));
                continue;
            }
        }
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        for key in both(&before, &after) {
            if key != "apps" {
                places.push((name.clone(), key, false));
            }
        }
        let apps = |fields: &Object| {
            let apps = fields.get("apps").and_then(|member| member.node.members());
            apps.cloned().unwrap_or_default()
        };
        for app in both(&apps(&before), &apps(&after)) {
            places.push((name.clone(), app, true));
        }
        if after.contains_key("apps") && !before.contains_key("apps") && apps(&after).is_empty() {
            places.push((name.clone(), "apps".to_owned(), false));
        }
    }
    let (a, b) = (
        Node::new(Value::Object(a.clone())),
        Node::new(Value::Object(b.clone())),
    );
    places.retain(|place| match (at(&a, place), at(&b, place)) {
        (Some(a), Some(b)) => !equal(a, b),
        (a, b) => a.is_some() != b.is_some(),
    });
    places
}

fn at<'n>(document: &'n Node, (container, key, is_app): &Place) -> Option<&'n Node> {
    let container = document.get(container)?;
    if key.is_empty() {
        return Some(container);
    }
    let fields = if *is_app {
        container.get("apps")?
    } else {
        container
    };
    fields.get(key)
}

fn set(document: &mut Node, (container, key, is_app): &Place, value: Option<Node>) {
    let Value::Object(containers) = &mut document.value else {
        return;
    };
    if key.is_empty() {
        containers.shift_remove(container);
        return;
    }
    let empty = || {
        Member::new(Node::object([
            ("apps", Node::object::<&str>([])),
            ("categories", Node::new(Value::List(Vec::new()))),
        ]))
    };
    let container = containers.entry(container.clone()).or_insert_with(empty);
    let Value::Object(fields) = &mut container.node.value else {
        return;
    };
    let fields = if *is_app {
        let apps = fields
            .entry("apps".to_owned())
            .or_insert_with(|| Member::new(Node::object::<&str>([])));
        match &mut apps.node.value {
            Value::Object(apps) => apps,
            _ => return,
        }
    } else {
        fields
    };
    match value {
        None => {
            fields.shift_remove(key);
        }
        Some(node) => match fields.get_mut(key) {
            Some(member) => member.node = node,
            // Keys about visibility stand first.
            None if !*is_app && key.starts_with("show_in_") => {
                let at =
                    usize::from(key == "show_in_applist" && fields.contains_key("show_in_menu"));
                fields.shift_insert(at, key.clone(), Member::new(node));
            }
            None => {
                fields.insert(key.clone(), Member::new(node));
            }
        },
    }
}

/// Categories of `now` with what `wanted` added to and took from `before`, sorted.
fn categories(before: Option<&Node>, now: Option<&Node>, wanted: Option<&Node>) -> Node {
    let texts = |node: Option<&Node>| -> Vec<String> {
        let items = node.and_then(Node::items).unwrap_or_default();
        items
            .iter()
            .filter_map(|item| item.as_text().map(str::to_owned))
            .collect()
    };
    let (before, mut all, wanted) = (texts(before), texts(now), texts(wanted));
    all.retain(|category| wanted.contains(category) || !before.contains(category));
    all.extend(
        wanted
            .into_iter()
            .filter(|category| !before.contains(category)),
    );
    all.sort();
    all.dedup();
    Node::new(Value::List(all.into_iter().map(Node::text).collect()))
}

#[cfg(test)]
mod tests {
    use nd_report::FileId;

    use super::*;
    use crate::{
        catalogue::text,
        json::{Limits, parse},
    };

    fn read(text: &str) -> Node {
        parse(text, FileId(0), &Limits::default(), &mut Sink::new()).unwrap()
    }

    fn source(label: &str, base: &Node, changed: &str) -> Source {
        Source {
            label: label.to_owned(),
            base: base.clone(),
            changed: read(changed),
        }
    }

    #[test]
    fn versions_of_one_tool_from_two_sources_both_survive() {
        let base = read(r#"{"a":{"apps":{"a 1":{"version":"20240101"}},"categories":["x"]}}"#);
        let sources = [
            source(
                "one",
                &base,
                r#"{"a":{"apps":{"a 1":{"version":"20240101"},"a 2":{"version":"20240102"}},"categories":["x","z"]}}"#,
            ),
            source(
                "two",
                &base,
                r#"{"a":{"apps":{"a 1":{"version":"20240101"},"a 3":{"version":"20240103"}},"categories":["y"]},"b":{"apps":{},"categories":[]}}"#,
            ),
        ];
        let mut sink = Sink::new();
        let merged = merge(&base, &sources, false, &mut sink);
        assert_eq!(merged.conflicts, 0, "{:?}", sink.diagnostics());
        assert_eq!(
            text(&merged.document)
                .split_whitespace()
                .collect::<String>(),
            r#"{"a":{"apps":{"a1":{"version":"20240101"},"a2":{"version":"20240102"},"a3":{"version":"20240103"}},"categories":["y","z"]},"b":{"apps":{},"categories":[]}}"#
        );
        assert_eq!(merged.winners["a/a 2"], "one");
        // Once more changes nothing.
        let again = merge(&merged.document, &sources, false, &mut sink);
        assert_eq!(text(&again.document), text(&merged.document));
    }

    #[test]
    fn different_dates_are_a_conflict_that_somebody_has_to_settle() {
        let base = read(r#"{"a":{"apps":{"a 1":{"version":"20240101"}}}}"#);
        let sources = [
            source(
                "one",
                &base,
                r#"{"a":{"apps":{"a 1":{"version":"20240202"}}}}"#,
            ),
            source(
                "two",
                &base,
                r#"{"a":{"apps":{"a 1":{"version":"20240303"}}}}"#,
            ),
            source("three", &base, "{}"),
        ];
        let mut sink = Sink::new();
        let merged = merge(&base, &sources, false, &mut sink);
        assert_eq!(merged.conflicts, 2);
        assert_eq!(
            sink.diagnostics()[0].message,
            "`two` and `one` disagree about `a/a 1`"
        );
        let first = merge(&base, &sources[..2], true, &mut Sink::new());
        assert!(text(&first.document).contains("20240303"));
    }
}
