//! The directives of a recipe in order, groups opened.

use nd_yaml::{Map, Node};

use super::shell::{Command, commands};

/// One directive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    /// The word that says what it does.
    pub(super) action: &'a str,
    /// What it takes.
    pub(super) value: &'a Node,
}

/// One string of a `run` directive.
#[derive(Debug)]
pub(super) struct Script<'a> {
    /// Where it stands.
    pub(super) node: &'a Node,
    /// Its text.
    pub(super) text: &'a str,
    /// The commands in it.
    pub(super) commands: Vec<Command>,
}

/// The scripts of every `run` directive.
pub(super) fn runs<'a>(steps: &[Step<'a>]) -> Vec<Vec<Script<'a>>> {
    let script = |(node, text)| Script {
        node,
        text,
        commands: commands(text),
    };
    let runs = steps.iter().filter(|step| step.action == "run");
    runs.map(|step| strings(step.value).map(script).collect())
        .collect()
}

/// Keys of a directive that say nothing about what it does.
const COMPANIONS: [&str; 4] = ["condition", "with", "custom", "customParams"];

/// All directives of a recipe or of an included file, those of groups in the place of their group.
pub(super) fn steps(root: &Node) -> Vec<Step<'_>> {
    let mut found = Vec::new();
    let list = root.get("build").unwrap_or(root).get("directives");
    // A stack instead of recursion: groups nest as deep as the reader lets them.
    let mut open: Vec<&Node> = list
        .and_then(Node::as_seq)
        .map(|items| items.iter().rev().collect())
        .unwrap_or_default();
    while let Some(node) = open.pop() {
        for entry in node.as_map().into_iter().flat_map(Map::iter) {
            let Some(action) = entry.key.as_str() else {
                continue;
            };
            if COMPANIONS.contains(&action) {
                continue;
            }
            if action == "group" {
                open.extend(entry.value.as_seq().unwrap_or_default().iter().rev());
            } else {
                found.push(Step {
                    action,
                    value: &entry.value,
                });
            }
        }
    }
    found
}

/// The strings of a string or of a list of strings, with the nodes they stand in.
pub(super) fn strings(node: &Node) -> impl Iterator<Item = (&Node, &str)> {
    let items = node.as_seq().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(|item| Some((item, item.as_str()?)))
}

/// Calls `visit` with every string in `node`, keys left out.
pub(super) fn every_string<'a>(node: &'a Node, mut visit: impl FnMut(&'a Node, &'a str)) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if let Some(text) = node.as_str() {
            visit(node, text);
        } else if let Some(items) = node.as_seq() {
            open.extend(items.iter().rev());
        } else if let Some(map) = node.as_map() {
            open.extend(map.iter().map(|entry| &entry.value));
        }
    }
}

impl<'a> super::Recipe<'a> {
    /// Values of the directives of one action.
    pub(super) fn of(&self, action: &'static str) -> impl Iterator<Item = &'a Node> {
        self.steps
            .iter()
            .filter(move |step| step.action == action)
            .map(|step| step.value)
    }

    /// All scripts of `run` directives.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &Script<'a>> {
        self.runs.iter().flatten()
    }

    /// The `deploy` mappings: the one at the top and those of directives.
    pub(super) fn deploys(&self) -> impl Iterator<Item = &'a Node> {
        self.root.get("deploy").into_iter().chain(self.of("deploy"))
    }

    /// The declared files: those at the top and those of directives.
    pub(super) fn files(&self) -> impl Iterator<Item = &'a Node> {
        let listed = self.root.get("files").and_then(Node::as_seq);
        listed.unwrap_or_default().iter().chain(self.of("file"))
    }
}
