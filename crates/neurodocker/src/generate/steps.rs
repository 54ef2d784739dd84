//! From options to instructions.

use indexmap::IndexMap;

use super::{
    Host,
    args::{Occurrence, usage},
};
use crate::{
    reproenv::{Refusal, RefusalKind, Registry, SoftwareTemplate, Step},
    templates::split,
};

/// What the options say besides instructions.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) manager: Option<String>,
    pub(super) yes: bool,
    pub(super) json: bool,
    pub(super) help: bool,
    pub(super) base: bool,
    pub(super) from_json: Option<String>,
    pub(super) sbom: Option<String>,
    pub(super) no_default_header: bool,
    pub(super) no_embed_spec: bool,
    pub(super) no_labels: bool,
}

/// What has no place in the order.
pub(super) fn wishes(occurrences: &[Occurrence]) -> Wishes {
    let mut wishes = Wishes::default();
    for occurrence in occurrences.iter().filter(|occurrence| !occurrence.template) {
        let value = occurrence.values.first().cloned();
        match occurrence.option.as_str() {
            "pkg-manager" => wishes.manager = value,
            "yes" => wishes.yes = true,
            "json" => wishes.json = true,
            "help" => wishes.help = true,
            "base-image" | "from" => wishes.base = true,
            "from-json" => wishes.from_json = value,
            "sbom" => wishes.sbom = value,
            "no-default-header" => wishes.no_default_header = true,
            "no-embed-spec" => wishes.no_embed_spec = true,
            "no-labels" => wishes.no_labels = true,
            _ => {}
        }
    }
    wishes
}

/// `KEY=VALUE`s of an option; the first `=` parts them, a later pair of a key replaces an earlier.
fn pairs(option: &str, values: &[String]) -> Result<IndexMap<String, String>, Refusal> {
    let mut pairs = IndexMap::new();
    for value in values {
        let Some((key, value)) = value.split_once('=') else {
            return Err(usage(format!(
                "option `--{option}`: expected `KEY=VALUE`, found `{value}`"
            )));
        };
        pairs.insert(key.to_owned(), value.to_owned());
    }
    Ok(pairs)
}

fn identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Checks names and values that upstream takes as they come.
fn check(option: &str, pairs: &IndexMap<String, String>) -> Result<(), Refusal> {
    for (key, value) in pairs {
        let good = match option {
            "label" => !key.is_empty() && !key.contains(char::is_whitespace),
            _ => identifier(key),
        };
        if !good {
            let what = if option == "label" {
                "a label has a name without blanks"
            } else {
                "a variable has a name of letters, digits and `_`, and begins with no digit"
            };
            return Err(usage(format!("option `--{option}`: `{key}` cannot be a name")).hint(what));
        }
        if value.contains(['\n', '\r']) {
            return Err(usage(format!(
                "option `--{option}`: the value of `{key}` must be one line"
            )));
        }
    }
    Ok(())
}

/// The syntax of every option, before anything is asked or made.
pub(super) fn check_all(occurrences: &[Occurrence], compat: bool) -> Result<(), Refusal> {
    for Occurrence {
        option,
        template,
        values,
    } in occurrences
    {
        if *template {
            pairs(option, values)?;
        } else if ["arg", "env", "label"].contains(&option.as_str()) {
            let pairs = pairs(option, values)?;
            if !compat {
                check(option, &pairs)?;
            }
        }
    }
    Ok(())
}

/// The instructions in order. Templates with an alert ask `host`, or tell it, on their way.
pub(super) fn steps(
    occurrences: &[Occurrence],
    registry: &Registry,
    yes: bool,
    compat: bool,
    host: &mut dyn Host,
) -> Result<Vec<Step>, Refusal> {
    let mut steps: Vec<Step> = Vec::new();
    for occurrence in occurrences {
        let Occurrence {
            option,
            template,
            values,
        } = occurrence;
        if *template {
            // Upstream offers a template with a hyphen in its name, and does nothing for it.
            if !(compat && option.contains('-')) {
                if let Some(alert) = registry.find(option).and_then(|found| found.alert.clone()) {
                    agree(&alert, yes, host)?;
                }
                let arguments = pairs(option, values)?;
                if !compat && let Some(template) = registry.find(option) {
                    tell_of_secrets(&template, &arguments, host);
                }
                steps.push(Step::Call {
                    name: option.clone(),
                    arguments,
                });
            }
            continue;
        }
        let first = || values.first().cloned().unwrap_or_default();
        match option.as_str() {
            "base-image" | "from" => steps.push(base(&first(), compat)),
            "as" => name_stage(&first(), &mut steps)?,
            "arg" => {
                let (name, value) = pairs(option, values)?
                    .swap_remove_index(0)
                    .unwrap_or_default();
                steps.push(Step::Arg {
                    name,
                    value: Some(value),
                });
            }
            "copy" | "add" | "copy-from" => steps.push(files(option, values, compat)?),
            "env" => steps.push(Step::Env(pairs(option, values)?)),
            "label" => steps.push(Step::Label(pairs(option, values)?)),
            "entrypoint" => steps.push(Step::Entrypoint(entrypoint(values, compat)?)),
            "install" => steps.push(install(values, compat)?),
            "run" | "run-bash" => {
                let command = first();
                if !compat && command.trim().is_empty() {
                    return Err(usage(format!("option `--{option}`: there is no command")));
                }
                steps.push(if option == "run" {
                    Step::Run(command)
                } else {
                    Step::RunBash(command)
                });
            }
            "user" => steps.push(Step::User(first())),
            "workdir" => steps.push(Step::Workdir(first())),
            _ => {}
        }
    }
    Ok(steps)
}

