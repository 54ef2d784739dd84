//! Changes of a catalogue that keep every byte they do not speak of.

use nd_report::{Diagnostic, Severity, Sink};
use serde::Serialize;

use super::build::{Checked, Release, VISIBILITY, build, merge_visibility, unite};
use crate::{
    codes,
    json::{Member, Node, Object, Value, shown},
};

/// What was taken out or hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Containers that are gone as a whole.
    pub containers: Vec<String>,
    /// Applications, by name.
    pub apps: Vec<String>,
}

/// The document with its containers sorted by name; everything inside them stays as it is.
pub fn canonical(document: &Node) -> Node {
    let mut document = document.clone();
    if let Value::Object(members) = &mut document.value {
        members.sort_keys();
    }
    document
}

/// Adds a release to the catalogue: the result is that of [`build`] with one more record.
///
/// `None` when the record cannot be used; `sink` says why.
pub fn add(document: &Node, release: &Release, sink: &mut Sink) -> Option<Node> {
    let mut found = Sink::new();
    let alone = build(std::slice::from_ref(release), &mut found);
    let checked = Checked::of(release, &mut Sink::new());
    let mut bad = found.has_errors();
    for diagnostic in found.into_diagnostics() {
        sink.push(diagnostic);
    }
    let mut document = canonical(document);
    let Value::Object(containers) = &mut document.value else {
        let message = format!("the catalogue is {}, not an object", document.kind());
        sink.push(
            Diagnostic::new(codes::WRONG_KIND, Severity::Error, message).at(document.span, ""),
        );
        return None;
    };
    let new = alone.get(&release.container)?;
    let new_apps = new.get("apps")?.members()?;
    for (name, other) in containers
        .iter()
        .filter(|(name, _)| **name != release.container)
    {
        let apps = other.node.get("apps").and_then(Node::members);
        for (app, member) in apps.into_iter().flatten() {
            if let Some(ours) = new_apps.get(app) {
                let message = format!(
                    "application `{}` is in `{}` and in `{}`",
                    shown(app),
                    shown(name),
                    shown(&release.container)
                );
                let found = Diagnostic::new(codes::DUPLICATE_APP, Severity::Error, message);
                sink.push(found.at(ours.key, "").at(member.key, "here already"));
                bad = true;
            }
        }
    }
    if bad {
        return None;
    }
    match containers.get_mut(&release.container) {
        None => {
            containers.insert(release.container.clone(), Member::new(new.clone()));
            containers.sort_keys();
        }
        Some(member) => {
            let Value::Object(fields) = &mut member.node.value else {
                let message = format!("container `{}` is no object", shown(&release.container));
                sink.push(Diagnostic::new(codes::WRONG_KIND, Severity::Error, message));
                return None;
            };
            merge_release(fields, &checked?, new_apps, &release.stem);
        }
    }
    Some(document)
}

fn merge_release(fields: &mut Object, release: &Checked<'_>, apps: &Object, stem: &str) {
    let old = std::mem::take(fields);
    let node = |key: &str| old.get(key).map(|member| member.node.clone());
    if apps.is_empty() {
        // A record that leaves nothing changes nothing.
        *fields = old;
        return;
    }
    for key in VISIBILITY {
        let mut seen = node(key);
        if let Some(new) = release.visibility(key) {
            merge_visibility(&mut seen, new);
        }
        if let Some(value) = seen {
            fields.insert(key.to_owned(), Member::new(value));
        }
    }
    let mut merged = node("apps")
        .and_then(|apps| apps.members().cloned())
        .unwrap_or_default();
    // Records are merged in the order of their stems, which the names of applications end in.
    let place = merged
        .keys()
        .position(|name| name.rsplit(' ').next().unwrap_or_default() > stem)
        .unwrap_or(merged.len());
    let mut at = place;
    for (name, app) in apps {
        if let Some(there) = merged.get_mut(name) {
            there.node = app.node.clone();
        } else {
            merged.shift_insert(at, name.clone(), app.clone());
            at += 1;
        }
    }
    fields.insert(
        "apps".to_owned(),
        Member::new(Node::new(Value::Object(merged))),
    );
    let mut categories: Vec<String> = node("categories")
        .iter()
        .flat_map(|node| node.items().unwrap_or_default())
        .filter_map(|item| item.as_text().map(str::to_owned))
        .collect();
    unite(&mut categories, &release.categories);
    let categories = categories.into_iter().map(Node::text).collect();
    fields.insert(
        "categories".to_owned(),
        Member::new(Node::new(Value::List(categories))),
    );
    for (key, member) in old {
        fields.entry(key).or_insert(member);
    }
}

/// Whether an application is one of `container/version`; without a version all are.
fn is_meant(app: &str, version: Option<&str>) -> bool {
    version.is_none_or(|version| {
        app.rsplit_once(' ')
            .is_some_and(|(_, found)| found == version)
    })
}

