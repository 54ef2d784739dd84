//! Python packages without a version.

use nd_report::{Diagnostic, Severity, Sink, Span};
use nd_yaml::Node;

use super::{
    Recipe, Rule, codes,
    directives::strings,
    shell::{self, Command, Word},
};

/// `pip install` and what installs as it does.
pub(super) struct Pip;

/// Options whose next word is their value.
const WITH_VALUE: [&str; 24] = [
    "-c",
    "--constraint",
    "-r",
    "--requirement",
    "-e",
    "--editable",
    "-t",
    "--target",
    "-i",
    "--index-url",
    "--extra-index-url",
    "-f",
    "--find-links",
    "--prefix",
    "--root",
    "--src",
    "--platform",
    "--python-version",
    "--python",
    "--timeout",
    "--retries",
    "--trusted-host",
    "--cache-dir",
    "--log",
];

/// Tools of the installation itself, which every version of serves.
const TOOLS: [&str; 3] = ["pip", "setuptools", "wheel"];

/// A command that installs Python packages.
pub(super) struct Install<'c> {
    /// What follows `install`.
    pub(super) words: &'c [Word],
}

impl<'c> Install<'c> {
    /// The installation that a command is, if it is one.
    pub(super) fn of(command: &'c Command) -> Option<Self> {
        if matches!(command.program(), "echo" | "printf" | "bash" | "sh") {
            return None;
        }
        let at = command.words.iter().position(|word| is_pip(word.name()))?;
        let rest = &command.words[at + 1..];
        let install = rest.iter().position(|word| !word.text.starts_with('-'))?;
        (rest[install].text == "install").then(|| Self {
            words: &rest[install + 1..],
        })
    }

    /// Packages without a version, with their words. Empty when a file of constraints gives versions.
    fn unpinned(&self) -> Vec<&'c Word> {
        let mut found = Vec::new();
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if matches!(text, "-c" | "--constraint" | "--no-index")
                || text.starts_with("--constraint=")
            {
                return Vec::new();
            }
            if WITH_VALUE.contains(&text) {
                words.next();
            } else if !text.starts_with('-') && is_unpinned(text) {
                found.push(word);
            }
        }
        found
    }
}

fn is_pip(name: &str) -> bool {
    name.strip_prefix("pip").is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// Whether `requirement` names a package, or a branch of a repository, without saying which version.
fn is_unpinned(requirement: &str) -> bool {
    if let Some((_, repository)) = requirement.split_once("git+") {
        let path = repository
            .split_once("://")
            .map_or(repository, |(_, path)| path);
        // `ssh://git@host/…` has an `@` of its own.
        let path = path.split_once('/').map_or("", |(_, path)| path);
        return !path.contains('@');
    }
    let name = requirement.split('[').next().unwrap_or_default();
    let rest = requirement.split(']').next_back().unwrap_or_default();
    let is_name = name
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let versioned = rest.contains(['=', '<', '>', '!', '~', '@', '$', '/', '{']);
    let file = [".whl", ".zip", ".gz", ".bz2", ".txt"]
        .iter()
        .any(|end| requirement.ends_with(end));
    is_name && !versioned && !file && !TOOLS.contains(&name)
}

impl Rule for Pip {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        for script in recipe.scripts() {
            for command in &script.commands {
                if let Some(install) = Install::of(command) {
                    let spans: Vec<_> = install
                        .unpinned()
                        .into_iter()
                        .map(|word| {
                            (
                                word.text.as_str(),
                                place(recipe, script.node, script.text, word),
                            )
                        })
                        .collect();
                    report(&spans, out);
                }
            }
        }
        for node in recipe.of("template") {
            let packages = node.get("pip_install");
            for (node, text) in packages.into_iter().flat_map(strings) {
                let commands = shell::commands(text);
                let words = commands.iter().flat_map(|command| &command.words);
                let spans: Vec<_> = words
                    .filter(|word| is_unpinned(&word.text))
                    .map(|word| (word.text.as_str(), place(recipe, node, text, word)))
                    .collect();
                report(&spans, out);
            }
        }
    }
}

/// The place of a package; in the script of a `bash -c` its first mention.
fn place(recipe: &Recipe<'_>, node: &Node, script: &str, word: &Word) -> Span {
    let written = script.get(word.range.clone()).unwrap_or_default();
    if written.len() > word.text.len() + 2 {
        recipe.place(node, &word.text, 0)
    } else {
        recipe.place_in(node, script, word.range.clone())
    }
}

fn report(packages: &[(&str, Span)], out: &mut Sink) {
    let [(first, place), more @ ..] = packages else {
        return;
    };
    let message = match more.len() {
        0 => format!("package `{first}` is installed without a version"),
        n => format!("package `{first}` and {n} more are installed without a version"),
    };
    let mut found = Diagnostic::new(codes::UNPINNED_PIP, Severity::Warning, message).at(*place, "");
    for (_, place) in more.iter().filter(|(_, other)| other != place) {
        found = found.at(*place, "");
    }
    out.push(found.hint(if first.contains("git+") {
        "append `@` and a commit".to_owned()
    } else {
        format!("write `{first}==VERSION`")
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpinned(script: &str) -> Vec<String> {
        shell::commands(script)
            .iter()
            .filter_map(Install::of)
            .flat_map(|install| install.unpinned())
            .map(|word| word.text.clone())
            .collect()
    }

    #[test]
    fn tells_packages_from_the_rest() {
        assert_eq!(
            unpinned(
                "python3 -m pip install -U --index-url https://x/y numpy 'scipy<2' a[b] c==1 . ./d -e e -r f.txt"
            ),
            ["numpy", "a[b]"]
        );
        assert_eq!(
            unpinned(
                "pip3.11 install git+https://h/o/r.git git+https://h/o/r@v1 'n @ https://x/n.whl' $PKG {{ get_file(\"w\") }}"
            ),
            ["git+https://h/o/r.git"]
        );
        assert!(unpinned("pip install -c constraints.txt numpy").is_empty());
        assert!(
            unpinned(
                "pip install --upgrade pip setuptools wheel && pipx install x && echo pip install y"
            )
            .is_empty()
        );
        assert_eq!(
            unpinned("conda run -n x /opt/env/bin/pip --no-input install nibabel"),
            ["nibabel"]
        );
    }
}
