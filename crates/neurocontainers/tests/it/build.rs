//! A small recipe on a base from disk, built end to end by the command, without network.

use std::path::{Path, PathBuf};

use nd_testkit::TestEnv;
use serde_json::Value;

use crate::support::{BUSYBOX, busybox_layout, debian};

pub(crate) const DIRECTIVES: &str = r#"    - file: {name: greeting, contents: "hello from a file\n"}
    - run:
        - mkdir -p /opt/demo
        - cp {{ get_file("greeting") }} /opt/demo/greeting
        - printf '#!/bin/sh\ncat /opt/demo/greeting\n' > /opt/demo/demo
        - chmod 755 /opt/demo/demo
    - copy: [data.txt, /opt/demo/data.txt]
    - environment: {DEMO_HOME: /opt/demo}
"#;

const SUITE: &str = r"name: demo
version: 1.0.0
test_data:
  output_dir: test_output
tests:
  - name: greets
    command: /opt/demo/demo | cat > ${output_dir}/said; cat ${output_dir}/said
    expected_output_contains: hello from a file
    validate:
      - output_exists: ${output_dir}/said
  - name: has its data and environment
    command: cat $DEMO_HOME/data.txt
    expected_output_contains: some data
  - name: refuses
    command: exit 3
    expected_exit_code: 3
";

/// A repository with the recipe, and a base for it.
pub(crate) struct Fixture {
    pub(crate) env: TestEnv,
    pub(crate) base: PathBuf,
}

impl Fixture {
    pub(crate) fn new() -> Option<Self> {
        let env = TestEnv::new().unwrap();
        let base = busybox_layout(env.root())?;
        let recipe = env.work().join("recipes/demo");
        fs_err::create_dir_all(&recipe).unwrap();
        fs_err::create_dir_all(env.work().join("releases")).unwrap();
        let text = crate::support::recipe(BUSYBOX, DIRECTIVES, "path: [/opt/demo]");
        fs_err::write(recipe.join("build.yaml"), text).unwrap();
        fs_err::write(recipe.join("fulltest.yaml"), SUITE).unwrap();
        fs_err::write(recipe.join("data.txt"), "some data\n").unwrap();
        Some(Self { env, base })
    }

    pub(crate) fn command(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = self.env.command(env!("CARGO_BIN_EXE_neurocontainers"));
        command.args(words).env("BUILDDATE", "20260102");
        // No test asks a registry of the world.
        let conf = self.env.root().join("no-registries.conf");
        let text = "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\n";
        fs_err::write(&conf, text).unwrap();
        command.env("CONTAINERS_REGISTRIES_CONF", conf);
        if let Some(peers) = std::env::var_os("ND_PEERS") {
            command.env("ND_PEERS", peers);
        }
        command
    }

    /// Builds the recipe; the summary.
    pub(crate) fn build(&self, more: &[&str]) -> Value {
        let base = self.base.to_str().unwrap();
        let words = [&["build", "demo", "--base", base, "--json"][..], more].concat();
        let output = self.command(&words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
    }

    /// From now on the recipe stands on a real distribution and installs a package of it first.
    pub(crate) fn install_from_debian(&self, suite: &str, package: &str) {
        let path = "recipes/demo/build.yaml";
        let install = format!("  directives:\n    - install: [{package}]\n");
        self.edit(path, BUSYBOX, &debian(suite));
        self.edit(path, "  directives:\n", &install);
    }

    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.env.work().join(path);
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs_err::write(path, text.replace(from, to)).unwrap();
    }
}

fn path_of(summary: &Value, key: &str) -> PathBuf {
    PathBuf::from(summary[key]["path"].as_str().unwrap())
}

