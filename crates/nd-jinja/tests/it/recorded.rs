//! Tables of results that Jinja2 3.1.6 gave.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nd_jinja::{
    CallError, Engine, Object, State, TemplateError, Undefined, Value, failure, from_args,
};
use nd_testkit::corpus;
use serde_json::Value as Json;

fn table(folder: &Path, name: &str) -> Json {
    let path = folder.join("neurocontainers/units").join(name);
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

/// The object that recipes call `context`: attributes and the three functions.
#[derive(Debug)]
struct Context(BTreeMap<String, Value>);

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, CallError> {
        helper(method, arguments)
    }
}

fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(value) => value.into(),
            None => number.as_f64().unwrap().into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value_of).collect(),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), value_of(v)))),
    }
}

fn helper(name: &str, arguments: &[Value]) -> Result<Value, CallError> {
    let (key,): (&str,) = from_args(arguments)?;
    match name {
        "get_file" => Err(failure(format!("declared file not available: {key}"))),
        "get_local" => Err(failure(format!("local context not available: {key}"))),
        _ => Ok(false.into()),
    }
}

fn recipe_context(folder: &Path) -> Value {
    let json = table(folder, "jinja-recipe-context.json");
    let mut names: BTreeMap<String, Value> = BTreeMap::new();
    for part in ["values", "context_fields"] {
        for (name, value) in json[part].as_object().unwrap() {
            names.insert(name.clone(), value_of(value));
        }
    }
    let context = Value::from_object(Context(names.clone()));
    let values = json["values"].as_object().unwrap().keys().cloned();
    let mut bare: BTreeMap<String, Value> = values
        .chain(["arch".to_owned(), "parallel_jobs".to_owned()])
        .map(|name| (name.clone(), names[&name].clone()))
        .collect();
    bare.insert("context".into(), context.clone());
    bare.insert("local".into(), context);
    for name in ["get_file", "get_local", "has_local"] {
        bare.insert(
            name.into(),
            Value::from_function(move |key: &str| helper(name, &[Value::from(key)])),
        );
    }
    Value::from(bare)
}

/// Compares a result with a row; gives what is wrong.
fn judge(row: &Json, got: &Result<String, TemplateError>) -> Option<String> {
    let wrong = match (got, row["result"].as_str()) {
        (Ok(got), Some(wanted)) => got != wanted,
        (Err(_), None) => false,
        _ => true,
    };
    wrong.then(|| format!("{row}\n    got {got:?}"))
}

#[test]
fn renders_recipe_expressions_as_recorded() {
    let Some(folder) = corpus() else { return };
    let engine = Engine::new(Undefined::Strict);
    let context = recipe_context(&folder);
    let wrong: Vec<String> = table(&folder, "jinja-recipe.json")
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| {
            judge(
                row,
                &engine.render(row["template"].as_str().unwrap(), &context),
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn judges_conditions_as_recorded() {
    let Some(folder) = corpus() else { return };
    let engine = Engine::new(Undefined::Strict);
    let context = recipe_context(&folder);
    for row in table(&folder, "jinja-condition.json").as_array().unwrap() {
        let got = engine.condition(row["condition"].as_str().unwrap(), &context);
        assert_eq!(got.clone().ok(), row["result"].as_bool(), "{row} {got:?}");
    }
}
