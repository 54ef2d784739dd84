//! What is added to the instructions of a command line.

use indexmap::IndexMap;

use super::steps::Wishes;
use crate::reproenv::{Registry, Step};

/// The program that an image starts unless it is told another.
const STARTUP: &str = "/neurodocker/startup.sh";

/// Adds the default header, an entry point where there is none, and labels.
pub(super) fn frame(list: &mut Vec<Step>, registry: &Registry, wishes: &Wishes, compat: bool) {
    let header = Step::Call {
        name: "_default".to_owned(),
        arguments: IndexMap::new(),
    };
    if compat {
        // Upstream's place is the second one, whatever the first is.
        if registry.has("_default") {
            list.insert(1.min(list.len()), header);
        }
    } else {
        let last = last_stage(list);
        if !wishes.no_labels {
            labels(list, last);
        }
        if registry.has("_default") && !wishes.no_default_header {
            list.insert((last + 1).min(list.len()), header);
        }
    }
    let start = if compat { 0 } else { last_stage(list) };
    let entrypoint = |step: &Step| matches!(step, Step::Entrypoint(_));
    let has_script = compat || !wishes.no_default_header;
    if has_script && !list[start..].iter().any(entrypoint) {
        list.push(Step::Entrypoint(vec![STARTUP.to_owned()]));
    }
}

/// Where the last stage begins.
fn last_stage(list: &[Step]) -> usize {
    let from = |step: &Step| matches!(step, Step::From { .. });
    list.iter().rposition(from).unwrap_or_default()
}

/// Labels of the Open Container Initiative that the command line tells, unless it sets them.
fn labels(list: &mut Vec<Step>, last: usize) {
    let set = |key: &str| {
        list.iter().any(|step| match step {
            Step::Label(pairs) => pairs.contains_key(key),
            _ => false,
        })
    };
    let mut labels = IndexMap::new();
    let stages: Vec<&String> = list[..last]
        .iter()
        .filter_map(|step| match step {
            Step::From { name, .. } => name.as_ref(),
            _ => None,
        })
        .collect();
    let base = "org.opencontainers.image.base.name";
    if let Some(Step::From { image, .. }) = list.get(last)
        && !set(base)
        && image != "scratch"
        && !image.contains('$')
        && !stages.contains(&image)
    {
        labels.insert(base.to_owned(), image.clone());
    }
    let mut software: Vec<String> = Vec::new();
    for step in list.iter() {
        if let Step::Call { name, arguments } = step {
            let version = arguments
                .get("version")
                .map(|version| format!(" {version}"));
            let text = format!("{name}{}", version.unwrap_or_default());
            if !software.contains(&text) {
                software.push(text);
            }
        }
    }
    let description = "org.opencontainers.image.description";
    let text = software.join(", ");
    if !software.is_empty() && !set(description) && !text.contains(['\n', '\r', '$', '{']) {
        labels.insert(description.to_owned(), text);
    }
    if !labels.is_empty() {
        list.insert((last + 1).min(list.len()), Step::Label(labels));
    }
}
