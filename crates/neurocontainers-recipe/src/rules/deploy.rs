//! What a container offers to its users.

use nd_report::{Diagnostic, Severity, Sink, Span};
use nd_yaml::{Map, Node};

use super::{
    Recipe, Rule, base, codes,
    directives::{every_string, strings},
};

/// Folders and commands of `deploy`.
pub(super) struct Deploy;

/// Folders whose commands belong to the system.
const SYSTEM: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// Bases that have no commands of a tool.
const PLAIN_BASES: [&str; 11] = [
    "almalinux",
    "alpine",
    "amazonlinux",
    "centos",
    "debian",
    "fedora",
    "neurodebian",
    "python",
    "rockylinux",
    "ubuntu",
    "cuda",
];

/// Installation templates that install only what their parameters name.
const OPEN_TEMPLATES: [&str; 2] = ["miniconda", "matlabmcr"];

impl Rule for Deploy {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let pythons = python_folders(recipe);
        for list in recipe.deploys().filter_map(|deploy| deploy.get("path")) {
            for (node, written) in strings(list) {
                let path = recipe.resolve(written);
                let path = path.trim_end_matches('/');
                if SYSTEM.contains(&path) {
                    out.push(
                        Diagnostic::new(
                            codes::SYSTEM_PATH,
                            Severity::Warning,
                            format!("every command of `{path}` replaces the user's own"),
                        )
                        .at(node.span, "")
                        .hint("name the commands of the tool in `deploy.bins`"),
                    );
                } else if holds_python(path) || pythons.iter().any(|folder| folder == path) {
                    out.push(
                        Diagnostic::new(
                            codes::EXPOSED_PYTHON,
                            Severity::Warning,
                            format!("`python` and `pip` of `{path}` replace the user's own"),
                        )
                        .at(node.span, "")
                        .hint("name the commands of the tool in `deploy.bins`"),
                    );
                }
            }
        }
        unnamed(recipe, out);
    }
}

/// Whether a folder is the `bin` of a Conda installation or environment, by its path alone.
fn holds_python(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let [before @ .., "bin"] = parts.as_slice() else {
        return false;
    };
    let conda = ["conda", "miniforge", "mambaforge"];
    before.contains(&"envs")
        || before
            .last()
            .is_some_and(|last| conda.iter().any(|word| last.contains(word)) || *last == "venv")
}

/// The `bin` folders of Python environments that steps make.
fn python_folders(recipe: &Recipe<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for script in recipe.scripts() {
        for command in &script.commands {
            let words = &command.words;
            let makes = words
                .iter()
                .position(|word| matches!(word.name(), "venv" | "virtualenv"));
            let Some(makes) = makes else {
                continue;
            };
            // The last word is the folder; options with values come before it.
            let folder = words[makes + 1..]
                .iter()
                .rfind(|word| !word.text.starts_with('-'));
            found.extend(folder.map(|word| format!("{}/bin", recipe.resolve(&word.text))));
        }
    }
    found
}

