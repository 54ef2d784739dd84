//! Input and output of single functions.

use std::path::Path;

use indexmap::IndexMap;
use nd_instructions::{Op, Script, install_script};
use nd_jinja::{Engine, Undefined};
use nd_names::Sha256;
use nd_report::{FileId, Sink, Span};
use nd_yaml::{Entry, Limits, Map, Node, Value as Yaml, dump, python_str};
use neurocontainers_recipe::{guest_filename, split_words};
use neurodocker::{Argument, Call, Strictness, Templates, normalise_run, save_command};
use serde_json::{Value, json};

use crate::{
    directory::read_json,
    report::{self, Difference, Part, Report},
};

/// Compares one row; differences go to the list.
type Compare<'a> = &'a dyn Fn(&Value, &mut Vec<Difference>);

/// Compares every row of every table.
pub(crate) fn compare(root: &Path, report: &mut Report) {
    let folder = root.join("units");
    let recipe = Engine::new(Undefined::Strict);
    let context = match read_json(&folder.join("jinja-recipe-context.json")) {
        Ok(context) => recipe_context(&context),
        Err(_) => nd_jinja::Value::UNDEFINED,
    };
    let tables: [(&str, Compare<'_>); 9] = [
        ("guest-filename", &guest),
        ("indent-run", &|row, out| {
            let found = normalise_run(string(&row["input"]));
            report::value("output", &row["output"], &json!(found), out);
        }),
        ("install-command", &install),
        ("jinja-condition", &|row, out| {
            let found = recipe.condition(string(&row["condition"]), &context);
            outcome(row, found.map(Value::from).map_err(|e| e.message), out);
        }),
        ("jinja-recipe", &|row, out| {
            let found = recipe.render(string(&row["template"]), &context);
            outcome(row, found.map(Value::from).map_err(|e| e.message), out);
        }),
        ("save-spec", &|row, out| {
            let found = save_command(&row["spec"]);
            report::value("output", &row["output"], &json!(found), out);
        }),
        ("shlex", &|row, out| {
            let found = split_words(string(&row["input"]));
            outcome(row, found.map(Value::from).map_err(|e| e.to_string()), out);
        }),
        ("yaml-dump", &yaml_dump),
        ("yaml-plain-scalars", &plain_scalar),
    ];
    for (name, compare) in tables {
        let label = format!("units/{name}");
        let path = folder.join(format!("{name}.json"));
        if !path.exists() {
            report::missing(&label);
            continue;
        }
        let mut part = Part::new(&label);
        let rows = match read_json(&path) {
            Ok(Value::Array(rows)) => rows,
            Ok(_) => Vec::new(),
            Err(problem) => {
                let mut differences = Vec::new();
                report::text("file", "readable", &problem, &mut differences);
                part.case("file", &differences);
                Vec::new()
            }
        };
        for (at, row) in rows.iter().enumerate() {
            let mut differences = Vec::new();
            compare(row, &mut differences);
            part.case(&at.to_string(), &differences);
        }
        report.end(&part);
    }
    template_texts(&folder, report);
}

/// Compares the rendering of template texts, each as the last step of a template made of the
/// recorded method.
fn template_texts(folder: &Path, report: &mut Report) {
    let path = folder.join("jinja-template.json");
    let Ok(table) = read_json(&path) else {
        report::missing("units/jinja-template");
        return;
    };
    let mut part = Part::new("units/jinja-template");
    let arguments: IndexMap<String, Argument> = table["values"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), Argument::Text(string(value).to_owned())))
        .collect();
    for (at, row) in table["cases"].as_array().into_iter().flatten().enumerate() {
        let mut differences = Vec::new();
        outcome(
            row,
            template_text(&table["method"], &arguments, row),
            &mut differences,
        );
        part.case(&at.to_string(), &differences);
    }
    report.end(&part);
}

fn template_text(
    method: &Value,
    arguments: &IndexMap<String, Argument>,
    row: &Value,
) -> Result<Value, String> {
    let mut method = method.clone();
    if let Some(directives) = method["directives"].as_array_mut() {
        directives.push(json!({ "run": row["source"] }));
    }
    let template = json!({ "name": "unit", "binaries": method }).to_string();
    let mut templates = Templates::empty();
    let mut sink = Sink::new();
    if !templates.add("unit", template.as_bytes(), FileId(0), &mut sink) {
        return Err(format!("{:?}", sink.diagnostics()));
    }
    let call = Call {
        name: "unit",
        arguments,
        package_manager: string(&row["pkg_manager"]),
        architecture: "x86_64",
        strictness: Strictness::Compat,
    };
    let expansion = templates
        .expand(&call)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())?;
    // A step that renders to nothing is left out.
    Ok(match expansion.ops.last() {
        Some(Op::Run {
            script: Script::Lines(text),
            ..
        }) => json!(text),
        _ => json!(""),
    })
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Compares a result, or that there is none.
fn outcome(row: &Value, found: Result<Value, String>, out: &mut Vec<Difference>) {
    let expected = row.get("result").or_else(|| row.get("output"));
    match (expected, found) {
        (Some(expected), Ok(found)) => report::value("result", expected, &found, out),
        (Some(expected), Err(problem)) => {
            report::text(
                "result",
                &expected.to_string(),
                &format!("error: {problem}"),
                out,
            );
        }
        (None, Ok(found)) => {
            let expected = format!("error: {}", row["error"]);
            report::text("result", &expected, &found.to_string(), out);
        }
        (None, Err(_)) => {}
    }
    if !out.is_empty() {
        out.push(Difference {
            what: "row".into(),
            rule: None,
            expected: row.to_string(),
            found: String::new(),
        });
    }
}

