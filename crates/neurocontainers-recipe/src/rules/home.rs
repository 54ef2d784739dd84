//! Things of run time in home folders.

use nd_report::{Diagnostic, Severity, Sink, Span};
use nd_yaml::{Map, Node};

use super::{Recipe, Rule, codes, directives::strings};

/// Files below `/root` and `/home` that the container needs.
pub(super) struct Home;

const HINT: &str =
    "whoever runs the container sees a home folder of their own there; use a folder below `/opt`";

/// Whether a path lies in a home folder.
fn in_home(path: &str) -> bool {
    path == "/root" || path.starts_with("/root/") || path.starts_with("/home/")
}

fn report(out: &mut Sink, span: Span, message: String) {
    out.push(
        Diagnostic::new(codes::HOME, Severity::Warning, message)
            .at(span, "")
            .hint(HINT),
    );
}

impl Rule for Home {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        for entry in recipe
            .of("environment")
            .filter_map(Node::as_map)
            .flat_map(Map::iter)
        {
            let (Some(name), Some(value)) = (entry.key.as_str(), entry.value.as_str()) else {
                continue;
            };
            // What `HOME` itself is, is another rule.
            if name == "HOME" {
                continue;
            }
            if let Some(path) = value.split([':', ' ', '=']).find(|path| in_home(path)) {
                let span = recipe.place(&entry.value, path, 0);
                report(
                    out,
                    span,
                    format!("variable `{name}` points into a home folder"),
                );
            }
        }
        for deploy in recipe.deploys() {
            for list in ["path", "bins"].iter().filter_map(|key| deploy.get(key)) {
                for (node, path) in strings(list).filter(|(_, path)| in_home(path)) {
                    report(
                        out,
                        node.span,
                        format!("`{path}` is deployed from a home folder"),
                    );
                }
            }
        }
        for node in recipe.of("entrypoint") {
            if let Some(path) = node.as_str().filter(|path| in_home(path)) {
                report(
                    out,
                    node.span,
                    format!("the entry point `{path}` lies in a home folder"),
                );
            }
        }
        for node in recipe.of("copy") {
            let last = match node.as_seq() {
                Some(items) => items.last().and_then(Node::as_str),
                None => node
                    .as_str()
                    .and_then(|text| text.split_whitespace().last()),
            };
            if let Some(path) = last.filter(|path| in_home(path)) {
                let span = recipe.place(node, path, 0);
                report(
                    out,
                    span,
                    format!("files are copied to the home folder `{path}`"),
                );
            }
        }
        for node in recipe.of("template") {
            if let Some(path) = node.get("install_path")
                && path.as_str().is_some_and(in_home)
            {
                report(
                    out,
                    path.span,
                    "software is installed into a home folder".to_owned(),
                );
            }
        }
        work_folders(recipe, out);
        user_installs(recipe, out);
    }
}

/// Work folders in a home folder in which steps make files.
fn work_folders(recipe: &Recipe<'_>, out: &mut Sink) {
    for (at, step) in recipe.steps.iter().enumerate() {
        let Some(path) = step
            .value
            .as_str()
            .filter(|path| step.action == "workdir" && in_home(path))
        else {
            continue;
        };
        let used = recipe.steps[at + 1..]
            .iter()
            .take_while(|step| step.action != "workdir")
            .any(|step| matches!(step.action, "run" | "copy"));
        if used {
            report(
                out,
                step.value.span,
                format!("steps work in the home folder `{path}`"),
            );
        }
    }
}

/// `pip install --user`, which installs into the home folder of whoever builds.
fn user_installs(recipe: &Recipe<'_>, out: &mut Sink) {
    for script in recipe.scripts() {
        for command in &script.commands {
            let Some(installs) = super::pip::Install::of(command) else {
                continue;
            };
            if let Some(word) = installs.words.iter().find(|word| word.text == "--user") {
                let span = recipe.place_in(script.node, script.text, word.range.clone());
                report(
                    out,
                    span,
                    "`pip install --user` installs into a home folder".to_owned(),
                );
            }
        }
    }
}
