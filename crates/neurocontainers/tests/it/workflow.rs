//! The workflow that other repositories call: its steps, in their order, as a runner does them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use nd_report::{FileId, Sink};
use nd_yaml::Node;

use crate::{build::Fixture, peer_registry::Registry};

/// A job: its variables and its commands with their names.
struct Job {
    env: BTreeMap<String, String>,
    steps: Vec<(String, String)>,
}

/// Reads the only job of the workflow; `context` gives the values of `${{ … }}`.
fn job(context: &BTreeMap<&str, String>) -> Job {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows/recipes.yml");
    let text = fs_err::read(path).unwrap();
    let mut sink = Sink::new();
    let limits = nd_yaml::Limits::default();
    let document = nd_yaml::parse(&text, FileId(0), &limits, &mut sink).unwrap();
    let job = document.get("jobs").unwrap().get("recipes").unwrap();
    let value = |node: &Node| {
        let mut text = node.written().or(node.as_str()).unwrap().to_owned();
        while let Some((before, rest)) = text.split_once("${{") {
            let (name, after) = rest.split_once("}}").unwrap();
            text = format!("{before}{}{after}", context[name.trim()]);
        }
        text
    };
    let env = job.get("env").unwrap().as_map().unwrap().iter();
    let steps = job.get("steps").unwrap().as_seq().unwrap().iter();
    Job {
        env: env
            .map(|entry| (entry.key.as_str().unwrap().to_owned(), value(&entry.value)))
            .collect(),
        steps: steps
            .map(|step| {
                (
                    value(step.get("name").unwrap()),
                    value(step.get("run").unwrap()),
                )
            })
            .collect(),
    }
}

/// The programs as the archive of a release has them.
fn archive(folder: &Path) -> (PathBuf, String) {
    let bin = folder.join("neurodesk-0.0.0/bin");
    fs_err::create_dir_all(&bin).unwrap();
    let program = env!("CARGO_BIN_EXE_neurocontainers");
    fs_err::os::unix::fs::symlink(program, bin.join("neurocontainers")).unwrap();
    let archive = folder.join("programs.tar.gz");
    let packed = Command::new("tar")
        .args(["-czhf"])
        .arg(&archive)
        .args([
            "-C".as_ref(),
            folder.as_os_str(),
            "neurodesk-0.0.0".as_ref(),
        ])
        .status();
    assert!(packed.unwrap().success());
    let sum = nd_names::Sha256::of(fs_err::read(&archive).unwrap());
    (archive, sum.hex())
}

/// The fixture's recipes as a repository with one commit; gives its name.
fn commit(folder: &Path) -> String {
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let mut command = Command::new("git");
        let output = command
            .args(identity)
            .args(words)
            .current_dir(folder)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    // Empty folders are nothing to git, and this one marks a repository of recipes.
    fs_err::write(folder.join("releases/.keep"), "").unwrap();
    git(&["add", "recipes", "releases"]);
    git(&["commit", "--quiet", "--message", "recipes"]);
    git(&["rev-parse", "HEAD"])
}

#[test]
fn the_steps_of_the_reusable_workflow_check_build_and_test() {
    let (Some(fixture), Some(registry)) = (Fixture::new(), Registry::start()) else {
        return;
    };
    let Some(()) = registry.push(&fixture.base, "hub/library/busybox:latest") else {
        return;
    };
    let (root, work) = (fixture.env.root(), fixture.env.work());
    let conf = registry.conf(&root.join("registries.conf"));
    let (archive, sha256) = archive(&root.join("release"));
    let context = BTreeMap::from([
        ("github.sha", commit(&work)),
        ("github.server_url", format!("file://{}", root.display())),
        ("github.repository", name_of(&work)),
        ("inputs.recipes", "demo".to_owned()),
        ("inputs.archive", format!("file://{}", archive.display())),
        ("inputs.sha256", sha256),
    ]);
    let job = job(&context);
    let runner = root.join("runner");
    let checkout = runner.join("checkout");
    fs_err::create_dir_all(&checkout).unwrap();
    // A runner's user may become root; whoever runs the tests is the one who builds.
    let tools = runner.join("tools");
    nd_testkit::program(tools.join("sudo"), "#!/bin/sh\nexec \"$@\"\n");

    let mut path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display());
    let added = runner.join("path");
    for (name, run) in job.steps {
        let mut command = Command::new("bash");
        command
            .args(["-e", "-c", &run])
            .current_dir(&checkout)
            .env_clear()
            .envs(&job.env)
            .env("PATH", &path)
            .env("HOME", runner.as_os_str())
            .env("RUNNER_TEMP", &runner)
            .env("GITHUB_PATH", &added)
            .env("BUILDDATE", "20260102")
            .env("ND_CACHE_DIR", fixture.env.cache())
            .env("CONTAINERS_REGISTRIES_CONF", &conf);
        if let Some(peers) = std::env::var_os("ND_PEERS") {
            command.env("ND_PEERS", peers);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let wrote = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}{wrote}");
        if name == "Check" {
            // What is odd about the recipe becomes a remark on its line.
            assert!(wrote.contains("file=recipes/demo/build.yaml"), "{wrote}");
        }
        for folder in fs_err::read_to_string(&added).unwrap_or_default().lines() {
            path = format!("{folder}:{path}");
        }
        let _ = fs_err::remove_file(&added);
    }
    assert!(checkout.join("build/demo/out/tests.xml").is_file());
    assert!(checkout.join("releases/demo/1.0.0.json").is_file());
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}
