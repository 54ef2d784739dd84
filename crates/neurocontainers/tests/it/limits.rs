//! Limits of steps and layers as a person gives them: each is kept, and named when it is reached.

use crate::{
    build::Fixture,
    support::{BUSYBOX, recipe},
};

/// Builds a recipe of one step: exit code, and what was said.
fn attempt(fixture: &Fixture, script: &str, limits: &[&str]) -> (Option<i32>, String) {
    let step = format!("    - run:\n        - |\n          {script}\n");
    let text = recipe(BUSYBOX, &step, "path: [/opt]");
    let path = fixture.env.work().join("recipes/demo/build.yaml");
    fs_err::write(path, text).unwrap();
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--no-test", "--base", base];
    let output = fixture.command(&[&words[..], limits].concat()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_step_that_takes_too_much_is_ended_and_the_limit_is_named() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let greedy = "head -c 2000000000 /dev/zero | busybox tail > /dev/null";
    let many = "i=0; while test $i -lt 60; do sleep 900 & i=$((i + 1)); done";
    for (script, limits, wanted) in [
        ("sleep 1000", ["--time-limit", "1"], "its time limit"),
        (greedy, ["--memory", "64M"], "its memory limit"),
        (
            greedy,
            ["--memory", "64M"],
            "64000000 bytes of memory for each step, kept by ",
        ),
        (many, ["--processes", "30"], "fork"),
        (
            "sleep 900",
            ["--keep-free", "900T"],
            "ended with a full disk",
        ),
    ] {
        let (code, said) = attempt(&fixture, script, &limits);
        assert_eq!(code, Some(1), "{limits:?}: {said}");
        assert!(said.contains(wanted), "{limits:?}: {said}");
        let tmp = fixture.env.cache().join("store/tmp");
        assert_eq!(fs_err::read_dir(tmp).unwrap().count(), 0, "{limits:?}");
    }
    // A line for each device of a network.
    let lonely = "test $(grep -c : /proc/net/dev) = 1";
    let (code, said) = attempt(&fixture, lonely, &["--network", "none"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_layer_that_holds_too_much_is_refused_and_the_budget_is_named() {
    for (limits, wanted) in [
        (
            ["--max-layer-entries", "3"],
            "exceeds the limit of 3 entries",
        ),
        (
            ["--max-layer-size", "1k"],
            "exceeds the limit of 1000 bytes",
        ),
    ] {
        // What was unpacked once is not looked at again.
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let (code, said) = attempt(&fixture, "echo", &limits);
        assert_eq!(code, Some(1), "{limits:?}: {said}");
        assert!(said.contains(wanted), "{limits:?}: {said}");
    }
}
