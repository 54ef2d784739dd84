//! What a key means.

use nd_report::{FileId, Sink, Span};
use nd_yaml::{Limits, Node};
use neurocontainers_recipe::schema::{self, RECIPE, SUITE};
use serde_json::{Value, json};

use super::convert::range;

/// The explanation of the key at byte `at` of a file, or of the key whose value is there.
pub(super) fn hover(name: &str, text: &str, at: usize) -> Option<Value> {
    let root = match name {
        "build.yaml" => &RECIPE,
        "fulltest.yaml" => &SUITE,
        _ => return None,
    };
    let mut sink = Sink::new();
    let node = nd_yaml::parse(text.as_bytes(), FileId(0), &Limits::default(), &mut sink)?;
    let (path, place) = key_at(&node, at)?;
    // Below keys of the author's own, the explanation is that of the last key of the format.
    let (length, key) = (1..=path.len())
        .rev()
        .find_map(|length| Some((length, schema::describe(root, &path[..length])?)))?;
    let required = if key.required { " (required)" } else { "" };
    let place = if length == path.len() {
        Some(place)
    } else {
        None
    };
    let mut hover = json!({"contents": {
        "kind": "markdown",
        "value": format!("`{}`{required}\n\n{}", key.name, key.doc),
    }});
    if let Some(place) = place {
        hover["range"] = range(place.range(), text);
    }
    Some(hover)
}

/// The keys that lead to byte `at`, and the place of the last one.
fn key_at(root: &Node, at: usize) -> Option<(Vec<&str>, Span)> {
    let holds = |span: Span| span.range().start <= at && at <= span.range().end;
    let mut path = Vec::new();
    let mut place = None;
    let mut node = root;
    loop {
        if let Some(map) = node.as_map() {
            let entry = map
                .iter()
                .find(|entry| holds(entry.key.span) || holds(entry.value.span));
            let Some(entry) = entry else {
                break;
            };
            path.push(entry.key.as_str()?);
            place = Some(entry.key.span);
            if holds(entry.key.span) {
                break;
            }
            node = &entry.value;
        } else if let Some(items) = node.as_seq() {
            let Some(item) = items.iter().find(|item| holds(item.span)) else {
                break;
            };
            node = item;
        } else {
            break;
        }
    }
    Some((path, place?))
}
