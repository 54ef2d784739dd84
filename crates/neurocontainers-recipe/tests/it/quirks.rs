//! Upstream's accidents: reproduced in its mode, improved in ours.

use nd_instructions::{Base, CopySource, Op, Script};
use nd_names::Architecture;
use neurocontainers_recipe::{Compat, Compiled, Request};
use serde_json::json;

use crate::recipes::outcome;

/// A recipe with these directives and further top-level keys.
fn recipe(directives: &str, extra: &str) -> String {
    format!(
        "name: demo\nversion: 1.2.3\narchitectures: [x86_64]\ncategories: [workflows]\n\
         icon: data:image/png;base64,aGVsbG8=\nreadme: x\n{extra}\nbuild:\n  kind: neurodocker\n  \
         base-image: debian:12\n  pkg-manager: apt\n  directives:\n{directives}\n"
    )
}

fn compiled(text: &str, compat: Compat) -> Option<Compiled> {
    outcome(text, compat, &Request::new(Architecture::X86_64)).compiled
}

/// What the recipe's own `run` directives say; the fixed parts of an image are no commands.
fn commands(compiled: &Compiled) -> Vec<String> {
    let body = &compiled.definition.stages[0].body;
    body.iter()
        .filter_map(|instruction| match &instruction.op {
            Op::Run {
                script: Script::Commands(commands),
                ..
            } => Some(commands.join(" && ")),
            _ => None,
        })
        .collect()
}

/// Commands in upstream's mode and in ours; `None` for an error.
fn both(text: &str) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let run = |compat| compiled(text, compat).map(|compiled| commands(&compiled));
    (run(Compat::Upstream), run(Compat::Improved))
}

fn list(commands: &[&str]) -> Vec<String> {
    commands
        .iter()
        .map(|command| (*command).to_owned())
        .collect()
}

#[test]
fn conditions_hold_when_they_are_true_and_not_when_they_are_truthy() {
    for (condition, upstream, improved) in [
        ("arch == \"x86_64\"", Some(true), Some(true)),
        ("true", Some(true), Some(true)),
        ("\"'True'\"", Some(true), Some(true)),
        ("\"1\"", Some(false), Some(false)),
        ("arch", Some(false), Some(false)),
        ("\"[1]\"", Some(false), Some(false)),
        ("1", Some(false), None),
        ("null", Some(false), None),
        ("\"\"", None, None),
        ("missing", None, None),
        ("missing | default(true)", Some(true), Some(true)),
    ] {
        let text = recipe(
            &format!("    - run: [make]\n      condition: {condition}"),
            "",
        );
        let expected = |holds: Option<bool>| match holds {
            Some(true) => Some(list(&["make"])),
            Some(false) => Some(list(&[])),
            None => None,
        };
        assert_eq!(
            both(&text),
            (expected(upstream), expected(improved)),
            "{condition}"
        );
    }
}

#[test]
fn groups_with_variables_are_scopes() {
    let condition = recipe(
        "    - group:\n        - run: [\"echo {{ flag }}\"]\n          condition: flag == \"on\"\n      \
         with: {flag: \"on\"}",
        "",
    );
    assert_eq!(both(&condition), (None, Some(list(&["echo on"]))));
    let sibling = recipe(
        "    - group:\n        - variables: {inner: b}\n        - run: [\"echo {{ outer }} {{ inner | default('-') }}\"]\n      \
         with: {outer: a}\n    - run: [\"echo {{ inner | default('gone') }}\"]",
        "",
    );
    assert_eq!(
        both(&sibling),
        (
            Some(list(&["echo a -", "echo gone"])),
            Some(list(&["echo a b", "echo gone"]))
        )
    );
    let without = recipe(
        "    - group:\n        - variables: {inner: b}\n    - run: [\"echo {{ inner }}\"]",
        "",
    );
    assert_eq!(
        both(&without),
        (Some(list(&["echo b"])), Some(list(&["echo b"])))
    );
}

#[test]
fn alternatives_have_an_else() {
    for last in ["{value: b}", "{condition: true, value: b}"] {
        let text = recipe(
            "    - run: [\"echo {{ v }}\"]",
            &format!(
                "variables:\n  v:\n    try:\n      - {{condition: arch == \"aarch64\", value: a}}\n      - {last}"
            ),
        );
        assert_eq!(both(&text), (None, Some(list(&["echo b"]))), "{last}");
    }
}

#[test]
fn base_images_get_a_tag_where_they_have_none() {
    for (image, upstream, improved) in [
        ("debian", "debian:latest", "debian:latest"),
        (
            "localhost:5000/debian",
            "localhost:5000/debian",
            "localhost:5000/debian:latest",
        ),
        (
            "debian@sha256:abc",
            "debian@sha256:abc",
            "debian@sha256:abc",
        ),
        ("debian:12", "debian:12", "debian:12"),
    ] {
        let text = recipe("    - run: [make]", "").replace("debian:12", image);
        for (compat, expected) in [(Compat::Upstream, upstream), (Compat::Improved, improved)] {
            let compiled = compiled(&text, compat).unwrap();
            assert_eq!(compiled.base_image, expected);
            assert_eq!(
                compiled.definition.stages[0].base,
                Base::Image(expected.into())
            );
        }
    }
}

