//! Ordinary users build for themselves, with a range of ids and with one, and run what they built.

use serde_json::Value;

use crate::{
    people::{Kind, Person, Place, slow},
    support::{BUSYBOX, busybox_layout, debian, recipe},
};

/// Everything that overlays make hard: a directory of a lower layer gets another name, a file of it a
/// second one, owners change.
const DIRECTIVES: &str = r"    - run:
        - mkdir -p /opt/demo /opt/old/sub
        - echo one > /opt/old/sub/one; echo two > /opt/old/two
        - printf '#!/bin/sh\necho hello from $(cat /opt/new/sub/one)\n' > /opt/demo/demo
        - chmod 755 /opt/demo/demo
    - run:
        - mv /opt/old /opt/new
        - ln /opt/new/two /opt/demo/two
        - echo more >> /opt/demo/two
        - busybox chown 1000:1000 /opt/new/two
        - busybox mknod /opt/demo/fifo p
";

/// A package whose program is moved aside for another one, and whose folder gets another name.
const DIVERTED: &str = r"    - install: [hello]
    - run:
        - dpkg-divert --rename --divert /usr/bin/hello.real --add /usr/bin/hello
        - printf '#!/bin/sh\necho diverted; hello.real\n' > /usr/bin/hello
        - chmod 755 /usr/bin/hello
        - mv /usr/share/doc/hello /usr/share/doc/elsewhere
";

const DIVERTED_SUITE: &str = r"name: demo
version: 1.0.0
test_data:
  output_dir: test_output
tests:
  - name: diverted
    command: hello
    expected_output_contains: diverted
  - name: moved
    command: ls /usr/share/doc/elsewhere/copyright && hello.real
    expected_output_contains: Hello, world
";

const SUITE: &str = r"name: demo
version: 1.0.0
test_data:
  output_dir: test_output
tests:
  - name: a renamed directory has its files
    command: /opt/demo/demo
    expected_output_contains: hello from one
  - name: a second name has what the first was given
    command: cat /opt/new/two
    expected_output_contains: more
";

/// Whether every suite passed, in the sandbox and in Apptainer where there is one.
fn passed_everywhere(person: &Person, summary: &Value) {
    let tests = summary["tests"].as_array().unwrap();
    assert!(tests.iter().all(|suite| suite["failed"] == 0), "{tests:?}");
    let runtimes: Vec<_> = tests
        .iter()
        .map(|t| t["runtime"].as_str().unwrap())
        .collect();
    let has = |word: &str| {
        runtimes
            .iter()
            .any(|name| name.to_lowercase().starts_with(word))
    };
    assert!(has("sandbox"), "{runtimes:?}");
    assert!(
        has("apptainer") || person.apptainer(&[]).is_none(),
        "{runtimes:?}"
    );
}

/// What `words` print in the built SIF, run by Apptainer as this user.
fn in_sif(person: &Person, summary: &Value, words: &[&str]) -> Option<String> {
    let sif = summary["sif"]["path"].as_str().unwrap();
    let output = person
        .apptainer(&[&["exec", sif], words].concat())?
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_kind_of_user_builds_the_same_tree_and_runs_it() {
    let Some(place) = Place::new() else { return };
    let Some(base) = busybox_layout(place.folder.path()) else {
        return;
    };
    let base = base.to_str().unwrap();
    let recipe = recipe(BUSYBOX, DIRECTIVES, "path: [/opt/demo]");
    let mut summaries = Vec::new();
    for (kind, ids) in [
        (Kind::Root, "range"),
        (Kind::Ranged, "range"),
        (Kind::Alone, "single"),
    ] {
        let person = place.person(kind, &recipe, SUITE);
        let summary = person.build(&["--base", base]);
        assert_eq!(summary["ids"], ids, "{kind:?}");
        passed_everywhere(&person, &summary);
        if let Some(text) = in_sif(&person, &summary, &["/opt/demo/demo"]) {
            assert_eq!(text, "hello from one\n", "{kind:?}");
        }
        assert_eq!(person.build(&["--base", base])["all_cached"], true);
        // What belongs to other ids goes, too.
        let output = person.command(&["cache", "prune"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let trees = fs_err::read_dir(person.store().join("trees")).unwrap();
        let trees: Vec<_> = trees
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_dir())
            .collect();
        assert!(trees.is_empty(), "{kind:?}: {trees:?}");
        summaries.push(summary);
    }
    let [root, ranged, alone] = &summaries[..] else {
        unreachable!("three were built");
    };
    for key in ["image_digest", "tree_digest", "tree_full_digest"] {
        assert_eq!(ranged[key], root[key], "{key}");
    }
    assert_eq!(ranged["sif"]["digest"], root["sif"]["digest"]);
    assert_eq!(alone["tree_digest"], root["tree_digest"]);
    // An owner was lost.
    assert_ne!(alone["tree_full_digest"], root["tree_full_digest"]);
}

/// On a real distribution, whose package manager moves files of lower layers aside.
#[test]
fn packages_are_diverted_and_installed_by_every_kind_of_user() {
    if !slow() {
        return;
    }
    let Some(place) = Place::new() else { return };
    let recipe = recipe(&debian("bullseye"), DIVERTED, "bins: [hello]");
    let mut trees = Vec::new();
    for kind in [Kind::Root, Kind::Ranged, Kind::Alone] {
        let person = place.person(kind, &recipe, DIVERTED_SUITE);
        let summary = person.build(&[]);
        passed_everywhere(&person, &summary);
        trees.push(summary["tree_digest"].clone());
    }
    assert_eq!(trees[0], trees[1]);
    assert_eq!(trees[0], trees[2]);
}

#[test]
fn itksnap_is_built_and_run_by_every_kind_of_user() {
    if !slow() {
        return;
    }
    let Some(place) = Place::new() else { return };
    let mut summaries = Vec::new();
    for (kind, ids) in [
        (Kind::Root, "range"),
        (Kind::Ranged, "range"),
        (Kind::Alone, "single"),
    ] {
        let person = place.person(kind, "", "");
        person.take_recipe("itksnap");
        let summary = person.build_of("itksnap", &[]);
        assert_eq!(summary["ids"], ids, "{kind:?}");
        passed_everywhere(&person, &summary);
        let words = ["sh", "-c", "command -v itksnap"];
        if let Some(text) = in_sif(&person, &summary, &words) {
            assert_eq!(text, "/usr/bin/itksnap\n", "{kind:?}");
        }
        summaries.push(summary);
    }
    let [root, ranged, alone] = &summaries[..] else {
        unreachable!("three were built");
    };
    // The identity of the content is that of root in every mode; within a mode every byte is.
    assert_eq!(alone["tree_digest"], root["tree_digest"]);
    for key in ["image_digest", "tree_digest", "tree_full_digest"] {
        assert_eq!(ranged[key], root[key], "{key}");
    }
    assert_eq!(ranged["sif"]["digest"], root["sif"]["digest"]);
}
