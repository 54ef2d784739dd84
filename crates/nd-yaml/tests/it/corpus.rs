//! Recorded results of PyYAML 6.

use std::path::{Path, PathBuf};

use nd_report::{FileId, Sink, Span};
use nd_testkit::corpus;
use nd_yaml::{Entry, Map, Node, Value, dump, python_str};

use crate::read_all;

fn table(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let path = folder.join("neurocontainers/units").join(name);
    let rows: Vec<_> = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    assert!(!rows.is_empty());
    rows
}

/// All `build.yaml`, `fulltest.yaml` and template files.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("neurocontainers")];
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn types_plain_scalars_as_recorded() {
    let Some(folder) = corpus() else { return };
    for row in table(&folder, "yaml-plain-scalars.json") {
        let plain = row["plain"].as_str().unwrap();
        let (node, codes) = read_all(format!("key: {plain}").as_bytes());
        let Some(wanted) = row["type"].as_str() else {
            assert!(!codes.is_empty(), "`{plain}` should be an error");
            continue;
        };
        assert!(codes.is_empty(), "`{plain}`: {codes:?}");
        let node = node.unwrap();
        let value = &node.get("key").unwrap().value;
        let kind = match value {
            Value::Null => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::BigInt(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Date(_) => "date",
            Value::DateTime(_) => "datetime",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, wanted, "`{plain}`");
        assert_eq!(python_str(value), row["str"].as_str().unwrap(), "`{plain}`");
    }
}

fn from_json(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(items) => Value::Seq(items.iter().map(from_json).collect()),
        Json::Object(map) => Value::Map(Map::from_entries(map.iter().map(|(key, value)| Entry {
            key: from_json(&Json::String(key.clone())),
            value: from_json(value),
        }))),
    };
    Node::new(value, Span::new(FileId(0), 0..0))
}

#[test]
fn dumps_as_recorded() {
    let Some(folder) = corpus() else { return };
    for row in table(&folder, "yaml-dump.json") {
        let node = from_json(&row["value"]);
        assert_eq!(
            dump(&node),
            row["yaml"].as_str().unwrap(),
            "{}",
            row["value"]
        );
    }
}

#[test]
fn reads_every_file_without_a_complaint() {
    let Some(folder) = corpus() else { return };
    let files = files(&folder);
    assert!(files.len() > 100);
    for path in files {
        let mut sink = Sink::new();
        let bytes = fs_err::read(&path).unwrap();
        let node = nd_yaml::parse(&bytes, FileId(0), &nd_yaml::Limits::default(), &mut sink);
        assert!(
            sink.diagnostics().is_empty(),
            "{}: {:?}",
            path.display(),
            sink.diagnostics()
        );
        let node = node.unwrap();
        let again = nd_yaml::parse(
            dump(&node).as_bytes(),
            FileId(1),
            &nd_yaml::Limits::default(),
            &mut sink,
        );
        // Keys come back sorted, so the text is compared.
        assert_eq!(
            again.map(|node| dump(&node)),
            Some(dump(&node)),
            "{}",
            path.display()
        );
    }
}
