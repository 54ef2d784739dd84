//! Templates of `neurodocker generate`, built for real by the embedded builder: each expands as on the command
//! line, is installed on a bootstrapped Debian, and does what its own test says. Takes minutes.

use std::{fmt::Write as _, io};

use nd_report::Diagnostic;
use neurodocker::{
    generate::{Host, Settings, run},
    reproenv::Registry,
};
use serde_json::Value;

use crate::{build::Fixture, people::slow};

/// Nobody and nothing: a command line that needs neither files nor answers.
struct Nothing;

impl Host for Nothing {
    fn read(&mut self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, _: &str) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn input(&mut self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn ask(&mut self, _: &str) -> Option<String> {
        None
    }

    fn alert(&mut self, _: &str) {}

    fn note(&mut self, _: &str) {}

    fn template_problems(&mut self, _: &str, _: &[u8], _: &[Diagnostic]) {}
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The instructions of calls (`name`, arguments) as directives of a recipe, each followed by the test of its
/// template.
fn directives(calls: &[(&str, &str)]) -> String {
    let mut words: Vec<String> = [
        "generate", "docker", "-p", "apt", "-b", "x", "--yes", "--json",
    ]
    .map(str::to_owned)
    .into();
    for (name, arguments) in calls {
        words.push(format!("--{name}"));
        words.extend(arguments.split_whitespace().map(str::to_owned));
    }
    let outcome = run(&words, &Settings::default(), &mut Nothing).unwrap();
    let specification: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let mut out = String::new();
    for step in specification["instructions"].as_array().unwrap() {
        match step["name"].as_str().unwrap() {
            "env" => _ = writeln!(out, "    - environment: {}", step["kwds"]),
            "run" => {
                let script = step["kwds"]["command"].as_str().unwrap();
                let line = Value::from(format!("sh -c {}", quoted(script)));
                _ = writeln!(out, "    - run: [{line}]");
            }
            _ => {}
        }
    }
    for (name, _) in calls {
        let template = Registry::built_in().find(name).unwrap();
        if let Some(test) = &template.methods[0].test {
            _ = writeln!(out, "    - run: [{}]", Value::from(test.as_str()));
        }
    }
    out
}

fn build(suite: &str, calls: &[(&str, &str)]) {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let recipe = fixture.env.work().join("recipes/demo/build.yaml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    let text = text
        .replace(
            "base-image: busybox:latest",
            &format!("base-image: debian:{suite}\n  bootstrap: debian:{suite}"),
        )
        .replace(
            "  directives:\n",
            &format!("  directives:\n{}", directives(calls)),
        );
    fs_err::write(&recipe, text).unwrap();
    let output = fixture
        .command(&["build", "demo", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn templates_that_debian_holds_are_installed_and_work() {
    if !slow() {
        return;
    }
    build(
        "bookworm",
        &[
            ("jq", "version=debian"),
            ("dcm2niix", "version=debian"),
            ("minc", "version=debian"),
            ("vnc", "method=source passwd=secret"),
        ],
    );
    build(
        "trixie",
        &[("ants", "version=debian"), ("mrtrix3", "version=debian")],
    );
}
