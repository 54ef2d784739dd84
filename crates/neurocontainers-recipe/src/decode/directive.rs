//! Lists of directives.

use nd_report::{Diagnostic, Severity};
use nd_yaml::{Map, Node, Value, python_str};

use crate::{
    codes,
    raw::{Action, Directive},
    text::nearest,
};

use super::{Decoder, Fields, about::check_test, deploy::decode_deploy, file::decode_file};

/// What `include` may name upstream.
const INCLUDES: [&str; 2] = [
    "openrecon/neurodocker.yaml",
    "macros/openrecon/neurodocker.yaml",
];

const BOUTIQUE_KEYS: &[&str] = &[
    "name",
    "description",
    "tool-version",
    "schema-version",
    "command-line",
    "inputs",
];

/// Decodes a list of directives; `None` if it is no list. Those without meaning are reported and
/// left out.
pub(crate) fn decode_directives<'d>(
    node: &'d Node,
    what: &str,
    out: &mut Decoder<'_>,
) -> Option<Vec<Directive<'d>>> {
    let items = out.list(node, what)?;
    Some(
        items
            .iter()
            .filter_map(|item| decode_directive(item, out))
            .collect(),
    )
}

fn decode_directive<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<Directive<'d>> {
    let fields = out.mapping(node, "a directive")?;
    let Some(key) = Action::KEYS
        .into_iter()
        .find(|key| fields.raw(key).is_some())
    else {
        unknown_directive(&fields, out);
        return None;
    };
    let entry = fields.map.entry(key)?;
    if out.improved() {
        check_companions(&fields, key, out);
    }
    let action = decode_action(key, &entry.value, &fields, out);
    let condition = fields.raw("condition");
    if let Some(condition) = condition
        && out.improved()
        && !matches!(condition.value, Value::Str(_) | Value::Bool(_))
    {
        out.wrong_type(condition, "`condition`", "an expression or a boolean");
    }
    Some(Directive {
        node,
        key: &entry.key,
        condition,
        action: action?,
    })
}

fn unknown_directive(fields: &Fields<'_>, out: &mut Decoder<'_>) {
    let entry = fields
        .map
        .iter()
        .find(|entry| entry.key.as_str() != Some("condition"));
    let mut found = match entry {
        None => Diagnostic::new(
            codes::UNKNOWN_DIRECTIVE,
            Severity::Error,
            "directive has no action",
        )
        .at(fields.span, ""),
        Some(entry) => {
            let key = python_str(&entry.key.value);
            let shown: String = key.chars().take(60).collect();
            let mut found = Diagnostic::new(
                codes::UNKNOWN_DIRECTIVE,
                Severity::Error,
                format!("unknown directive type `{shown}`"),
            )
            .at(entry.key.span, "");
            if let Some(meant) = nearest(&key, Action::KEYS) {
                let fix = nd_report::Fix {
                    span: entry.key.span,
                    replacement: meant.to_owned(),
                    safe: true,
                };
                found = found.fix(format!("did you mean `{meant}`?"), fix);
            }
            found
        }
    };
    let list: Vec<String> = Action::KEYS.iter().map(|key| format!("`{key}`")).collect();
    found = found.hint(format!("directives: {}", list.join(", ")));
    out.sink.push(found);
}

/// Reports further actions and keys that do not belong to a directive.
fn check_companions(fields: &Fields<'_>, action: &str, out: &mut Decoder<'_>) {
    let known: &[&str] = match action {
        "group" => &["group", "condition", "with", "custom", "customParams"],
        "include" => &["include", "condition", "with"],
        _ => &["condition"],
    };
    for entry in fields.map {
        match entry.key.as_str() {
            Some(key) if key == action || known.contains(&key) => {}
            Some(key) if Action::KEYS.contains(&key) => {
                let first = fields
                    .map
                    .entry(action)
                    .map_or(fields.span, |entry| entry.key.span);
                let found = Diagnostic::new(
                    codes::SEVERAL_ACTIONS,
                    Severity::Error,
                    format!("a directive has one action, not both `{action}` and `{key}`"),
                )
                .at(entry.key.span, "")
                .at(first, "");
                out.sink.push(found.hint("write an entry for each"));
            }
            _ => {
                fields.unknown_key(entry, known, out);
            }
        }
    }
}