/// So the base image is all that a lock has to pin.
#[test]
fn a_container_is_one_stage_on_one_image() {
    let text = recipe("    - copy: --from=busybox:1 busybox /opt/", "");
    let refused = outcome(&text, Compat::Improved, &Request::new(Architecture::X86_64));
    assert!(refused.compiled.is_none());
    assert!(
        refused.shown.contains("one stage on one `base-image`"),
        "{}",
        refused.shown
    );
    // What upstream lets through is a name of a file in the context, not an option.
    let compiled = compiled(&text, Compat::Upstream).unwrap();
    let [stage] = &compiled.definition.stages[..] else {
        panic!("{:?}", compiled.definition);
    };
    assert_eq!(stage.base, Base::Image("debian:12".into()));
    for instruction in &stage.body {
        if let Op::Copy { from, .. } = &instruction.op {
            assert_eq!(*from, CopySource::Context);
        }
    }
}

#[test]
fn nothing_to_do_gives_no_instruction() {
    for directive in ["run: []", "run: [\"\", null]", "install: []"] {
        let text = recipe(&format!("    - {directive}"), "");
        let count = |compat| {
            compiled(&text, compat).unwrap().definition.stages[0]
                .body
                .len()
        };
        assert_eq!(
            count(Compat::Upstream),
            count(Compat::Improved) + 1,
            "{directive}"
        );
    }
}

#[test]
fn copied_files_of_equal_names_do_not_meet() {
    let text = recipe(
        "    - copy: [one, /a/]\n    - copy: [two, one, /b/]",
        "files:\n  - {name: one, url: \"https://example.org/1/tool.gz\"}\n  - {name: two, url: \"https://example.org/2/tool.gz\"}",
    );
    let sources = |compat| -> Vec<String> {
        let compiled = compiled(&text, compat).unwrap();
        compiled
            .staging
            .copy_sources
            .iter()
            .map(|copy| copy.source.clone())
            .collect()
    };
    assert_eq!(sources(Compat::Upstream), ["tool.gz", "tool.gz", "tool.gz"]);
    assert_eq!(
        sources(Compat::Improved),
        ["tool.gz", "declared-1/tool.gz", "tool.gz"]
    );
}

#[test]
fn mounted_files_of_equal_names_are_told_apart_without_looking_at_the_machine() {
    let text = recipe(
        "    - run: [\"{{ get_file('one') }} {{ get_file('two') }} {{ get_file('same') }}\"]",
        "files:\n  - {name: one, url: \"https://example.org/1/content\"}\n  - {name: two, url: \"https://example.org/2/content\"}\n  - {name: same, url: \"https://example.org/1/content\"}",
    );
    let names = |home: &str, compat| -> Vec<String> {
        let mut request = Request::new(Architecture::X86_64);
        request.upstream_home = home.to_owned();
        let compiled = outcome(&text, compat, &request).compiled.unwrap();
        compiled.staging.cache_mounts[0].values().cloned().collect()
    };
    let improved = names("/root", Compat::Improved);
    assert_eq!(improved, names("/home/me", Compat::Improved));
    assert_eq!((&*improved[0], &*improved[2]), ("content", "content"));
    assert!(improved[1].starts_with("content_"), "{improved:?}");
    assert_ne!(
        names("/root", Compat::Upstream),
        names("/home/me", Compat::Upstream)
    );
}

#[test]
fn versions_stay_as_they_are_written() {
    let text = recipe("    - run: [make]", "").replace("1.2.3", "1.10");
    let version = |compat| compiled(&text, compat).unwrap().identity.version;
    assert_eq!(
        (&*version(Compat::Upstream), &*version(Compat::Improved)),
        ("1.1", "1.10")
    );
}

#[test]
fn one_directive_replaces_all_top_level_entries() {
    let text = recipe(
        "    - deploy: {bins: [b]}",
        "deploy: {bins: [a], path: [/p]}",
    );
    for compat in [Compat::Upstream, Compat::Improved] {
        let deploy = compiled(&text, compat).unwrap().deploy;
        assert_eq!(
            (deploy.bins, deploy.path),
            (vec!["b".to_owned()], vec!["/p".to_owned()])
        );
    }
}

