//! From a call of a template to variables and shell text.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use nd_instructions::PackageManager;
use nd_jinja::{Engine, TemplateErrorKind, Undefined, Value};

use super::{
    Refusal, RefusalKind, SoftwareMethod, SoftwareTemplate, object::Software, refusal::nearest,
};
use crate::templates::rename_self;

/// Most passes over one text.
const PASSES: usize = 20;

/// What a call becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// `binaries` or `source`.
    pub(crate) method: String,
    /// Variables.
    pub(crate) env: Vec<(String, String)>,
    /// Shell text, if the method has any.
    pub(crate) run: Option<String>,
    /// Address that the version stands for, if there is one.
    pub(crate) url: Option<String>,
    /// SHA-256 of what is behind it, where it is known.
    pub(crate) sha256: Option<String>,
}

/// Expands a call. `arguments` may hold `method`.
pub(crate) fn expand(
    template: &Arc<SoftwareTemplate>,
    arguments: &IndexMap<String, String>,
    manager: PackageManager,
    compat: bool,
) -> Result<Expanded, Refusal> {
    let wanted = arguments.get("method").map(String::as_str);
    let default = template.methods.first().map_or("", |method| &method.name);
    let wanted = wanted.unwrap_or(default);
    let method = template.method(wanted).ok_or_else(|| {
        let names: Vec<String> = template
            .methods
            .iter()
            .map(|method| format!("`{}`", method.name))
            .collect();
        Refusal::new(
            RefusalKind::UnknownMethod,
            format!("template `{}` has no method `{wanted}`", template.key()),
        )
        .hint(format!("it has {}", names.join(" and ")))
    })?;
    check(template, method, arguments, compat)?;
    let mut all: IndexMap<String, String> = method.optional.iter().cloned().collect();
    for (name, value) in arguments {
        if name != "method" {
            all.insert(name.clone(), value.clone());
        }
    }
    let object = |bound: bool| {
        Value::from_object(Software {
            template: template.clone(),
            method: wanted.to_owned(),
            arguments: all.clone(),
            manager: bound.then_some(manager),
            compat,
        })
    };
    let told = |refusal: Refusal| Refusal {
        message: format!("template `{}`: {}", template.key(), refusal.message),
        ..refusal
    };
    let mut env = Vec::new();
    let unbound = object(!compat);
    for (name, value) in &method.env {
        env.push((
            render(name, &unbound, compat).map_err(told)?,
            render(value, &unbound, compat).map_err(told)?,
        ));
    }
    let bound = object(true);
    let mut run = None;
    if !method.instructions.is_empty() {
        let text = render(&method.instructions, &bound, compat).map_err(told)?;
        if text.trim().is_empty() {
            let message = "the instructions come out empty";
            return Err(told(Refusal::new(RefusalKind::Render, message)));
        }
        run = Some(text);
    }
    let url = match all.get("version") {
        Some(version) if !compat => method
            .urls
            .iter()
            .find(|(known, _)| known == version)
            .or_else(|| method.urls.iter().find(|(known, _)| known == "*"))
            .map(|(_, url)| render(url, &bound, compat).map_err(told))
            .transpose()?,
        _ => None,
    };
    let sha256 = all.get("version").and_then(|version| {
        let mut sums = method.sha256.iter();
        sums.find(|(known, _)| known == version)
            .map(|(_, sum)| sum.clone())
    });
    Ok(Expanded {
        sha256,
        method: method.name.clone(),
        env,
        run,
        url,
    })
}

