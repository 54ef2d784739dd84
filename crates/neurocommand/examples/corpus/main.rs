//! Compares catalogue files with those of upstream, byte for byte.
//!
//! `cargo run --release -p neurocommand --example corpus -- DIR` where DIR holds `neurocommand/` with
//! `apps.json`, `log.txt`, `applist.json`, `webapps.json`, and `neurocontainers/` with `releases`,
//! `recipes` and `golden/*.from-*.json`; whatever is absent is left out. Each file counts once. The last
//! line is `corpus: E of T equal, A allowed`; the exit code is 1 when E + A is less than T.

#![expect(
    clippy::print_stdout,
    reason = "a program for developers, which prints its result"
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nd_report::{FileId, Sink};
use neurocommand::{
    catalogue::{ListForm, WebappRecipe, applist, build, canonical, log, text, webapps},
    json::{Limits, Node, parse},
    sources::{read_releases, read_webapps},
};

#[derive(Default)]
struct Counts {
    equal: usize,
    total: usize,
}

impl Counts {
    fn case(&mut self, name: &str, expected: &str, found: &str) {
        self.total += 1;
        if expected == found {
            self.equal += 1;
            return;
        }
        let at = expected
            .bytes()
            .zip(found.bytes())
            .position(|(a, b)| a != b);
        println!(
            "catalogue {name}: differs from byte {}",
            at.unwrap_or(expected.len().min(found.len()))
        );
    }
}

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("usage: corpus DIR");
        return ExitCode::from(2);
    };
    let mut counts = Counts::default();
    lists(&directory.join("neurocommand"), &mut counts);
    recorded(
        &directory.join("neurocontainers"),
        &directory.join("neurocommand"),
        &mut counts,
    );
    println!("catalogue: {} of {} equal", counts.equal, counts.total);
    println!(
        "corpus: {} of {} equal, 0 allowed",
        counts.equal, counts.total
    );
    if counts.equal < counts.total {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn read(path: &Path) -> Option<String> {
    fs_err::read_to_string(path).ok()
}

fn document(text: &str) -> Option<Node> {
    parse(text, FileId(0), &Limits::default(), &mut Sink::new())
}

/// The lists that follow from the catalogue, and its canonical form.
fn lists(folder: &Path, counts: &mut Counts) {
    let Some(apps) = read(&folder.join("apps.json")) else {
        println!("catalogue apps.json: not there");
        return;
    };
    let Some(document) = document(&apps) else {
        counts.case("apps.json, read", &apps, "");
        return;
    };
    counts.case(
        "apps.json, written again",
        &apps,
        &text(&canonical(&document)),
    );
    let lines = log(&document, &mut Sink::new()).unwrap_or_default();
    if let Some(expected) = read(&folder.join("log.txt")) {
        counts.case("log.txt", &expected, &lines);
    }
    if let Some(expected) = read(&folder.join("applist.json")) {
        counts.case(
            "applist.json",
            &expected,
            &applist(&lines, Some(&document), ListForm::Upstream),
        );
    }
}

/// What follows from release records and recipes: recorded for exactly those at hand, and for all of
/// upstream's where all are at hand.
fn recorded(folder: &Path, published: &Path, counts: &mut Counts) {
    let golden = folder.join("golden");
    let releases_folder = folder.join("releases");
    let mut sink = Sink::new();
    let Ok(releases) = read_releases(&releases_folder, "releases", &mut Vec::new(), &mut sink)
    else {
        println!("catalogue releases: not there");
        return;
    };
    let built = build(&releases, &mut sink);
    if let Some(expected) = read(&golden.join("apps.from-releases.json")) {
        counts.case("apps.json from releases", &expected, &text(&built));
    }
    let published_apps = read(&published.join("apps.json"));
    if let Some(expected) = published_apps.as_deref().and_then(document)
        && keys(&expected) == keys(&built)
    {
        let expected = text(&expected);
        counts.case("apps.json from all releases", &expected, &text(&built));
    }
    let Ok(mut recipes) = read_webapps(&folder.join("recipes"), &releases_folder, &mut sink) else {
        println!("catalogue recipes: not there");
        return;
    };
    icons(&golden, &mut recipes);
    let found = webapps(&recipes, &mut Sink::new());
    if let Some(expected) = read(&golden.join("webapps.from-recipes.json")) {
        counts.case("webapps.json from recipes", &expected, &found);
    }
    let published_webapps = read(&published.join("webapps.json"));
    let modules = |text: &str| document(text).and_then(|node| node.get("webapps").map(keys));
    if let Some(expected) = published_webapps
        && modules(&expected) == modules(&found)
    {
        counts.case("webapps.json from all recipes", &expected, &found);
    }
}

fn keys(node: &Node) -> BTreeSet<String> {
    node.members()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect()
}

/// Icons are not part of the recordings; which exist upstream is.
fn icons(golden: &Path, recipes: &mut [WebappRecipe]) {
    let recorded = read(&golden.join("webapp-icons.json")).and_then(|text| document(&text));
    for recipe in recipes {
        let exists = recorded
            .as_ref()
            .and_then(|all| all.get(&recipe.name))
            .and_then(|icon| icon.get("exists"));
        if let Some(exists) = exists {
            recipe.icon_exists = exists.value == neurocommand::json::Value::Bool(true);
        }
    }
}
