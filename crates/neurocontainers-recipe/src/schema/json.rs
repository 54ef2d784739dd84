//! The description as JSON Schema.

use serde_json::{Map, Value, json};

use super::{Kind, Object, objects};

/// The JSON schema (draft 2020-12) of a document. `id` is the schema's own address, `title` names
/// the document.
pub fn json_schema(root: &'static Object, id: &str, title: &str) -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": id,
        "title": title,
    });
    let mut definitions = Map::new();
    for object in objects(root) {
        let value = object_schema(object);
        if object.name == root.name {
            for (key, value) in value {
                schema[key] = value;
            }
        } else {
            definitions.insert(object.name.to_owned(), Value::Object(value));
        }
    }
    schema["$defs"] = Value::Object(definitions);
    schema
}

fn object_schema(object: &Object) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), json!(object.doc));
    schema.insert("type".to_owned(), json!("object"));
    let mut properties = Map::new();
    for key in object.keys {
        let mut value = kind_schema(key.kind);
        if !key.required {
            value = nullable(value);
        }
        value["description"] = json!(key.doc);
        properties.insert(key.name.to_owned(), value);
    }
    schema.insert("properties".to_owned(), Value::Object(properties));
    let required: Vec<&str> = object
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if !object.one_of.is_empty() {
        let choices: Vec<Value> = object
            .one_of
            .iter()
            .map(|key| json!({"required": [key]}))
            .collect();
        schema.insert("oneOf".to_owned(), json!(choices));
    }
    let others = object.others.map_or(json!(false), kind_schema);
    schema.insert("additionalProperties".to_owned(), others);
    schema
}

/// The schema, with null as good as an absent key.
fn nullable(mut schema: Value) -> Value {
    if schema.as_object().is_some_and(Map::is_empty) {
        return schema;
    }
    if let Some(types) = schema.get("anyOf").and_then(Value::as_array).cloned() {
        let mut types = types;
        types.push(json!({"type": "null"}));
        schema["anyOf"] = json!(types);
        return schema;
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Any => json!({}),
        Kind::Null => json!({"type": "null"}),
        Kind::Text => json!({"type": "string", "pattern": "\\S"}),
        Kind::Scalar => json!({"type": ["string", "number", "boolean"]}),
        Kind::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
        Kind::Choice(words) => json!({"enum": words}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer(low, high) => {
            let mut schema = json!({"type": "integer"});
            if low > i64::MIN {
                schema["minimum"] = json!(low);
            }
            if high < i64::MAX {
                schema["maximum"] = json!(high);
            }
            schema
        }
        Kind::List(inner) => json!({"type": "array", "items": kind_schema(*inner)}),
        Kind::FullList(inner) => {
            json!({"type": "array", "items": kind_schema(*inner), "minItems": 1})
        }
        Kind::Map(inner) => {
            json!({"type": "object", "additionalProperties": kind_schema(*inner)})
        }
        Kind::Object(object) => json!({"$ref": format!("#/$defs/{}", object.name)}),
        Kind::Either(kinds) => {
            let kinds: Vec<Value> = kinds.iter().map(|kind| kind_schema(*kind)).collect();
            json!({"anyOf": kinds})
        }
    }
}
