//! The commands `templates list`, `show` and `export`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Outcome, args::usage, help, unknown_template};
use crate::reproenv::{Refusal, Registry, SoftwareMethod, SoftwareTemplate, newest_first};

/// Runs one of them.
pub(super) fn run(arguments: &[String], registry: &Registry) -> Result<Outcome, Refusal> {
    let json = arguments.iter().any(|word| word == "--json");
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--json")
        .collect();
    match words.as_slice() {
        [] | ["--help", ..] => Ok(Outcome::data(help::templates())),
        ["list"] if json => {
            let all: Vec<Value> = public(registry).map(|template| about(&template)).collect();
            Ok(Outcome::data(format!("{}\n", Value::from(all))))
        }
        ["list"] => Ok(Outcome::data(list(registry))),
        ["show", name] => {
            let template = registry
                .find(name)
                .ok_or_else(|| unknown_template(name, registry))?;
            Ok(Outcome::data(if json {
                format!("{:#}\n", about(&template))
            } else {
                show(&template)
            }))
        }
        ["versions", name] => {
            let template = registry
                .find(name)
                .ok_or_else(|| unknown_template(name, registry))?;
            Ok(Outcome::data(all_versions(&template, json)))
        }
        [word @ ("show" | "versions")] => Err(usage(format!("`templates {word}` needs a name"))
            .hint("`neurodocker templates list` has them")),
        ["export", "--upstream", folder] | ["export", folder, "--upstream"] => {
            let folder = folder.trim_end_matches('/');
            let mut outcome = Outcome::default();
            for name in registry.names() {
                if let Some(template) = registry.find(&name) {
                    let path = format!("{folder}/{name}.yaml");
                    outcome.files.push((path, upstream(&template)));
                }
            }
            Ok(outcome)
        }
        ["export", ..] => Err(usage("`templates export` needs `--upstream FOLDER`")),
        [word, ..] => Err(usage(format!("`templates` does not know `{word}`"))
            .hint("it knows `list`, `show NAME`, `versions NAME` and `export --upstream FOLDER`")),
    }
}

/// The templates that the command line offers.
fn public(registry: &Registry) -> impl Iterator<Item = std::sync::Arc<SoftwareTemplate>> {
    registry
        .names()
        .into_iter()
        .filter_map(|name| registry.find(&name))
        .filter(|template| !template.is_private())
}

fn versions(method: &SoftwareMethod) -> Vec<&str> {
    let mut versions: Vec<&str> = method
        .urls
        .iter()
        .map(|(label, _)| label.as_str())
        .collect();
    newest_first(&mut versions);
    versions
}

fn list(registry: &Registry) -> String {
    let mut out = String::new();
    for template in public(registry) {
        let methods: Vec<&str> = template.methods.iter().map(|m| m.name.as_str()).collect();
        let newest = template
            .methods
            .first()
            .and_then(|method| versions(method).into_iter().find(|label| *label != "*"))
            .unwrap_or("-");
        _ = writeln!(
            out,
            "{:<15} {:<17} {newest:<16} {}",
            template.key(),
            methods.join(", "),
            template.url
        );
    }
    out
}

/// Versions of the method that lists any, newest first; `*` is any other.
fn all_versions(template: &SoftwareTemplate, json: bool) -> String {
    let method = template.methods.iter().find(|m| !m.urls.is_empty());
    let versions = method.map(versions).unwrap_or_default();
    if json {
        return format!("{}\n", json!(versions));
    }
    let mut out = String::new();
    for label in versions {
        out.push_str(label);
        out.push('\n');
    }
    out
}