fn decode_action<'d>(
    key: &str,
    node: &'d Node,
    fields: &Fields<'d>,
    out: &mut Decoder<'_>,
) -> Option<Action<'d>> {
    let text_or_list = |out: &mut Decoder<'_>| {
        if out.improved() && node.as_str().is_none() && !super::is_list(node) {
            out.wrong_type(node, &format!("`{key}`"), "a string or a list");
            return None;
        }
        Some(node)
    };
    Some(match key {
        "install" => Action::Install(text_or_list(out)?),
        "run" => Action::Run(text_or_list(out)?),
        "copy" => Action::Copy(text_or_list(out)?),
        "workdir" => Action::Workdir(out.template(node, "workdir")?),
        "user" => Action::User(out.template(node, "user")?),
        "entrypoint" if out.improved() && node.as_seq().is_some_and(|items| !items.is_empty()) => {
            Action::Entrypoint(node)
        }
        "entrypoint" => Action::Entrypoint(out.template(node, "entrypoint")?),
        "environment" => Action::Environment(decode_environment(node, out)?),
        "variables" => {
            if out.improved() {
                out.mapping(node, "`variables`")?;
            }
            Action::Variables(node)
        }
        "group" => {
            let children = decode_directives(node, "`group`", out);
            let with = decode_with(fields, out);
            Action::Group {
                children: children?,
                with: with?,
            }
        }
        "include" => decode_include(node, fields, out)?,
        "file" => Action::File(decode_file(node, out)?),
        "deploy" => Action::Deploy(decode_deploy(node, false, out)?),
        "template" => {
            let template = out.mapping(node, "`template`")?;
            let name = template.required("name", out);
            let name = name.and_then(|name| out.template(name, "`name`"))?;
            let parameters = template
                .map
                .iter()
                .filter(|entry| entry.key.as_str() != Some("name"))
                .collect();
            Action::Template { name, parameters }
        }
        "boutique" => {
            let boutique = out.mapping(node, "`boutique`")?;
            let mut fine = true;
            for key in BOUTIQUE_KEYS {
                fine &= boutique.required(key, out).is_some();
            }
            if out.improved()
                && let Some(version) = boutique.raw("schema-version")
                && version.written() != Some("0.5")
            {
                let message = "`schema-version` must be `0.5`";
                out.error(codes::INVALID_CHOICE, version.span, message);
                fine = false;
            }
            if !fine {
                return None;
            }
            Action::Boutique(node)
        }
        _ => {
            if !check_test(node, out) {
                return None;
            }
            if out.improved() {
                let found = Diagnostic::new(
                    codes::OBSOLETE_TEST,
                    Severity::Warning,
                    "a `test` directive has no effect",
                )
                .at(node.span, "");
                out.sink
                    .push(found.hint("move the test to `fulltest.yaml`"));
            }
            Action::Test
        }
    })
}

fn decode_environment<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<&'d Map> {
    let environment = out.mapping(node, "`environment`")?;
    if out.upstream() {
        return Some(environment.map);
    }
    let mut fine = true;
    for entry in environment.map {
        if entry.key.as_str().is_none_or(|key| key.trim().is_empty()) {
            out.wrong_type(&entry.key, "the name of a variable", "a string");
            fine = false;
        }
        match &entry.value.value {
            Value::Null => {
                let name = python_str(&entry.key.value);
                let found = Diagnostic::new(
                    codes::ENVIRONMENT_VALUE,
                    Severity::Error,
                    format!("environment variable `{name}` has no value"),
                )
                .at(entry.value.span, "");
                out.sink.push(found.hint("for an empty value write `\"\"`"));
                fine = false;
            }
            Value::Bool(value) => {
                let name = python_str(&entry.key.value);
                let spelt = if *value { "True" } else { "False" };
                let found = Diagnostic::new(
                    codes::ENVIRONMENT_VALUE,
                    Severity::Warning,
                    format!("environment variable `{name}` gets the text `{spelt}`"),
                )
                .at(entry.value.span, "");
                out.sink
                    .push(found.hint("put the text you mean into quotes"));
            }
            Value::Seq(_) => {
                out.wrong_type(&entry.value, "the value of a variable", "a string");
                fine = false;
            }
            _ => {}
        }
    }
    fine.then_some(environment.map)
}

/// The `with` of a group or an include.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether decoding went well"
)]
fn decode_with<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> Option<Option<&'d Node>> {
    match fields.get("with") {
        None => Some(None),
        Some(node) if node.as_map().is_some() => Some(Some(node)),
        Some(node) if out.upstream() && !super::truthy(&node.value) => Some(None),
        Some(node) => {
            out.wrong_type(node, "`with`", "a mapping");
            None
        }
    }
}

fn decode_include<'d>(
    node: &'d Node,
    fields: &Fields<'d>,
    out: &mut Decoder<'_>,
) -> Option<Action<'d>> {
    let with = decode_with(fields, out);
    let name = out.words(node, "include")?;
    if out.upstream() && !INCLUDES.contains(&name) {
        let shown: String = name.chars().take(60).collect();
        let message = format!(
            "include macro `{shown}` not supported, must be one of `{}`, `{}`",
            INCLUDES[0], INCLUDES[1]
        );
        out.error(codes::INVALID_CHOICE, node.span, message);
        return None;
    }
    if out.improved() && name.contains("{{") {
        let message = "the name of an include cannot be a template";
        out.error(codes::WRONG_TYPE, node.span, message);
        return None;
    }
    if !crate::is_confined(name) {
        let message = "the name of an include must be a path below an include folder";
        out.error(codes::UNSAFE_PATH, node.span, message);
        return None;
    }
    Some(Action::Include {
        name: node,
        with: with?,
    })
}