/// `IMAGE` or, outside of the compatible mode, `IMAGE AS NAME`.
fn base(text: &str, compat: bool) -> Step {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [image, word, name] if !compat && word.eq_ignore_ascii_case("as") => Step::From {
            image: (*image).to_owned(),
            name: Some((*name).to_owned()),
        },
        _ => Step::From {
            image: text.to_owned(),
            name: None,
        },
    }
}

fn name_stage(wanted: &str, steps: &mut [Step]) -> Result<(), Refusal> {
    let last = steps.iter_mut().rev().find_map(|step| match step {
        Step::From { name, .. } => Some(name),
        _ => None,
    });
    match last {
        Some(name @ None) => {
            *name = Some(wanted.to_owned());
            Ok(())
        }
        Some(Some(name)) => Err(usage(format!(
            "option `--as`: the stage is called `{name}` already"
        ))),
        None => Err(usage(
            "option `--as` names a stage; write it after `--from`",
        )),
    }
}

fn files(option: &str, values: &[String], compat: bool) -> Result<Step, Refusal> {
    let few = |most: &str| {
        Refusal::new(
            RefusalKind::TooFewValues,
            format!("option `--{option}` needs {most}"),
        )
    };
    let (from, values) = match (option, values) {
        ("copy-from", [from, rest @ ..]) => (Some(from.clone()), rest),
        (_, values) => (None, values),
    };
    let [sources @ .., destination] = values else {
        return Err(few("a stage, a source and a destination"));
    };
    if sources.is_empty() {
        return Err(few("a source and a destination at least"));
    }
    if option != "add" {
        return Ok(Step::Copy {
            sources: sources.to_vec(),
            destination: destination.clone(),
            from,
            owner: None,
            mode: None,
        });
    }
    if sources.len() > 1 {
        let message = "option `--add` takes one source and one destination";
        return Err(Refusal::new(
            if compat {
                RefusalKind::TooFewValues
            } else {
                RefusalKind::Usage
            },
            message,
        )
        .hint("write `--add` once for each source"));
    }
    Ok(Step::Add {
        sources: sources.to_vec(),
        destination: destination.clone(),
    })
}

fn entrypoint(values: &[String], compat: bool) -> Result<Vec<String>, Refusal> {
    let mut words = Vec::new();
    for value in values {
        if compat {
            words.extend(value.split_whitespace().map(str::to_owned));
        } else {
            let message = format!("option `--entrypoint`: `{value}` has an open quote");
            words.extend(split(value).ok_or_else(|| usage(message))?);
        }
    }
    if words.is_empty() {
        let kind = if compat {
            RefusalKind::Instruction
        } else {
            RefusalKind::Usage
        };
        return Err(Refusal::new(
            kind,
            "option `--entrypoint`: there is no word",
        ));
    }
    Ok(words)
}

fn install(values: &[String], compat: bool) -> Result<Step, Refusal> {
    let mut packages = values.to_vec();
    let mut options: Option<String> = None;
    if compat {
        // Upstream takes items away while it walks over them, and so misses the one that follows.
        let mut at = 0;
        while at < packages.len() {
            if let Some(found) = packages[at].strip_prefix("opts=") {
                options = Some(found.to_owned());
                let found = packages.remove(at);
                // It is the first equal item that goes.
                debug_assert!(found.starts_with("opts="), "only options are taken away");
            }
            at += 1;
        }
    } else {
        let all: Vec<&str> = values
            .iter()
            .filter_map(|value| value.strip_prefix("opts="))
            .collect();
        if all.len() > 1 {
            return Err(usage("option `--install`: `opts=` may be given once"));
        }
        options = all.first().map(|options| (*options).to_owned());
        packages.retain(|value| !value.starts_with("opts="));
    }
    if packages.is_empty() {
        return Err(usage(
            "option `--install`: there are no packages to install",
        ));
    }
    Ok(Step::Install {
        packages,
        options: Some(options),
    })
}

/// Says which values are no secrets any more.
fn tell_of_secrets(
    template: &SoftwareTemplate,
    arguments: &IndexMap<String, String>,
    host: &mut dyn Host,
) {
    let all = template.methods.iter().flat_map(|method| &method.secret);
    for name in all.filter(|name| arguments.contains_key(*name)) {
        host.note(&format!(
            "template `{}`: everybody can read `{name}` in the recipe and in the image",
            template.key()
        ));
    }
}

fn agree(alert: &str, yes: bool, host: &mut dyn Host) -> Result<(), Refusal> {
    if yes {
        host.alert(alert);
        return Ok(());
    }
    loop {
        let answer = host.ask(&format!("{alert} Proceed? [y/N]: "));
        let answer = answer.as_deref().map(|answer| answer.trim().to_lowercase());
        match answer.as_deref() {
            Some("y" | "yes") => return Ok(()),
            Some("" | "n" | "no") | None => {
                return Err(
                    Refusal::new(RefusalKind::Aborted, "aborted; nothing was written")
                        .hint("`--yes` agrees beforehand"),
                );
            }
            Some(_) => host.note("answer `y` or `n`"),
        }
    }
}
