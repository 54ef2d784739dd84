//! The description of the format against the decoder, and against itself.

use std::collections::BTreeSet;

use std::path::Path;

use nd_report::{FileId, Sink};
use nd_yaml::{Limits, Node, Value};
use neurocontainers_recipe::{
    Folder, LoadOptions, MemoryFiles, codes, load,
    schema::{DIRECTIVE, Kind, Object, RECIPE, SUITE, describe, json_schema, objects},
};

/// What the decoder says about a recipe: each code with its message and hints.
fn said(text: &str) -> Vec<(nd_report::Code, String)> {
    let files = MemoryFiles::new().with(Folder::Recipe, "build.yaml", text);
    let mut sink = Sink::new();
    load(&files, "recipes/demo", &LoadOptions::default(), &mut sink);
    let found = sink.into_diagnostics().into_iter();
    found
        .map(|found| {
            let hints = found.hints.into_iter().map(|hint| hint.text);
            let lines: Vec<String> = std::iter::once(found.message).chain(hints).collect();
            (found.code, lines.join("\n"))
        })
        .collect()
}

/// The words in backticks on the line of `text` that starts with `start`.
fn words<'t>(text: &'t str, start: &str) -> BTreeSet<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    line.unwrap_or_default()
        .split('`')
        .skip(1)
        .step_by(2)
        .collect()
}

/// A recipe whose mapping `object` has the key `zzzzzz`, which nobody knows.
fn with_unknown_key(object: &str) -> Option<&'static str> {
    Some(match object {
        "recipe" => "zzzzzz: 1",
        "build" => "build: {zzzzzz: 1}",
        "file" => "files: [{name: a, contents: b, zzzzzz: 1}]",
        "deploy" => "deploy: {zzzzzz: 1}",
        "webapp" => "deploy: {webapp: {title: a, startup_command: b, port: 1, zzzzzz: 1}}",
        "proxy" => {
            "deploy: {webapp: {title: a, startup_command: b, port: 1, additional_proxies: [{path: a, port: 1, zzzzzz: 1}]}}"
        }
        "variant" => "variants: {a: {zzzzzz: 1}}",
        "option" => "options: {a: {zzzzzz: 1}}",
        "structured_readme" => "structured_readme: {description: a, example: b, zzzzzz: 1}",
        "spdx_licence" => "copyright: [{license: MIT, zzzzzz: 1}]",
        "custom_licence" => "copyright: [{name: own, zzzzzz: 1}]",
        "gui_app" => "gui_apps: [{name: a, exec: b, zzzzzz: 1}]",
        "auto_update" => "auto_update: {method: github_release, repo: a/b, zzzzzz: 1}",
        _ => return None,
    })
}

fn keys(object: &Object) -> BTreeSet<&'static str> {
    object.keys.iter().map(|key| key.name).collect()
}

/// Whole recipes have further mistakes; a mapping that the decoder reaches only after others are
/// right needs those to be right.
fn whole(piece: &str) -> String {
    let mut text = piece.to_owned();
    for line in [
        "name: demo",
        "version: '1'",
        "architectures: [x86_64]",
        "categories: [body]",
        "readme: x",
        "build: {kind: neurodocker, base-image: 'a:1', pkg-manager: apt, directives: []}",
    ] {
        let key = line.split(':').next().unwrap_or_default();
        if !piece.starts_with(key) {
            text.push('\n');
            text.push_str(line);
        }
    }
    text
}

#[test]
fn decoder_and_description_know_the_same_keys() {
    for object in objects(&RECIPE) {
        let Some(piece) = with_unknown_key(object.name) else {
            continue;
        };
        let said = said(&whole(piece));
        let unknown = said
            .iter()
            .find(|(code, text)| *code == codes::UNKNOWN_KEY && text.contains("`zzzzzz`"));
        let (_, text) = unknown.unwrap_or_else(|| panic!("{}: {said:?}", object.name));
        assert_eq!(words(text, "valid keys: "), keys(object), "{}", object.name);
    }
}

