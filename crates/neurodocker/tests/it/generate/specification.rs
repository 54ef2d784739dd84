//! The specification: it is written so that every shell keeps it, and read so that the same recipe
//! comes of it.

use std::process::{Command, Stdio};

use nd_report::{FileId, Sink};
use nd_testkit::peer;
use neurodocker::reproenv::{Registry, Step, read_spec};
use proptest::prelude::*;
use serde_json::Value;

use super::{
    Memory, call, output,
    recipes::{command, logical},
    words,
};

/// Text of any sort that one line can hold.
fn line() -> impl Strategy<Value = String> {
    proptest::string::string_regex(r#"[ -~äß€😀"'\\%(){}$`#!]{1,24}"#).unwrap()
}

/// Options with their values, every one a valid part of a command line.
fn options() -> impl Strategy<Value = Vec<String>> {
    let name = "[A-Za-z_][A-Za-z0-9_]{0,8}";
    let path = "/[a-z][ a-z\"'%(]{0,8}[a-z]";
    let option = prop_oneof![
        (line(), line()).prop_map(|(a, b)| vec!["--run".into(), format!("x{a}\ny{b}")]),
        line().prop_map(|text| vec!["--run-bash".into(), format!("x{text}")]),
        (name, line()).prop_map(|(name, value)| vec!["--env".into(), format!("{name}={value}")]),
        (name, line()).prop_map(|(name, value)| vec!["--label".into(), format!("{name}={value}")]),
        proptest::collection::vec("[a-z]{1,6}", 1..4).prop_map(|mut words| {
            words.insert(0, "--install".into());
            words
        }),
        (path, path).prop_map(|(from, to)| vec!["--copy".into(), from, to]),
        "[a-z]{1,6}".prop_map(|name| vec!["--user".into(), name]),
        path.prop_map(|path| vec!["--workdir".into(), path]),
        "[a-z ]{0,5}[a-z]".prop_map(|word| vec!["--entrypoint".into(), word]),
        (name, line()).prop_map(|(name, value)| vec!["--arg".into(), format!("{name}={value}")]),
        Just(vec!["--jq".into(), "version=1.6".into()]),
        Just(vec![
            "--dcm2niix".into(),
            "version=latest".into(),
            "method=source".into()
        ]),
    ];
    proptest::collection::vec(option, 0..8).prop_map(|options| options.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_specification_gives_the_recipe_that_it_came_from(more in options(), docker: bool) {
        let format = if docker { "docker" } else { "singularity" };
        let mut arguments = words(&["generate", format, "-p", "apt", "-b", "debian:12"]);
        arguments.extend(more);
        let recipe = match call(&mut Memory::default(), &arguments) {
            Ok(outcome) => outcome.stdout,
            // A path that no definition file can hold is refused, and only there.
            Err(refused) => {
                prop_assert!(!docker && refused.to_string().contains("cannot be copied"), "{refused}");
                return Ok(());
            }
        };
        arguments.push("--json".into());
        let specification = call(&mut Memory::default(), &arguments).unwrap().stdout;
        let mut host = Memory { input: specification, ..Memory::default() };
        let again = call(&mut host, &words(&["genfromjson", format])).unwrap().stdout;
        prop_assert_eq!(recipe, again);
        prop_assert!(host.told.is_empty(), "{:?}", host.told);
    }
}

/// The specification that the step of a recipe leaves, by a shell.
fn left_by(shell: &[&str], step: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spec.json");
    let step = step.replace("/.reproenv.json", file.to_str().unwrap());
    let status = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &step])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    fs_err::read(file).unwrap()
}

const HARD: &[&str] = &[
    "--run",
    "printf '%s (it'\\''s) 100%\\n' \"{{x}}\" \\\n  <<EOF\nä € 😀\nEOF",
    "--env",
    r#"A=(a) "b" \c %d 'e'"#,
    "--user",
    "neuro",
];

#[test]
fn the_file_in_the_image_is_the_specification_under_every_shell() {
    let shells: Vec<Vec<&str>> = [vec!["dash"], vec!["bash"], vec!["busybox", "sh"]]
        .into_iter()
        .filter(|shell| peer(shell[0]).is_some())
        .collect();
    for format in ["docker", "singularity"] {
        let mut arguments = vec!["generate", format, "-p", "apt", "-b", "debian:12"];
        arguments.extend(HARD);
        let text = output(&arguments);
        let (_, block) = text.split_once("# Save specification to JSON.\n").unwrap();
        let (block, rest) = block
            .split_once("# End saving to specification to JSON.")
            .unwrap();
        assert!(!block.contains("{{"), "{block}");
        let step = if format == "docker" {
            let lines = logical(block);
            assert_eq!(
                (lines[0].as_str(), lines[2].as_str()),
                ("USER root", "USER neuro")
            );
            command(&lines[1])[2].clone()
        } else {
            assert!(rest.contains("%runscript"));
            block.to_owned()
        };
        arguments.push("--json");
        let wanted: Value = serde_json::from_str(&output(&arguments)).unwrap();
        for shell in &shells {
            let found: Value = serde_json::from_slice(&left_by(shell, &step)).unwrap();
            assert_eq!(found, wanted, "{shell:?}");
        }
    }
}

