//! Dockerfiles outside of the compatible mode.

use std::fmt::Write as _;

use indexmap::IndexMap;
use nd_instructions::{EnvPair, user_script};
use serde_json::Value;

use super::{
    Refusal, RefusalKind, Spec, Step,
    compat::{FIRST_LINE, SAVE, SAVED},
    save, shell,
};
use crate::dockerfile::{array, assignments, one_line, quoted};

/// Writes flat instructions as Dockerfile.
pub(super) fn render(spec: &Spec, record: Option<&Value>) -> Result<String, Refusal> {
    let mut writer = Writer {
        spec,
        lines: vec![FIRST_LINE.to_owned(), String::new()],
        accounts: accounts(spec),
        user: "root".to_owned(),
        stages: IndexMap::new(),
        stage: None,
    };
    for step in &spec.steps {
        writer.step(step)?;
    }
    if let Some(record) = record {
        let user = writer.user.clone();
        writer.lines.push(String::new());
        writer.lines.push(SAVE.to_owned());
        if user != "root" {
            writer.lines.push("USER root".to_owned());
        }
        writer.lines.push(format!("RUN {}", save::command(record)));
        if user != "root" {
            writer.lines.push(format!("USER {}", one_line(&user)));
        }
        writer.lines.push(SAVED.to_owned());
    }
    Ok(writer.lines.join("\n"))
}

/// Accounts that a stage begins with.
pub(super) fn accounts(spec: &Spec) -> Vec<String> {
    let known = spec.existing_users.clone().unwrap_or_default();
    known.into_iter().chain(["root".to_owned()]).collect()
}

/// A value of `ENV` or `LABEL` as Docker's quotes take it: references to variables stay, `\$` is a
/// dollar sign, every other backslash is one.
pub(super) fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'$') => {
                out.push_str("\\$");
                chars.next();
            }
            '\\' => out.push_str("\\\\"),
            // What no name follows is no reference, though builders would take `$5` for one.
            '$' => {
                let name = |next: &char| next.is_ascii_alphabetic() || "_{".contains(*next);
                out.push_str(if chars.peek().is_some_and(name) {
                    "$"
                } else {
                    "\\$"
                });
            }
            // The quotes themselves are escaped by whoever writes them.
            _ => out.push(c),
        }
    }
    out
}

/// Pairs with escaped values.
pub(super) fn pairs(pairs: &IndexMap<String, String>) -> Vec<EnvPair> {
    pairs
        .iter()
        .map(|(name, value)| EnvPair {
            name: name.clone(),
            value: escaped(value),
        })
        .collect()
}

/// Where a stage ended.
#[derive(Debug, Clone)]
struct Stage {
    accounts: Vec<String>,
    user: String,
}

struct Writer<'s> {
    spec: &'s Spec,
    lines: Vec<String>,
    accounts: Vec<String>,
    user: String,
    stages: IndexMap<String, Stage>,
    stage: Option<String>,
}

/// Refuses text that would end its instruction.
pub(super) fn single_line<'t>(what: &str, text: &'t str) -> Result<&'t str, Refusal> {
    if text.contains(['\n', '\r']) {
        let message = format!("{what} must be one line: `{}`", text.escape_debug());
        return Err(Refusal::new(RefusalKind::Instruction, message));
    }
    Ok(text)
}

impl Writer<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::From { image, name } => self.from(image, name.as_deref())?,
            Step::Arg { name, value } => {
                single_line("a build argument", name)?;
                self.lines.push(match value {
                    Some(value) => {
                        single_line("the value of a build argument", value)?;
                        format!("ARG {name}={}", quoted(&escaped(value)))
                    }
                    None => format!("ARG {name}"),
                });
            }
            Step::Copy {
                sources,
                destination,
                from,
                owner,
                mode,
            } => {
                let mut line = "COPY ".to_owned();
                for (flag, value) in [("from", from), ("chown", owner), ("chmod", mode)] {
                    if let Some(value) = value {
                        let value = single_line("an option of a copy", value)?;
                        _ = write!(line, "--{flag}={value} ");
                    }
                }
                line.push_str(&paths(sources, destination));
                self.lines.push(line);
            }
            Step::Add {
                sources,
                destination,
            } => self
                .lines
                .push(format!("ADD {}", paths(sources, destination))),
            Step::Env(values) => {
                one_lines("a variable", values)?;
                self.lines.push(assignments("ENV", &pairs(values)));
            }
            Step::Label(values) => {
                one_lines("a label", values)?;
                self.lines.push(assignments("LABEL", &pairs(values)));
            }
            Step::Entrypoint(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.lines.push(format!("ENTRYPOINT {}", array(&words)));
            }
            Step::Install { packages, options } => {
                let options = options.as_ref().and_then(Option::as_deref);
                self.run(&shell::install(self.spec.manager, packages, options));
            }
            Step::Run(text) => self.run(text),
            Step::User(user) => {
                single_line("the name of an account", user)?;
                if !self.accounts.contains(user) {
                    self.accounts.push(user.clone());
                    if let Some(text) = user_script(user) {
                        if self.user != "root" {
                            self.lines.push("USER root".to_owned());
                        }
                        self.run(&text);
                    }
                }
                self.user.clone_from(user);
                self.lines.push(format!("USER {user}"));
            }
            Step::Workdir(path) => {
                let path = single_line("a working directory", path)?;
                self.lines.push(format!("WORKDIR {path}"));
            }
            Step::RunBash(_) | Step::Call { .. } => {
                let message = "a template call is left in the instructions";
                return Err(Refusal::new(RefusalKind::Instruction, message));
            }
        }
        Ok(())
    }

    fn from(&mut self, image: &str, name: Option<&str>) -> Result<(), Refusal> {
        let image = single_line("a base image", image)?;
        if let Some(stage) = self.stage.take() {
            let ended = Stage {
                accounts: self.accounts.clone(),
                user: self.user.clone(),
            };
            self.stages.insert(stage, ended);
            self.lines.push(String::new());
        } else if self.lines.len() > 2 && !self.lines[2..].iter().all(|l| l.starts_with("ARG ")) {
            self.lines.push(String::new());
        }
        let image = image.strip_prefix("docker://").unwrap_or(image);
        self.lines.push(match name {
            Some(name) => format!("FROM {image} AS {}", single_line("a stage", name)?),
            None => format!("FROM {image}"),
        });
        let begun = self.stages.get(image).cloned().unwrap_or_else(|| Stage {
            accounts: accounts(self.spec),
            user: "root".to_owned(),
        });
        self.accounts = begun.accounts;
        self.user = begun.user;
        self.stage = name.map(str::to_owned);
        Ok(())
    }

    /// A text: readable where that says the same, else in the form that takes any.
    fn run(&mut self, text: &str) {
        let (flags, text) = shell::flags(text);
        let mut line = "RUN ".to_owned();
        for flag in flags {
            line.push_str(flag);
            line.push(' ');
        }
        match shell::chain(text) {
            Some(chain) => line.push_str(&chain),
            None => line.push_str(&array(&["/bin/sh", "-ec", text.trim_end()])),
        }
        self.lines.push(line);
    }
}

fn one_lines(what: &str, values: &IndexMap<String, String>) -> Result<(), Refusal> {
    for (name, value) in values {
        single_line(what, name)?;
        single_line(&format!("the value of {what}"), value)?;
    }
    Ok(())
}

fn paths(sources: &[String], destination: &str) -> String {
    let all = sources.iter().map(String::as_str).chain([destination]);
    array(&all.collect::<Vec<_>>())
}