fn check(
    template: &SoftwareTemplate,
    method: &SoftwareMethod,
    arguments: &IndexMap<String, String>,
    compat: bool,
) -> Result<(), Refusal> {
    let name = template.key();
    let known: Vec<&str> = method.arguments().collect();
    let listed = || {
        if known.is_empty() {
            return format!("method `{}` has no arguments", method.name);
        }
        let known = known.join(", ");
        format!("arguments of method `{}`: {known}", method.name)
    };
    let missing: Vec<String> = method
        .required
        .iter()
        .filter(|required| !arguments.contains_key(*required))
        .map(|required| format!("`{required}`"))
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "template `{name}` needs the argument {}",
            missing.join(", ")
        );
        return Err(Refusal::new(RefusalKind::MissingArgument, message).hint(listed()));
    }
    for given in arguments.keys().filter(|given| *given != "method") {
        if !known.contains(&given.as_str()) {
            let message = format!("template `{name}` has no argument `{given}`");
            let refusal = Refusal::new(RefusalKind::UnknownArgument, message);
            let refusal = match nearest(given, known.iter().copied(), 1) {
                Some(near) => refusal.hint(format!("did you mean {near}?")),
                None => refusal,
            };
            return Err(refusal.hint(listed()));
        }
    }
    let required = method.required.iter().any(|name| name == "version");
    if let Some(version) = arguments.get("version")
        && (required || !compat)
        && method.name == "binaries"
        && !method
            .urls
            .iter()
            .any(|(known, _)| known == version || known == "*")
    {
        let mut versions: Vec<&str> = method
            .urls
            .iter()
            .map(|(label, _)| label.as_str())
            .collect();
        newest_first(&mut versions);
        let message = format!(
            "template `{name}`, method `{}`, offers no version `{version}`",
            method.name
        );
        let refusal = Refusal::new(RefusalKind::UnknownVersion, message);
        let refusal = match nearest(version, versions.iter().copied(), 1) {
            Some(near) => refusal.hint(format!("did you mean {near}?")),
            None => refusal,
        };
        return Err(refusal.hint(format!("versions: {}", versions.join(", "))));
    }
    Ok(())
}

/// Sorts version labels: names (`latest`) first, then by their numbers, newest first; last what a
/// distribution packages (`debian`), whose number is not known.
pub(crate) fn newest_first(versions: &mut [&str]) {
    let key = |label: &str| -> Vec<(u8, u64, String)> {
        let mut parts: Vec<(u8, u64, String)> = Vec::new();
        if label == "debian" {
            return parts;
        }
        let mut rest = label.strip_prefix(['v', 'r']).unwrap_or(label);
        while let Some(first) = rest.chars().next() {
            let digits = first.is_ascii_digit();
            let end = rest
                .find(|c: char| c.is_ascii_digit() != digits)
                .unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            parts.push(if digits {
                (1, part.parse().unwrap_or(u64::MAX), String::new())
            } else if parts.is_empty() {
                (2, 0, part.to_owned())
            } else {
                (0, 0, part.to_owned())
            });
            rest = after;
        }
        parts
    };
    versions.sort_by_cached_key(|label| std::cmp::Reverse(key(label)));
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(Undefined::Strict))
}

/// Renders until no expression is left. In `compat` text without `{{ … }}` is no template and
/// every `self.` is replaced wherever it stands.
pub(crate) fn render(text: &str, object: &Value, compat: bool) -> Result<String, Refusal> {
    let has_expression = |text: &str| {
        if compat {
            text.contains("{{") && text.contains("}}")
        } else {
            nd_jinja::is_template(text)
        }
    };
    let mut text = text.to_owned();
    let mut passes = 0;
    while has_expression(&text) {
        passes += 1;
        if passes > PASSES {
            let message = format!("text still has expressions after {PASSES} passes");
            return Err(Refusal::new(RefusalKind::Render, message));
        }
        let source = if compat {
            text.replace("self.", "template.")
        } else {
            rename_self(&text)
        };
        let context = Value::from_pairs([("template", object.clone())]);
        text = engine().render(&source, &context).map_err(|problem| {
            let message = problem.message.replace("template.", "self.");
            let refusal = Refusal::new(RefusalKind::Render, message);
            match problem.kind {
                TemplateErrorKind::Undefined => {
                    refusal.hint("an argument may be missing from the template's `arguments`")
                }
                _ => refusal,
            }
        })?;
    }
    Ok(text)
}