fn guest(row: &Value, out: &mut Vec<Difference>) {
    let found = guest_filename(string(&row["name"]), row["url"].as_str());
    report::value("guest", &row["guest"], &json!(found), out);
}

fn install(row: &Value, out: &mut Vec<Difference>) {
    let packages: Vec<String> = row["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| string(p).to_owned())
        .collect();
    match string(&row["pkg_manager"]).parse() {
        Ok(manager) => {
            let found = install_script(manager, &packages, row["opts"].as_str());
            report::value("output", &row["output"], &json!(found), out);
        }
        Err(_) => report::text("error", "known package manager", "unknown", out),
    }
}

fn yaml_dump(row: &Value, out: &mut Vec<Difference>) {
    let found = dump(&node(&row["value"]));
    let hex = Sha256::of(&found).hex();
    report::value("yaml", &row["yaml"], &json!(found), out);
    report::value(
        "cache_id",
        &row["cache_id"],
        &json!(format!("h{}", &hex[..8])),
        out,
    );
}

fn plain_scalar(row: &Value, out: &mut Vec<Difference>) {
    let text = string(&row["plain"]);
    let mut sink = Sink::new();
    let found = nd_yaml::parse(
        format!("key: {text}\n").as_bytes(),
        FileId(0),
        &Limits::default(),
        &mut sink,
    );
    let failed = found.is_none() || sink.has_errors();
    let found = found.filter(|_| !failed);
    let Some(node) = found.as_ref().and_then(|root| root.get("key")) else {
        if row.get("error").is_none() {
            report::text("value", string(&row["str"]), "error", out);
        }
        return;
    };
    if row.get("error").is_some() {
        report::text("value", "error", &python_str(&node.value), out);
        return;
    }
    let kind = match node.value {
        Yaml::Null => "NoneType",
        Yaml::Bool(_) => "bool",
        Yaml::Int(_) | Yaml::BigInt(_) => "int",
        Yaml::Float(_) => "float",
        Yaml::Str(_) => "str",
        Yaml::Date(_) => "date",
        Yaml::DateTime(_) => "datetime",
        _ => "other",
    };
    report::value("type", &row["type"], &json!(kind), out);
    report::value("str", &row["str"], &json!(python_str(&node.value)), out);
}

/// A node of a JSON value.
fn node(value: &Value) -> Node {
    let span = Span::new(FileId(0), 0..0);
    let value = match value {
        Value::Null => Yaml::Null,
        Value::Bool(value) => Yaml::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Yaml::Int(number),
            None => Yaml::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Yaml::Str(text.clone()),
        Value::Array(items) => Yaml::Seq(items.iter().map(node).collect()),
        Value::Object(map) => Yaml::Map(Map::from_entries(map.iter().map(|(key, value)| Entry {
            key: Node::new(Yaml::Str(key.clone()), span),
            value: node(value),
        }))),
    };
    Node::new(value, span)
}

/// What recipe expressions see.
fn recipe_context(recorded: &Value) -> nd_jinja::Value {
    let mut context = recorded["values"].as_object().cloned().unwrap_or_default();
    context.extend(
        recorded["context_fields"]
            .as_object()
            .cloned()
            .unwrap_or_default(),
    );
    let mut names = recorded["values"].as_object().cloned().unwrap_or_default();
    for key in ["arch", "parallel_jobs"] {
        names.insert(key.to_owned(), recorded["context_fields"][key].clone());
    }
    let has_local = || nd_jinja::Value::from_function(|_key: &str| false);
    let pairs = |map: &serde_json::Map<String, Value>| {
        let mut pairs: Vec<(String, nd_jinja::Value)> = map
            .iter()
            .map(|(key, value)| (key.clone(), jinja(value)))
            .collect();
        pairs.push(("has_local".to_owned(), has_local()));
        pairs
    };
    let mut all = pairs(&names);
    for key in ["context", "local"] {
        all.push((key.to_owned(), nd_jinja::Value::from_pairs(pairs(&context))));
    }
    nd_jinja::Value::from_pairs(all)
}

/// A value of the template language.
fn jinja(value: &Value) -> nd_jinja::Value {
    match value {
        Value::Null => nd_jinja::Value::from(()),
        Value::Bool(value) => nd_jinja::Value::from(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => nd_jinja::Value::from(number),
            None => nd_jinja::Value::from(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => nd_jinja::Value::from(text.as_str()),
        Value::Array(items) => nd_jinja::Value::from(items.iter().map(jinja).collect::<Vec<_>>()),
        Value::Object(map) => {
            nd_jinja::Value::from_pairs(map.iter().map(|(key, value)| (key.clone(), jinja(value))))
        }
    }
}
