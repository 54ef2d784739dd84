//! What differs between two catalogues.

use std::fmt;

use serde::Serialize;

use crate::json::{Node, Object};

/// Differences by container, sorted by name. The order of members never counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CatalogueDiff {
    /// Containers that differ.
    pub containers: Vec<ContainerChange>,
}

/// How a container differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerChange {
    /// Its name.
    pub name: String,
    /// Whether it is new or gone as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<&'static str>,
    /// Its applications that differ.
    pub apps: Vec<AppChange>,
    /// Its other keys that differ.
    pub keys: Vec<String>,
}

/// How an application differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppChange {
    /// Its name.
    pub name: String,
    /// Build date before; absent for a new one.
    pub before: Option<String>,
    /// Build date after; absent for one that is gone.
    pub after: Option<String>,
}

impl CatalogueDiff {
    /// Whether both say the same.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }
}

/// What differs from `a` to `b`.
pub fn diff(a: &Node, b: &Node) -> CatalogueDiff {
    let empty = Object::new();
    let (a, b) = (a.members().unwrap_or(&empty), b.members().unwrap_or(&empty));
    let mut names: Vec<&String> = a
        .keys()
        .chain(b.keys().filter(|key| !a.contains_key(*key)))
        .collect();
    names.sort();
    let containers = names
        .into_iter()
        .filter_map(|name| {
            let (before, after) = (a.get(name), b.get(name));
            let change = container(
                name,
                before.map(|member| &member.node),
                after.map(|member| &member.node),
            );
            let changed =
                change.whole.is_some() || !change.apps.is_empty() || !change.keys.is_empty();
            changed.then_some(change)
        })
        .collect();
    CatalogueDiff { containers }
}

fn container(name: &str, before: Option<&Node>, after: Option<&Node>) -> ContainerChange {
    let whole = match (before, after) {
        (None, Some(_)) => Some("added"),
        (Some(_), None) => Some("removed"),
        _ => None,
    };
    let empty = Object::new();
    let members =
        |node: Option<&'_ Node>| node.and_then(Node::members).cloned().unwrap_or_default();
    let apps = |node: Option<&Node>| {
        node.and_then(|node| node.get("apps"))
            .and_then(Node::members)
            .unwrap_or(&empty)
            .clone()
    };
    let (apps_before, apps_after) = (apps(before), apps(after));
    let date = |apps: &Object, name: &str| {
        let version = apps.get(name)?.node.get("version");
        Some(version.and_then(Node::as_text).unwrap_or("?").to_owned())
    };
    let changed_apps = keys(&apps_before, &apps_after)
        .into_iter()
        .map(|name| AppChange {
            before: date(&apps_before, &name),
            after: date(&apps_after, &name),
            name,
        });
    let mut changed = keys(&members(before), &members(after));
    changed.retain(|key| key != "apps" && whole.is_none());
    ContainerChange {
        name: name.to_owned(),
        whole,
        apps: changed_apps.collect(),
        keys: changed,
    }
}

/// Keys whose values differ, in the order of `a`, then of `b`.
fn keys(a: &Object, b: &Object) -> Vec<String> {
    let differs = |key: &String| match (a.get(key), b.get(key)) {
        (Some(a), Some(b)) => !equal(&a.node, &b.node),
        _ => true,
    };
    a.keys()
        .chain(b.keys().filter(|key| !a.contains_key(*key)))
        .filter(|key| differs(key))
        .cloned()
        .collect()
}

/// Whether both hold the same; the order of members does not count, that of items does.
pub(super) fn equal(a: &Node, b: &Node) -> bool {
    use crate::json::Value;
    match (&a.value, &b.value) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, member)| {
                    b.get(key)
                        .is_some_and(|other| equal(&member.node, &other.node))
                })
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (a, b) => a == b,
    }
}

impl fmt::Display for CatalogueDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.containers {
            let mark = match change.whole {
                Some("added") => '+',
                Some(_) => '-',
                None => '~',
            };
            writeln!(f, "{mark} {}", change.name)?;
            for app in &change.apps {
                match (&app.before, &app.after) {
                    (None, Some(date)) => writeln!(f, "  + {} ({date})", app.name)?,
                    (Some(date), None) => writeln!(f, "  - {} ({date})", app.name)?,
                    (Some(before), Some(after)) if before != after => {
                        writeln!(f, "  ~ {} ({before} to {after})", app.name)?;
                    }
                    _ => writeln!(f, "  ~ {}", app.name)?,
                }
            }
            for key in &change.keys {
                writeln!(f, "  ~ {key}")?;
            }
        }
        Ok(())
    }
}