fn cached_steps(summary: &Value) -> Vec<bool> {
    let steps = summary["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["cached"].as_bool().unwrap())
        .collect()
}

#[test]
fn a_recipe_becomes_a_tested_container_and_again_from_the_cache() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let first = fixture.build(&[]);
    assert_eq!(first["all_cached"], false);
    for key in ["oci", "sif", "release"] {
        assert!(path_of(&first, key).exists(), "{key}");
    }
    let sif = path_of(&first, "sif");
    assert_eq!(sif.file_name().unwrap(), "demo_1.0.0_20260102.simg");
    assert_eq!(first["sif"]["bytes"], fs_err::metadata(&sif).unwrap().len());
    let tests = first["tests"].as_array().unwrap();
    assert!(tests.len() >= 3, "{tests:?}");
    assert!(tests.iter().all(|suite| suite["failed"] == 0), "{tests:?}");
    let sandbox = tests
        .iter()
        .find(|suite| suite["runtime"].as_str().unwrap().starts_with("sandbox"));
    assert_eq!(sandbox.unwrap()["passed"], 3);

    let out = sif.parent().unwrap();
    let junit = fs_err::read_to_string(out.join("tests.xml")).unwrap();
    assert!(junit.contains("name=\"refuses\""), "{junit}");
    let release = fs_err::read_to_string(path_of(&first, "release")).unwrap();
    let release: Value = serde_json::from_str(&release).unwrap();
    assert_eq!(release["apps"]["demo 1.0.0"]["version"], "20260102");
    assert_eq!(release["artifacts"]["tree"], first["tree_digest"]);

    let before = fs_err::metadata(&sif).unwrap().modified().unwrap();
    let second = fixture.build(&[]);
    assert_eq!(second["all_cached"], true, "{second:#}");
    assert_eq!(second["image_digest"], first["image_digest"]);
    assert_eq!(fs_err::metadata(&sif).unwrap().modified().unwrap(), before);

    // From nothing, the same.
    fs_err::remove_dir_all(fixture.env.cache()).unwrap();
    fs_err::remove_dir_all(fixture.env.work().join("build")).unwrap();
    let third = fixture.build(&["--no-test"]);
    for key in ["image_digest", "tree_digest", "tree_full_digest"] {
        assert_eq!(third[key], first[key], "{key}");
    }
    assert_eq!(third["sif"]["digest"], first["sif"]["digest"]);
}

#[test]
fn only_what_a_change_concerns_is_done_again() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let first = fixture.build(&[]);
    fixture.edit(
        "recipes/demo/fulltest.yaml",
        "expected_exit_code: 3",
        "expected_exit_code: 4",
    );
    let base = fixture.base.to_str().unwrap();
    let output = fixture
        .command(&["test", "demo", "--base", base])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("refuses: Expected exit code 4, got 3"),
        "{said}"
    );
    fixture.edit(
        "recipes/demo/fulltest.yaml",
        "expected_exit_code: 4",
        "expected_exit_code: 3",
    );

    fs_err::write(
        fixture.env.work().join("recipes/demo/data.txt"),
        "some data, changed\n",
    )
    .unwrap();
    let second = fixture.build(&[]);
    let (before, after) = (cached_steps(&first), cached_steps(&second));
    assert!(before.iter().all(|cached| !cached));
    assert!(after.contains(&true) && after.contains(&false), "{after:?}");
    assert_ne!(second["tree_digest"], first["tree_digest"]);
}

#[test]
fn a_failing_step_is_named_with_its_line_and_last_words() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.edit(
        "recipes/demo/build.yaml",
        "- mkdir -p /opt/demo",
        "- echo about to fail; false",
    );
    let base = fixture.base.to_str().unwrap();
    let output = fixture
        .command(&["build", "demo", "--base", base])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("recipes/demo/build.yaml:"), "{said}");
    assert!(said.contains("about to fail"), "{said}");
    assert!(said.contains("exit status 1"), "{said}");
}

#[test]
fn the_other_verbs_answer() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let says = |words: &[&str]| {
        let output = fixture.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{words:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    assert_eq!(says(&["list"]), "demo\n");
    assert!(says(&["variants", "demo"]).contains("demo_arm64"));
    assert!(says(&["show", "demo", "--json"]).contains("\"build_date\":\"20260102\""));
    assert!(says(&["render", "demo"]).contains("FROM busybox:latest"));
    assert!(says(&["render", "demo", "--format", "apptainer"]).contains("Bootstrap: docker"));
    assert!(says(&["completions", "bash"]).contains("neurocontainers"));
    let base = fixture.base.to_str().unwrap();
    let plan = says(&["build", "demo", "--base", base, "--dry-run"]);
    assert!(plan.contains("it was not built before"), "{plan}");
    assert!(!fixture.env.work().join("build/demo/out").exists());
    fixture.build(&["--no-test"]);
    assert!(says(&["cache", "list"]).contains("images"));
    assert!(says(&["cache", "prune"]).contains("0 B are left"));
    let unknown = fixture.command(&["build", "dem"]).output().unwrap();
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said.contains("similar names: demo"), "{said}");
}

#[test]
fn no_base_is_explained() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let output = fixture.command(&["build", "demo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--base PATH"), "{said}");
}

/// All regular files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                out.push(entry.path());
            }
        }
    }
    out
}
