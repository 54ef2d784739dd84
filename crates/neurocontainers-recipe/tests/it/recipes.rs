//! Recipes in upstream's format: one mistake a file, and one file without mistakes.

use std::{fmt::Write as _, path::PathBuf};

use nd_names::Architecture;
use nd_report::{Diagnostic, Sink};
use nd_terminal::{DiagnosticStyle, Sources, render_diagnostics};
use neurocontainers_recipe::{
    Compat, Compiled, Folder, LoadOptions, MemoryFiles, Profile, Request, compile,
    fulltest::{check_contract, load_suite},
    load,
};

const TOOLS: &str = "directives:\n  - install: [vim]\n  - run: [\"ldconfig {{ context.name }}\"]\n";
const LOOP: &str = "directives:\n  - include: macros/loop.yaml\n";

/// A recipe folder with a few things around the recipe.
pub(crate) fn files(build: &str) -> MemoryFiles {
    MemoryFiles::new()
        .with(Folder::Recipe, "build.yaml", build)
        .with(Folder::Recipe, "wrapper.sh", "#!/bin/sh\n")
        .with(Folder::Include, "macros/tools.yaml", TOOLS)
        .with(Folder::Include, "macros/loop.yaml", LOOP)
}

/// Everything that reading and compiling says about a recipe, as people see it.
pub(crate) struct Outcome {
    pub(crate) compiled: Option<Compiled>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) shown: String,
}

pub(crate) fn outcome(build: &str, compat: Compat, request: &Request) -> Outcome {
    let files = files(build);
    let options = LoadOptions {
        compat,
        profile: Profile::Strict,
        folder_name: Some("demo"),
        ..LoadOptions::default()
    };
    let mut sink = Sink::new();
    let recipe = load(&files, "recipes/demo", &options, &mut sink);
    let compiled = recipe
        .as_ref()
        .and_then(|recipe| compile(recipe, request, &files, &mut sink));
    let mut sources = Sources::new();
    match &recipe {
        Some(recipe) => {
            for source in recipe.sources() {
                sources.insert(source.file, &source.name, source.text.as_str());
            }
        }
        None => sources.insert(nd_report::FileId(0), "recipes/demo/build.yaml", build),
    }
    let diagnostics = sink.into_diagnostics();
    let shown = render_diagnostics(&diagnostics, &sources, DiagnosticStyle::PLAIN);
    Outcome {
        compiled,
        diagnostics,
        shown,
    }
}

fn request() -> Request {
    Request::new(Architecture::X86_64)
}

fn data(folder: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(folder);
    let mut found: Vec<(String, String)> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs_err::read_to_string(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn each_mistake_has_its_code_and_place() {
    let mut all = String::new();
    for (name, text) in data("bad") {
        let outcome = outcome(&text, Compat::Improved, &request());
        let number: u16 = name.split('-').next().unwrap().parse().unwrap();
        let found: Vec<u16> = outcome.diagnostics.iter().map(|d| d.code.number).collect();
        assert_eq!(found, [number], "{name}:\n{}", outcome.shown);
        for diagnostic in &outcome.diagnostics {
            assert!(!diagnostic.labels.is_empty(), "{name} has no place");
            assert!(
                !diagnostic.message.ends_with('.'),
                "{name}: {}",
                diagnostic.message
            );
        }
        writeln!(all, "# {name}\n{}", outcome.shown).unwrap();
    }
    insta::assert_snapshot!("mistakes", all);
}

#[test]
fn everything_a_recipe_can_say_compiles() {
    for (name, text) in data("ok") {
        let mut request = request();
        request.local_contexts = vec!["src".into()];
        request.variant = "fast".into();
        let outcome = outcome(&text, Compat::Improved, &request);
        assert_eq!(outcome.shown, "", "{name}");
        let compiled = outcome.compiled.unwrap();
        insta::assert_json_snapshot!(format!("{name}-definition"), compiled.definition);
        insta::assert_debug_snapshot!(
            format!("{name}-rest"),
            (
                &compiled.identity,
                &compiled.readme,
                &compiled.deploy,
                &compiled.staging,
                &compiled.bootstrap
            )
        );
        let release = compiled
            .release(&"20260101".parse().unwrap())
            .to_json()
            .unwrap();
        insta::assert_snapshot!(format!("{name}-release"), release);
    }
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let text = "name: my_tool\nversion:\narchitectures: [amd64]\ncategories: [workflow]\nbuild:\n  kind: docker\n  directives:\n    - instal: [git]\n    - run: [make, \"{{ x\"]\n";
    let outcome = outcome(text, Compat::Improved, &request());
    let found: Vec<u16> = outcome.diagnostics.iter().map(|d| d.code.number).collect();
    assert_eq!(
        found,
        [105, 104, 108, 401, 400, 115, 103, 103, 113, 200],
        "{}",
        outcome.shown
    );
}

/// The recipes of this repository, with whatever lies in their folders.
fn own_recipes() -> Vec<(String, MemoryFiles)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut found = Vec::new();
    for entry in fs_err::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let mut files = MemoryFiles::new();
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap();
                files = files.with(Folder::Recipe, name, fs_err::read(&path).unwrap());
            }
        }
        found.push((
            folder.file_name().unwrap().to_str().unwrap().to_owned(),
            files,
        ));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn own_recipes_are_free_of_mistakes() {
    let recipes = own_recipes();
    assert!(recipes.len() >= 3, "{}", recipes.len());
    for (name, files) in recipes {
        let mut sink = Sink::new();
        let options = LoadOptions {
            profile: Profile::Strict,
            folder_name: Some(&name),
            ..LoadOptions::default()
        };
        let recipe = load(&files, &name, &options, &mut sink)
            .unwrap_or_else(|| panic!("{name}: {:?}", sink.diagnostics()));
        for concrete in recipe.variants(&mut sink).unwrap() {
            let mut request = Request::new(concrete.architecture);
            request.variant = concrete.recipe_variant.clone();
            let compiled = compile(&recipe, &request, &files, &mut sink).unwrap();
            assert_eq!(compiled.identity.name, concrete.name);
            assert!(compiled.bootstrap.is_some(), "{name}");
            let suite = load_suite(&files, &name, &options, &mut sink)
                .unwrap()
                .suite;
            assert!(!suite.tests.is_empty(), "{name}");
            check_contract(
                &suite,
                &name,
                &compiled.identity.version,
                Compat::Improved,
                &mut sink,
            );
            let text = compiled.dockerfile(Compat::Improved).unwrap();
            assert!(text.contains("FROM debian:"), "{text}");
        }
        assert_eq!(sink.diagnostics(), [], "{name}");
    }
}