fn show(template: &SoftwareTemplate) -> String {
    let mut out = format!("{}\n  home page: {}\n", template.key(), template.url);
    let license = template.license.as_deref();
    _ = writeln!(out, "  licence: {}", license.unwrap_or("see the home page"));
    if let Some(alert) = &template.alert {
        _ = writeln!(out, "  note: {alert}");
    }
    for method in &template.methods {
        _ = writeln!(out, "\nmethod {}", method.name);
        for required in &method.required {
            _ = writeln!(out, "  {required} (required)");
        }
        for (optional, default) in &method.optional {
            let mut lines = default.lines();
            let first = lines.next().unwrap_or_default();
            let more = if lines.next().is_some() { " …" } else { "" };
            _ = writeln!(out, "  {optional}={first}{more}");
        }
        let versions: Vec<&str> = versions(method)
            .into_iter()
            .map(|label| if label == "*" { "any other" } else { label })
            .collect();
        if !versions.is_empty() {
            _ = writeln!(out, "  versions: {}", versions.join(", "));
        }
    }
    out
}

fn about(template: &SoftwareTemplate) -> Value {
    let methods: Map<String, Value> = template
        .methods
        .iter()
        .map(|method| {
            let optional: Map<String, Value> = method
                .optional
                .iter()
                .map(|(name, default)| (name.clone(), default.as_str().into()))
                .collect();
            let dependencies: Map<String, Value> = method
                .dependencies
                .iter()
                .map(|(key, packages)| (key.clone(), json!(packages)))
                .collect();
            let about = json!({
                "required": method.required,
                "optional": optional,
                "versions": versions(method),
                "dependencies": dependencies,
                "test": method.test,
            });
            (method.name.clone(), about)
        })
        .collect();
    json!({
        "name": template.key(),
        "url": template.url,
        "license": template.license,
        "alert": template.alert,
        "methods": methods,
    })
}

/// A text in YAML's double quotes, which take JSON's escapes.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The template in upstream's schema, which has none of our own keys.
fn upstream(template: &SoftwareTemplate) -> String {
    let mut out = format!("name: {}\nurl: {}\n", template.name, quoted(&template.url));
    if let Some(alert) = &template.alert {
        _ = writeln!(out, "alert: {}", quoted(alert));
    }
    for method in &template.methods {
        _ = writeln!(out, "{}:", method.name);
        if !method.required.is_empty() || !method.optional.is_empty() {
            out.push_str("  arguments:\n");
            lists(&mut out, [("required", method.required.as_slice())]);
            pairs(&mut out, "    optional", &method.optional);
        }
        pairs(&mut out, "  urls", &method.urls);
        pairs(&mut out, "  env", &method.env);
        if method
            .dependencies
            .iter()
            .any(|(_, packages)| !packages.is_empty())
        {
            out.push_str("  dependencies:\n");
            let all = method.dependencies.iter();
            lists(
                &mut out,
                all.map(|(key, packages)| (key.as_str(), packages.as_slice())),
            );
        }
        out.push_str(&block(&method.instructions));
    }
    out
}

fn lists<'t>(out: &mut String, all: impl IntoIterator<Item = (&'t str, &'t [String])>) {
    for (key, items) in all {
        if !items.is_empty() {
            _ = writeln!(out, "    {key}:");
            for item in items {
                _ = writeln!(out, "      - {}", quoted(item));
            }
        }
    }
}

fn pairs(out: &mut String, key: &str, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let indent = " ".repeat(key.len() - key.trim_start().len() + 2);
    _ = writeln!(out, "{key}:");
    for (name, value) in pairs {
        _ = writeln!(out, "{indent}{}: {}", quoted(name), quoted(value));
    }
}

/// Instructions as a block where YAML gives exactly the same text back.
fn block(text: &str) -> String {
    let odd = |c: char| c.is_control() && c != '\n';
    let plain = !text.starts_with([' ', '\n']) && !text.contains(odd) && !text.ends_with("\n\n");
    if !plain || text.trim().is_empty() {
        return format!("  instructions: {}\n", quoted(text));
    }
    let mark = if text.ends_with('\n') { "|" } else { "|-" };
    let mut out = format!("  instructions: {mark}\n");
    for line in text.lines() {
        if !line.is_empty() {
            out.push_str("    ");
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}