#[test]
fn choosing_a_container() {
    let text = recipe("    - run: [make]", "options: {gui: {default: false}}\nvariants:\n  gpu: {architectures: [x86_64, aarch64]}\n  slim: {options: {gui: true}}\n  bare:")
        .replace("[x86_64]", "[x86_64, aarch64]");
    let arm = Some(Architecture::Aarch64);
    let intel = Some(Architecture::X86_64);
    for (architecture, variant, ignore, expected) in [
        (None, "", false, Some("demo")),
        (arm, "", false, Some("demo_arm64")),
        (None, "arm64", false, Some("demo_arm64")),
        (None, "gpu", false, Some("demo_gpu")),
        (arm, "gpu", false, Some("demo_gpu_arm64")),
        (None, "gpu_arm64", false, Some("demo_gpu_arm64")),
        (intel, "gpu_arm64", false, None),
        (arm, "slim", false, None),
        (None, "slim_arm64", true, Some("demo_slim_arm64")),
        (arm, "slim", true, Some("demo_slim_arm64")),
        (None, "bare", false, Some("demo_bare")),
        (None, "nope", false, None),
        (None, "nope", true, None),
    ] {
        let mut request = Request::new(Architecture::X86_64);
        request.architecture = architecture;
        request.variant = variant.to_owned();
        request.ignore_architectures = ignore;
        let compiled = outcome(&text, Compat::Improved, &request).compiled;
        let name = compiled.map(|compiled| compiled.identity.name);
        assert_eq!(
            name.as_deref(),
            expected,
            "{architecture:?} {variant} {ignore}"
        );
    }
    let only_intel = recipe("    - run: [make]", "");
    let mut apple = Request::new(Architecture::Aarch64);
    assert!(
        outcome(&only_intel, Compat::Improved, &apple)
            .compiled
            .is_none()
    );
    apple.host_runs_x86_64 = true;
    let outcome = outcome(&only_intel, Compat::Improved, &apple);
    assert_eq!(outcome.compiled.unwrap().identity.name, "demo");
    assert_eq!(outcome.diagnostics.len(), 1, "{}", outcome.shown);
}

#[test]
fn options_are_declared_and_boolean() {
    let text = recipe(
        "    - run: [\"echo {{ context.options.gui }}\"]",
        "options:\n  gui: {default: false, version_suffix: .gui}",
    );
    for (key, value, upstream, improved) in [
        ("gui", " Yes ", Some("1.2.3.gui"), Some("1.2.3.gui")),
        ("gui", "off", Some("1.2.3"), Some("1.2.3")),
        ("gui", "ture", Some("1.2.3"), None),
        ("gpu", "true", Some("1.2.3"), None),
    ] {
        for (compat, expected) in [(Compat::Upstream, upstream), (Compat::Improved, improved)] {
            let mut request = Request::new(Architecture::X86_64);
            request.options.push((key.into(), value.into()));
            let compiled = outcome(&text, compat, &request).compiled;
            let version = compiled.map(|compiled| compiled.identity.version);
            assert_eq!(version.as_deref(), expected, "{key}={value}");
        }
    }
}

#[test]
fn release_records_repeat_what_a_recipe_says_only_in_upstreams_mode() {
    let text = recipe(
        "    - run: [make]",
        "show_in_menu: \"{{ arch == 'x86_64' }}\"\napptainer_args: [1, true, \"{{ arch }}\"]",
    );
    let record = |compat| {
        let compiled = compiled(&text, compat).unwrap();
        let record = compiled.release(&"20260101".parse().unwrap());
        let arguments = record.apps[0].apptainer_args.clone().unwrap();
        (
            record.show_in_menu.unwrap(),
            serde_json::Value::from(arguments),
        )
    };
    assert_eq!(
        record(Compat::Upstream),
        (json!("True"), json!([1, true, "x86_64"]))
    );
    assert_eq!(
        record(Compat::Improved),
        (json!(true), json!(["1", "True", "x86_64"]))
    );
    let odd = recipe("    - run: [make]", "show_in_applist: \"{{ arch }}\"");
    assert!(compiled(&odd, Compat::Upstream).is_some());
    assert!(compiled(&odd, Compat::Improved).is_none());
}

#[test]
fn a_condition_may_begin_with_a_sign() {
    let text = recipe("    - run: [make]\n      condition: \"-1 == -1\"", "");
    assert_eq!(both(&text), (Some(list(&["make"])), Some(list(&["make"]))));
}

#[test]
fn names_that_would_break_the_file_are_refused() {
    for (directive, fine) in [
        ("environment: {\"A{{ 1 }}\": x}", true),
        ("environment: {\"1A\": x}", true),
        ("environment: {\"A=B\": x}", false),
        ("environment: {\"A{{ ' ' }}B\": x}", false),
        ("environment: {\"A\\nRUN x\": x}", false),
    ] {
        let text = recipe(&format!("    - {directive}"), "");
        assert!(compiled(&text, Compat::Upstream).is_some(), "{directive}");
        let improved = compiled(&text, Compat::Improved);
        assert_eq!(improved.is_some(), fine, "{directive}");
    }
    for image in ["{{ ' ' }}", "debian:12 x", "debian\\nRUN x"] {
        let text = recipe("    - run: [make]", "")
            .replace("base-image: debian:12", &format!("base-image: \"{image}\""));
        assert!(compiled(&text, Compat::Improved).is_none(), "{image}");
    }
}