/// Takes a container, or the applications of one of its versions, out of the catalogue.
pub fn remove(document: &Node, container: &str, version: Option<&str>) -> (Node, Removed) {
    let mut document = document.clone();
    let mut removed = Removed::default();
    let Value::Object(containers) = &mut document.value else {
        return (document, removed);
    };
    let mut is_empty = false;
    if let Some(member) = containers.get_mut(container)
        && let Value::Object(fields) = &mut member.node.value
        && let Some(apps) = fields.get_mut("apps")
        && let Value::Object(apps) = &mut apps.node.value
    {
        apps.retain(|name, _| {
            let goes = is_meant(name, version);
            if goes {
                removed.apps.push(name.clone());
            }
            !goes
        });
        is_empty = apps.is_empty() && (version.is_none() || !removed.apps.is_empty());
    } else if version.is_none() {
        is_empty = containers.contains_key(container);
    }
    if is_empty {
        containers.shift_remove(container);
        removed.containers.push(container.to_owned());
    }
    (document, removed)
}

/// Hides what [`remove`] would take out: menus and lists no longer show it, but whoever has its name and
/// build date still finds the image, so that older work can be done again.
pub fn keep_reproducible(
    document: &Node,
    container: &str,
    version: Option<&str>,
) -> (Node, Removed) {
    let mut document = document.clone();
    let mut removed = Removed::default();
    if let Value::Object(containers) = &mut document.value
        && let Some(member) = containers.get_mut(container)
        && let Value::Object(fields) = &mut member.node.value
        && let Some(apps) = fields.get_mut("apps")
        && let Value::Object(apps) = &mut apps.node.value
    {
        for (name, app) in apps {
            if let Value::Object(app) = &mut app.node.value
                && is_meant(name, version)
            {
                for key in VISIBILITY {
                    let hidden = Node::new(Value::Bool(false));
                    app.insert(key.to_owned(), Member::new(hidden));
                }
                removed.apps.push(name.clone());
            }
        }
    }
    (document, removed)
}

/// Whether `after` has so much fewer applications than `before`, more than a tenth, that nothing should be
/// taken away by it.
pub fn shrinks(before: usize, after: usize) -> bool {
    // Without fractions: after < 0.9 before.
    after.saturating_mul(10) < before.saturating_mul(9)
}

#[cfg(test)]
mod tests {
    use nd_report::FileId;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        catalogue::{diff, text},
        json::{Limits, parse},
    };

    fn read(text: &str) -> Node {
        parse(text, FileId(0), &Limits::default(), &mut Sink::new()).unwrap()
    }

    #[test]
    fn removes_versions_and_then_the_container() {
        let document = read(r#"{"a":{"apps":{"a 1":{},"xGUI-a 1":{},"a 2":{}}},"b":{"apps":{}}}"#);
        let (one, removed) = remove(&document, "a", Some("1"));
        assert_eq!(removed.apps, ["a 1", "xGUI-a 1"]);
        let (none, removed) = remove(&one, "a", Some("2"));
        assert_eq!(removed.containers, ["a"]);
        assert!(none.get("a").is_none() && none.get("b").is_some());
        let (same, removed) = remove(&document, "a", Some("3"));
        assert!(removed == Removed::default() && same.same(&document));
        let (kept, removed) = keep_reproducible(&document, "a", Some("2"));
        assert_eq!(removed.apps, ["a 2"]);
        let app = kept
            .get("a")
            .unwrap()
            .get("apps")
            .unwrap()
            .get("a 2")
            .unwrap();
        assert_eq!(app.get("show_in_menu").unwrap().value, Value::Bool(false));
    }

    #[test]
    fn a_tenth_may_go() {
        assert!(!shrinks(10, 9) && shrinks(10, 8) && !shrinks(0, 0) && !shrinks(5, 50));
    }

    #[test]
    fn the_canonical_form_is_canonical_and_order_is_no_difference() {
        let document = read(r#"{"b":{"apps":{}},"a":{"categories":[],"apps":{}}}"#);
        let once = canonical(&document);
        assert_eq!(text(&canonical(&once)), text(&once));
        assert!(diff(&document, &once).is_empty());
    }

    fn release() -> impl Strategy<Value = Release> {
        let visible = prop_oneof![
            Just(""),
            Just(r#","show_in_menu":true"#),
            Just(r#","show_in_applist":false"#)
        ];
        ("[ab]", "[1-3](\\.[0-9])?", "[xyz]", visible, any::<bool>()).prop_map(
            |(container, stem, category, visible, gui)| {
                let gui = if gui {
                    format!(r#","vGUI-{container} {stem}":{{"version":"20240101","exec":"v"}}"#)
                } else {
                    String::new()
                };
                let json = format!(
                    r#"{{"apps":{{"{container} {stem}":{{"version":"20240101","exec":""}}{gui}}},"categories":["{category}"]{visible}}}"#
                );
                Release { document: read(&json), container, stem }
            },
        )
    }

    proptest! {
        #[test]
        fn adding_one_by_one_gives_what_building_gives(mut releases in prop::collection::vec(release(), 1..8), seed in any::<u64>()) {
            releases.sort_by(|a, b| (&a.container, &a.stem).cmp(&(&b.container, &b.stem)));
            releases.dedup_by(|a, b| (&a.container, &a.stem) == (&b.container, &b.stem));
            let mut sink = Sink::new();
            let built = build(&releases, &mut sink);
            let turn = seed as usize % releases.len();
            releases.rotate_left(turn);
            let mut added = Node::object::<&str>([]);
            for release in &releases {
                added = add(&added, release, &mut sink).unwrap();
            }
            // What hides comes first or last: `true` of an earlier record is `true` in both.
            prop_assert_eq!(text(&added), text(&built));
            prop_assert!(!sink.has_errors());
        }
    }
}