/// Reports deployed commands that nothing else of the recipe mentions.
fn unnamed(recipe: &Recipe<'_>, out: &mut Sink) {
    let image = recipe
        .root
        .get("build")
        .and_then(|build| build.get("base-image"));
    let image = image.and_then(Node::as_str).unwrap_or_default().trim();
    // Bases and templates that bring a tool bring commands that nobody here can name.
    if base::name_and_tag(image).is_none_or(|(name, _)| !PLAIN_BASES.contains(&name)) {
        return;
    }
    let closed = recipe.of("template").any(|node| {
        let name = node.get("name").and_then(Node::as_str).unwrap_or_default();
        !OPEN_TEMPLATES.contains(&name)
    });
    if closed || recipe.of("include").next().is_some() {
        return;
    }
    let mut said = String::new();
    let mut say = |node| {
        every_string(node, |_, text| {
            said.push_str(&text.to_lowercase());
            said.push('\n');
        });
    };
    let steps = recipe.steps.iter().filter(|step| step.action != "deploy");
    steps.for_each(|step| say(step.value));
    for key in ["files", "variables"] {
        recipe.root.get(key).into_iter().for_each(&mut say);
    }
    let mut missing: Vec<(Span, String)> = Vec::new();
    for list in recipe.deploys().filter_map(|deploy| deploy.get("bins")) {
        for (node, written) in strings(list) {
            let command = recipe.resolve(written);
            let command = command.trim().rsplit('/').next().unwrap_or_default();
            if !is_known(command, &said) {
                missing.push((node.span, command.to_owned()));
            }
        }
    }
    let Some(((place, first), more)) = missing.split_first() else {
        return;
    };
    let message = match more.len() {
        0 => format!("no step mentions the deployed command `{first}`"),
        n => format!("no step mentions the deployed command `{first}` and {n} more"),
    };
    let mut found = Diagnostic::new(codes::UNNAMED_COMMAND, Severity::Note, message).at(*place, "");
    for (place, _) in more {
        found = found.at(*place, "");
    }
    out.push(found.hint("a build says whether a package or an archive brings it"));
}

/// Whether what steps say (in lower case) accounts for a command, or nothing can be known of it.
fn is_known(command: &str, said: &str) -> bool {
    if command.is_empty() || command.contains(['{', '$', ':']) {
        return true;
    }
    let command = command.to_lowercase();
    let python = command.starts_with("python")
        && ["pip", "conda", "venv"]
            .iter()
            .any(|tool| said.contains(tool));
    // `radtract_features` comes with `radtract`.
    let family = command.split(['-', '_', '.']).next().unwrap_or_default();
    python || said.contains(&command) || (family.len() >= 4 && said.contains(family))
}

impl Recipe<'_> {
    /// `text` with the variables of the image and of the recipe that have one plain value; others
    /// stay as they are written, in one spelling.
    fn resolve(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // Values may refer to further variables; a few rounds are enough for what people write.
        for _ in 0..4 {
            let next = self.resolve_once(&text);
            if next == text {
                break;
            }
            text = next;
        }
        text
    }

    fn resolve_once(&self, text: &str) -> String {
        let mut done = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '{']) {
            done.push_str(&rest[..at]);
            rest = &rest[at..];
            let (name, length, template) = if let Some(inside) = rest.strip_prefix("{{") {
                let Some(end) = inside.find("}}") else {
                    break;
                };
                let name = inside[..end].trim();
                (name.strip_prefix("context.").unwrap_or(name), end + 4, true)
            } else if let Some(inside) = rest.strip_prefix("${") {
                let end = inside.find('}').unwrap_or(inside.len());
                (&inside[..end], (end + 3).min(rest.len()), false)
            } else {
                let end = rest[1..]
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len() - 1);
                (&rest[1..=end], end + 1, false)
            };
            match self.variable(name, template) {
                Some(value) => done.push_str(value),
                None if template => {
                    done.push_str("{{ ");
                    done.push_str(name);
                    done.push_str(" }}");
                }
                None => done.push_str(&rest[..length]),
            }
            rest = &rest[length..];
        }
        done.push_str(rest);
        done
    }

    /// The value of a variable of the recipe (`template`) or of the image.
    fn variable(&self, name: &str, template: bool) -> Option<&str> {
        let maps = |node: &Node| node.get(name).and_then(Node::as_str).map(str::len);
        if template {
            let top = self.root.get("variables").into_iter();
            let node = top
                .chain(self.of("variables"))
                .filter(|node| maps(node).is_some())
                .last()?;
            return node.get(name)?.as_str();
        }
        let entries = self
            .of("environment")
            .filter_map(Node::as_map)
            .flat_map(Map::iter);
        let entry = entries
            .filter(|entry| entry.key.as_str() == Some(name))
            .last()?;
        // `PATH: /opt/tool/bin:$PATH` would never end.
        entry.value.as_str().filter(|value| !value.contains(name))
    }
}