#[test]
fn decoder_and_description_know_the_same_directives() {
    let directive = |text: &str| {
        whole(&format!(
            "build: {{kind: neurodocker, base-image: 'a:1', pkg-manager: apt, directives: [{text}]}}"
        ))
    };
    let said_of = |text: &str, code| {
        let all = said(&directive(text)).into_iter();
        all.filter(|(found, _)| *found == code)
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let actions = said_of("{zzzzzz: 1}", codes::UNKNOWN_DIRECTIVE);
    let mut known = words(&actions, "directives: ");
    assert_eq!(known, DIRECTIVE.one_of.iter().copied().collect());
    let of_groups = said_of("{group: [], zzzzzz: 1}", codes::UNKNOWN_KEY);
    known.extend(words(&of_groups, "valid keys: "));
    assert_eq!(known, keys(&DIRECTIVE));
    let boutique = objects(&RECIPE)
        .into_iter()
        .find(|object| object.name == "boutique");
    let missing = said_of("{boutique: {}}", codes::MISSING_KEY);
    for key in boutique.map(|object| object.keys).unwrap_or_default() {
        assert!(missing.contains(&format!("`{}`", key.name)), "{missing}");
    }
    let test = objects(&RECIPE)
        .into_iter()
        .find(|object| object.name == "test");
    let mut known = BTreeSet::new();
    let texts = [
        "{test: {name: a, builtin: b, zzzzzz: 1}}",
        "{test: {name: a, script: b, zzzzzz: 1}}",
    ]
    .map(|text| said_of(text, codes::UNKNOWN_KEY));
    for text in &texts {
        known.extend(words(text, "valid keys: "));
    }
    assert_eq!(Some(known), test.map(keys));
}

#[test]
fn required_keys_are_those_that_decoding_misses() {
    let missed: BTreeSet<String> = said("{}\n")
        .into_iter()
        .filter(|(code, _)| *code == codes::MISSING_KEY)
        .filter_map(|(_, text)| Some(text.split('`').nth(1)?.to_owned()))
        .collect();
    let required = RECIPE.keys.iter().filter(|key| key.required);
    assert_eq!(missed, required.map(|key| key.name.to_owned()).collect());
}

#[test]
fn keys_are_found_by_their_path() {
    for (path, part) in [
        (&["build", "directives", "group", "run"][..], "Commands"),
        (&["build", "directives", "file", "sha256"], "digest"),
        (&["variants", "gpu", "architectures"], "built for"),
        (&["copyright", "license"], "SPDX"),
        (&["deploy", "webapp", "additional_proxies", "port"], "port"),
    ] {
        let key = describe(&RECIPE, path);
        assert!(key.is_some_and(|key| key.doc.contains(part)), "{path:?}");
    }
    for path in [
        &["nothing"][..],
        &["build", "nothing", "run"],
        &["variables", "a", "b"],
        &[],
    ] {
        assert!(describe(&RECIPE, path).is_none(), "{path:?}");
    }
    assert!(describe(&SUITE, &["tests", "validate", "same_dimensions"]).is_some());
}

/// Every reference of a schema leads somewhere, and every key is explained in a sentence.
#[test]
fn schemas_are_complete() {
    for root in [&RECIPE, &SUITE] {
        let schema = json_schema(root, "https://example.org/schema.json", "a document");
        let text = schema.to_string();
        for (at, start) in text.match_indices("\"#/$defs/") {
            let name = text[at + start.len()..]
                .split('"')
                .next()
                .unwrap_or_default();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
        for object in objects(root) {
            for key in object.keys {
                assert!(key.doc.ends_with('.'), "{}: {}", object.name, key.name);
            }
            assert!(
                object.one_of.iter().all(|name| object.key(name).is_some()),
                "{}",
                object.name
            );
        }
    }
}

/// Why a value is not of a kind, with the path to it; patterns are left to those who validate.
fn mismatch(node: &Node, kind: Kind, path: &str) -> Option<String> {
    let wrong = |wanted: &str| Some(format!("{path}: {} is not {wanted}", node.kind()));
    let scalar = matches!(
        node.value,
        Value::Str(_) | Value::Bool(_) | Value::Int(_) | Value::Float(_)
    );
    match kind {
        Kind::Any => None,
        Kind::Null if node.is_null() => None,
        Kind::Null => wrong("null"),
        Kind::Text if node.as_str().is_some_and(|text| !text.trim().is_empty()) => None,
        Kind::Pattern(_) if node.as_str().is_some() => None,
        Kind::Text | Kind::Pattern(_) => wrong("text"),
        Kind::Scalar if scalar => None,
        Kind::Scalar => wrong("a scalar"),
        Kind::Choice(words) if node.as_str().is_some_and(|text| words.contains(&text)) => None,
        Kind::Choice(words) => wrong(&format!("one of {words:?}")),
        Kind::Boolean if node.as_bool().is_some() => None,
        Kind::Boolean => wrong("a boolean"),
        Kind::Integer(low, high) if node.as_int().is_some_and(|n| (low..=high).contains(&n)) => {
            None
        }
        Kind::Integer(..) => wrong("a fitting integer"),
        Kind::List(inner) | Kind::FullList(inner) => match node.as_seq() {
            None => wrong("a list"),
            Some(items) => items
                .iter()
                .find_map(|item| mismatch(item, *inner, &format!("{path}[]"))),
        },
        Kind::Map(inner) => match node.as_map() {
            None => wrong("a mapping"),
            Some(map) => map
                .iter()
                .find_map(|entry| mismatch(&entry.value, *inner, path)),
        },
        Kind::Either(kinds) => {
            let each = kinds.iter().map(|kind| mismatch(node, *kind, path));
            let all: Option<Vec<String>> = each.collect();
            all.map(|all| all.join("; "))
        }
        Kind::Object(object) => object_mismatch(node, object, path),
    }
}

fn object_mismatch(node: &Node, object: &'static Object, path: &str) -> Option<String> {
    let Some(map) = node.as_map() else {
        return Some(format!("{path}: no mapping"));
    };
    let missing = object
        .keys
        .iter()
        .find(|key| key.required && map.get(key.name).is_none());
    if let Some(key) = missing {
        return Some(format!("{path}: no `{}`", key.name));
    }
    if !object.one_of.is_empty()
        && object
            .one_of
            .iter()
            .filter(|key| map.get(key).is_some())
            .count()
            != 1
    {
        return Some(format!("{path}: not one of {:?}", object.one_of));
    }
    map.iter().find_map(|entry| {
        let name = entry.key.as_str().unwrap_or_default();
        let path = format!("{path}.{name}");
        match (object.key(name), object.others) {
            (Some(key), _) if !key.required && entry.value.is_null() => None,
            (Some(key), _) => mismatch(&entry.value, key.kind, &path),
            (None, Some(kind)) => mismatch(&entry.value, kind, &path),
            (None, None) => Some(format!("{path}: unknown key")),
        }
    })
}

/// The recipes of this repository, and of the catalogue where its recordings are at hand.
#[test]
fn real_recipes_fit_the_description() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut looked_at = 0;
    for folder in ["recipes", "../shared/corpus/neurocontainers/recipes"] {
        let Ok(entries) = fs_err::read_dir(root.join(folder)) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a folder can be listed").path();
            for (name, object) in [("build.yaml", &RECIPE), ("fulltest.yaml", &SUITE)] {
                let Ok(text) = fs_err::read(path.join(name)) else {
                    continue;
                };
                let mut sink = Sink::new();
                let node = nd_yaml::parse(&text, FileId(0), &Limits::default(), &mut sink);
                let found = node.and_then(|node| mismatch(&node, Kind::Object(object), name));
                // Keys of tests that nothing knows are mistakes of two suites of the catalogue.
                let known = found.as_ref().is_some_and(|found| {
                    found.ends_with("tests[].tags: unknown key")
                        || found.ends_with("tests[].container_options: unknown key")
                });
                assert!(found.is_none() || known, "{}: {found:?}", path.display());
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 6, "only {looked_at} files");
}