#[test]
fn files_that_upstream_damaged_are_repaired() {
    let mut arguments = vec![
        "--compat",
        "generate",
        "docker",
        "-p",
        "apt",
        "-b",
        "debian:12",
    ];
    arguments.extend([
        "--run",
        "echo '(a)' \\(b\\)",
        "--install",
        "git",
        "--copy",
        "a",
        "b",
        "c/",
    ]);
    for format in ["docker", "singularity"] {
        arguments[2] = format;
        let text = output(&arguments);
        let (_, block) = text.split_once("# Save specification to JSON.\n").unwrap();
        let (block, _) = block.split_once("# End saving").unwrap();
        let step = if format == "docker" {
            command(&logical(block)[0])[2].clone()
        } else {
            block.to_owned()
        };
        let bytes = left_by(&["dash"], &step);
        assert!(
            serde_json::from_slice::<Value>(&bytes).is_err(),
            "this one is not damaged"
        );
        let read = read_spec(&bytes, &Registry::built_in(), false).unwrap();
        assert!(read.repairs[0].contains("repaired"), "{:?}", read.repairs);
        let steps = read.spec.steps;
        let runs: Vec<&Step> = steps
            .iter()
            .filter(|step| matches!(step, Step::Run(_)))
            .collect();
        // The header's, and ours: the one behind the installation is left out.
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[1], &Step::Run("echo '(a)' \\(b\\)".into()));
        let copied = steps.iter().find_map(|step| match step {
            Step::Copy { sources, .. } => Some(sources.as_slice()),
            _ => None,
        });
        assert_eq!(copied.unwrap(), ["a", "b"]);
        assert!(read_spec(&bytes, &Registry::built_in(), true).is_err());
    }
}

#[test]
fn a_listed_account_does_not_stop_others_from_being_made() {
    let text = r#"{"pkg_manager": "apt", "existing_users": ["root", "a"], "instructions": [
        {"name": "from_", "kwds": {"base_image": "x"}}, {"name": "user", "kwds": {"user": "a"}},
        {"name": "user", "kwds": {"user": "b"}}, {"name": "JQ", "kwds": {"version": 1.6}}]}"#;
    let mut host = Memory {
        input: text.into(),
        ..Memory::default()
    };
    let recipe = call(&mut host, &words(&["genfromjson", "DOCKER", "-"]))
        .unwrap()
        .stdout;
    assert!(recipe.contains("useradd --no-user-group --create-home --shell /bin/bash b"));
    assert!(!recipe.contains("/bin/bash a"), "{recipe}");
    assert!(recipe.contains("jq-1.6/jq-linux64"), "{recipe}");
}

#[test]
fn options_of_an_installation_are_obeyed_by_packages_from_addresses_too() {
    let mut host = Memory::default();
    let text = "name: x\nurl: u\nsource:\n  dependencies: {apt: [b, a, b], debs: [https://x/y.deb]}\n  instructions: |\n    {{ self.install_dependencies(opts=\"--quiet\") }}\n    {{ self.install([\"c\"], opts=\"-qq\") }}\n";
    host.files.insert("t/x.yaml".into(), text.into());
    let arguments = [
        "generate",
        "--template-path",
        "t",
        "docker",
        "-p",
        "apt",
        "-b",
        "x",
        "--x",
    ];
    let recipe = call(&mut host, &words(&arguments)).unwrap().stdout;
    for part in [
        "apt-get install -y --quiet \\\n            a \\\n            b \\\n    && rm",
        "apt-get install --yes --quiet \"${_reproenv_tmppath}\"",
        "apt-get install -y -qq \\\n            c",
    ] {
        assert!(recipe.contains(part), "{part}: {recipe}");
    }
}

#[test]
fn a_template_with_hyphen_and_capitals_is_used() {
    let mut registry = Registry::built_in();
    let text =
        "name: My-Tool\nurl: u\nsource:\n  instructions: |\n    echo {{ self.pkg_manager }}\n";
    let name = registry.add(text.as_bytes(), FileId(1), false, &mut Sink::new());
    assert_eq!(name.as_deref(), Some("my-tool"));
    let mut host = Memory::default();
    host.files.insert("t/x.yaml".into(), text.into());
    let arguments = [
        "generate",
        "--template-path",
        "t",
        "docker",
        "-p",
        "apt",
        "-b",
        "x",
        "--My-tool",
    ];
    let recipe = call(&mut host, &words(&arguments)).unwrap().stdout;
    assert!(recipe.contains("RUN echo apt"), "{recipe}");
}
