//! `check`, `init` and the documents made from code, as a user has them.

use assert_cmd::Command;
use nd_testkit::TestEnv;
use neurocontainers::{diagnose::explanations, init};
use serde_json::Value;

const BUILD: &str = "# kept as it is
name: demo
version: 1.10   # newest
architectures: [x86_64]
descripton: views images
readme: hello
categories: [structural imaging]
copyright:
  - license: LGPL-2.1+ # as they say
build:
  kind: neurodocker
  base-image: ubuntu:24.04@sha256:0000000000000000000000000000000000000000000000000000000000000000
  pkg-manager: apt
  directives:
    - run:
        - pip install numpy
        - echo {{ context.verison }}
    - deploy: {path: [/usr/bin]}
";
const SUITE: &str = "name: other
version: '1.10'
tests:
  - name: starts
    command: demo
    expected_output_contain: demo
";

fn tree(files: &[(&str, &str)]) -> TestEnv {
    let env = TestEnv::new().unwrap();
    fs_err::create_dir_all(env.work().join("releases")).unwrap();
    for (path, text) in files {
        let path = env.work().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    env
}

fn demo() -> TestEnv {
    let icon = init::files(&init::NewRecipe {
        name: "x",
        version: "1",
        category: "body",
    })
    .unwrap();
    let icon = icon[0]
        .1
        .lines()
        .find(|line| line.starts_with("icon:"))
        .unwrap()
        .to_owned();
    tree(&[
        ("recipes/demo/build.yaml", &format!("{BUILD}{icon}\n")),
        ("recipes/demo/fulltest.yaml", SUITE),
    ])
}

fn run(env: &TestEnv, words: &[&str]) -> Command {
    let mut command = env.command(env!("CARGO_BIN_EXE_neurocontainers"));
    command.args(words);
    command
}

/// Exit code, standard output, standard error.
fn outcome(env: &TestEnv, words: &[&str]) -> (i32, String, String) {
    let output = run(env, words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn everything_is_said_at_once() {
    let env = demo();
    let (code, out, err) = outcome(&env, &["check", "--all"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(format!("{out}\n{err}"));
    // The same by name, by path, and from the folder itself.
    for words in [
        &["check", "demo"][..],
        &["check", "recipes/demo/build.yaml"],
    ] {
        assert_eq!(outcome(&env, words).1, out);
    }
    let here = run(&env, &["check"])
        .current_dir(env.work().join("recipes/demo"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(here.stdout).unwrap(), out);
}

#[test]
fn programs_get_documents() {
    let env = demo();
    let (code, out, _) = outcome(&env, &["check", "demo", "--json"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    let found = report["diagnostics"].as_array().unwrap();
    let errors = found
        .iter()
        .filter(|found| found["severity"] == "error")
        .count();
    assert_eq!(report["summary"]["errors"], errors);
    let typo = found
        .iter()
        .find(|found| found["code"] == "ND0102")
        .unwrap();
    let place = &typo["labels"][0]["place"];
    assert_eq!(
        (&place["file"], &place["line"], &place["column"]),
        (&"recipes/demo/build.yaml".into(), &5.into(), &1.into())
    );
    assert_eq!(typo["hints"][0]["fix"]["replacement"], "description");

    let (_, out, _) = outcome(&env, &["check", "demo", "--output-format", "sarif"]);
    let log: Value = serde_json::from_str(&out).unwrap();
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), found.len());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        let rule = &run["tool"]["driver"]["rules"][index];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["shortDescription"]["text"].is_string(), "{rule}");
    }

    let (_, out, _) = outcome(&env, &["check", "demo", "--output-format", "github"]);
    assert_eq!(
        out.lines().filter(|line| line.starts_with("::")).count(),
        found.len()
    );
    assert!(out.contains("::error file=recipes/demo/build.yaml,line=5,col=1,endLine=5,endColumn=10,title=ND0102 unknown-key::"), "{out}");
    let (code, ..) = outcome(&env, &["list", "--output-format", "sarif"]);
    assert_eq!(code, 2);
}

#[test]
fn repairs_are_shown_then_made_and_keep_the_rest() {
    let env = demo();
    let path = env.work().join("recipes/demo/build.yaml");
    let before = fs_err::read_to_string(&path).unwrap();
    let (_, out, _) = outcome(&env, &["check", "demo", "--fix", "--dry-run"]);
    let diff: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with(['-', '+']))
        .collect();
    assert_eq!(
        diff,
        [
            "--- recipes/demo/build.yaml",
            "+++ recipes/demo/build.yaml",
            "-version: 1.10   # newest",
            "+version: '1.10'   # newest",
            "-descripton: views images",
            "+description: views images",
            "-  - license: LGPL-2.1+ # as they say",
            "+  - license: LGPL-2.1-or-later # as they say",
            "--- recipes/demo/fulltest.yaml",
            "+++ recipes/demo/fulltest.yaml",
            "-    expected_output_contain: demo",
            "+    expected_output_contains: demo",
        ]
    );
    assert_eq!(fs_err::read_to_string(&path).unwrap(), before);
    outcome(&env, &["check", "demo", "--fix"]);
    let after = fs_err::read_to_string(&path).unwrap();
    let expected = before
        .replace("1.10   #", "'1.10'   #")
        .replace("descripton", "description")
        .replace("LGPL-2.1+", "LGPL-2.1-or-later");
    assert_eq!(after, expected);
    outcome(&env, &["check", "demo", "--fix"]);
    assert_eq!(fs_err::read_to_string(&path).unwrap(), after);
}

#[test]
fn what_is_new_passes() {
    let env = tree(&[("recipes/keep", "")]);
    let (code, out, err) = outcome(
        &env,
        &[
            "init",
            "my-tool",
            "--tool-version",
            "1.10",
            "--category",
            "spine",
        ],
    );
    assert_eq!((code, out.lines().count()), (0, 2), "{err}");
    let (code, out, err) = outcome(&env, &["check", "--all", "--strict"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(err, "checked 1 recipe: 0 errors, 0 warnings, 0 notes\n");
    assert_eq!(outcome(&env, &["init", "my-tool"]).0, 1);
    for bad in ["My_Tool", "../x", "", "a b"] {
        assert_eq!(outcome(&env, &["init", bad]).0, 1, "{bad}");
    }
    assert_eq!(outcome(&env, &["init", "x", "--category", "toys"]).0, 2);
    let made = fs_err::read_dir(env.work().join("recipes"))
        .unwrap()
        .count();
    assert_eq!(made, 2);
}

#[test]
fn hostile_recipes_are_diagnostics() {
    let deep = format!("name: {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let again = vec![format!("*a{}", level - 1); 9].join(", ");
            let line = format!("a{level}: &a{level} [{again}]\n");
            text.push_str(&line);
        }
        text
    };
    let large = format!("# {}\n", "x".repeat(6 << 20));
    let env = tree(&[
        ("recipes/deep/build.yaml", &deep),
        ("recipes/bomb/build.yaml", &bomb),
        ("recipes/large/build.yaml", &large),
        ("recipes/nul/build.yaml", "name: a\0b\n"),
        ("recipes/noyaml/build.yaml", "{{{{ : - ]"),
        ("recipes/suite/build.yaml", BUILD),
        ("recipes/suite/fulltest.yaml", &deep),
    ]);
    fs_err::create_dir_all(env.work().join("recipes/latin")).unwrap();
    fs_err::write(
        env.work().join("recipes/latin/build.yaml"),
        b"name: \xff\xfe\n",
    )
    .unwrap();
    fs_err::create_dir_all(env.work().join("recipes/link")).unwrap();
    let outside = env.root().join("home/secret");
    fs_err::write(&outside, "secret: text\n").unwrap();
    fs_err::os::unix::fs::symlink(&outside, env.work().join("recipes/link/build.yaml")).unwrap();
    let (code, out, err) = outcome(&env, &["check", "--all", "--fix"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("checked 8 recipes"), "{err}");
    assert!(!out.contains("secret: text"), "{out}");
    for name in [
        "deep",
        "bomb",
        "large",
        "nul",
        "noyaml",
        "latin",
        "link",
        "suite/fulltest.yaml",
    ] {
        assert!(out.contains(name), "{name} is not in\n{out}");
    }
}

/// What an included file does wrong is said once, and what was published is compared.
#[test]
fn shared_files_and_release_records_are_looked_at() {
    let recipe = |name: &str| {
        format!(
            "name: {name}\nversion: '1'\narchitectures: [x86_64]\nreadme: x\ncategories: [body]\n\
             build:\n  kind: neurodocker\n  base-image: ubuntu:24.04\n  pkg-manager: apt\n  directives:\n\
             \x20   - include: macros/openrecon/neurodocker.yaml\n"
        )
    };
    let record =
        r#"{"apps": {"one 1": {"version": "20260101", "exec": ""}}, "categories": ["spine"]}"#;
    let env = tree(&[
        ("recipes/one/build.yaml", &recipe("one")),
        ("recipes/two/build.yaml", &recipe("two")),
        (
            "macros/openrecon/neurodocker.yaml",
            "directives:\n  - run: pip install numpy\n",
        ),
        ("releases/one/1.json", record),
        ("releases/two/1.json", "[]"),
    ]);
    let (_, out, err) = outcome(&env, &["check", "--all"]);
    assert_eq!(out.matches("package `numpy`").count(), 1, "{out}{err}");
    assert!(
        out.contains("`releases/one/1.json` has other categories than the recipe"),
        "{out}"
    );
    assert!(
        out.contains("`releases/two/1.json` is no release record"),
        "{out}"
    );
}

/// The pages that the repository holds are those that the code makes.
#[test]
fn every_code_has_its_page() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/book/src");
    for words in explanations() {
        let page = fs_err::read_to_string(docs.join(words.code.page())).unwrap_or_default();
        assert!(
            page.contains(&words.code.to_string()),
            "{} has no page",
            words.code
        );
    }
}
