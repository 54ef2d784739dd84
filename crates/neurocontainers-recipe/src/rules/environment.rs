//! Variables that are lost on the way to whoever runs the container.

use nd_report::{Diagnostic, Severity, Sink};
use nd_yaml::{Entry, Map};

use super::{Recipe, Rule, codes, directives::Script};

/// Variables of images and of steps.
pub(super) struct Environment;

/// Variables that Apptainer sets for whoever runs the container.
const REPLACED: [&str; 5] = ["HOME", "USER", "LOGNAME", "PWD", "UID"];

/// Variables that a user has and an image does not.
const OF_THE_USER: [&str; 7] = [
    "HOME", "USER", "LOGNAME", "PWD", "UID", "HOSTNAME", "DISPLAY",
];

impl Rule for Environment {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let mut set: Vec<&str> = Vec::new();
        let mut runs = recipe.runs.iter();
        for step in &recipe.steps {
            match step.action {
                "environment" => {
                    for entry in step.value.as_map().into_iter().flat_map(Map::iter) {
                        variable(recipe, entry, &set, out);
                        set.extend(entry.key.as_str());
                    }
                }
                "run" => run(recipe, runs.next().map_or(&[], Vec::as_slice), out),
                _ => {}
            }
        }
    }
}

fn variable(recipe: &Recipe<'_>, entry: &Entry, set: &[&str], out: &mut Sink) {
    let (Some(name), Some(value)) = (entry.key.as_str(), entry.value.as_str()) else {
        return;
    };
    // What modules set is written for another reader.
    if name.starts_with("DEPLOY_ENV_") {
        return;
    }
    if REPLACED.contains(&name) {
        out.push(
            Diagnostic::new(
                codes::REPLACED_VARIABLE,
                Severity::Warning,
                format!("variable `{name}` is replaced when the container starts"),
            )
            .at(entry.key.span, "")
            .hint("programs see the value of whoever runs the container"),
        );
    }
    if value == "~" || value.starts_with("~/") || value.contains(":~/") {
        out.push(
            Diagnostic::new(
                codes::TILDE,
                Severity::Warning,
                format!("nothing replaces the `~` in variable `{name}`"),
            )
            .at(recipe.place(&entry.value, "~", 0), "")
            .hint("write the whole path; a folder that everybody can write to is `/tmp`"),
        );
    }
    for other in references(value) {
        if OF_THE_USER.contains(&other) && !set.contains(&other) {
            out.push(
                Diagnostic::new(
                    codes::HOST_VARIABLE,
                    Severity::Warning,
                    format!("`${other}` is empty when the image is built"),
                )
                .at(recipe.place(&entry.value, other, 0), "")
                .hint(format!(
                    "variable `{name}` will not follow the user's `{other}`; a wrapper script can"
                )),
            );
        }
    }
}

/// Names of the variables that a value refers to.
fn references(value: &str) -> impl Iterator<Item = &str> {
    value.match_indices('$').filter_map(|(at, _)| {
        if value[..at].ends_with('\\') {
            return None;
        }
        let rest = &value[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

/// Files that only interactive and login shells read.
fn is_start_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(
        name,
        ".bashrc" | ".bash_profile" | ".profile" | ".zshrc" | "bash.bashrc"
    ) || path == "/etc/profile"
        || path.starts_with("/etc/profile.d/")
}

fn run(recipe: &Recipe<'_>, scripts: &[Script<'_>], out: &mut Sink) {
    for script in scripts {
        for command in &script.commands {
            let file = command
                .outputs
                .iter()
                .find(|file| is_start_file(&file.text));
            let file = file.or_else(|| {
                let tee = command.program() == "tee";
                command
                    .words
                    .iter()
                    .find(|word| tee && is_start_file(&word.text))
            });
            if let Some(file) = file {
                out.push(
                    Diagnostic::new(
                        codes::SHELL_START_FILE,
                        Severity::Warning,
                        format!("commands of the container do not read `{}`", file.text),
                    )
                    .at(
                        recipe.place_in(script.node, script.text, file.range.clone()),
                        "",
                    )
                    .hint("set variables with `environment`"),
                );
            }
        }
    }
    let mut last = scripts
        .iter()
        .rev()
        .filter_map(|script| Some((script, script.commands.last()?)));
    if let Some((script, command)) = last.next()
        && command.program() == "export"
        && let Some(word) = command.words.iter().find(|word| word.text == "export")
    {
        out.push(
            Diagnostic::new(
                codes::LOST_EXPORT,
                Severity::Warning,
                "the exported variable is lost when this step ends",
            )
            .at(
                recipe.place_in(script.node, script.text, word.range.clone()),
                "the last command of its step",
            )
            .hint("set variables of the image with `environment`"),
        );
    }
}
