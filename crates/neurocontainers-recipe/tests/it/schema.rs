//! The description of the format against the decoder, and against itself.

use std::collections::BTreeSet;

use nd_report::Sink;
use neurocontainers_recipe::{
    Folder, LoadOptions, MemoryFiles, codes, load,
    schema::{DIRECTIVE, Object, RECIPE, SUITE, describe, json_schema, objects},
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
