//! Every built-in template with every method and package manager.

use std::{collections::BTreeMap, process::Command};

use nd_report::{FileId, Sink};
use nd_testkit::{corpus, peer};
use neurodocker::reproenv::{Registry, SoftwareMethod, SoftwareTemplate};
use serde_json::Value;

use super::{Memory, call, output, words};

/// Values that an optional argument is tried with.
fn trial(name: &str) -> Option<&'static str> {
    Some(match name {
        // They are made from the version.
        "directory" | "runtime_url" | "version" => return None,
        "exclude_paths" => "data/a lib/b",
        "conda_install" => "python=3.10 \"torch>=1.9\"",
        "pip_install" => "'scipy<2' x",
        "install_path" => "/opt/my tool",
        "env_name" => "other",
        "build_processes" => "2",
        _ => "true",
    })
}

/// All calls of a method that are tried: some versions, then each optional argument once.
fn calls(method: &SoftwareMethod) -> Vec<Vec<String>> {
    let versions: Vec<&str> = match method.urls.as_slice() {
        [] => vec!["master", "1.6"],
        urls => urls.iter().map(|(label, _)| label.as_str()).collect(),
    };
    let mut all = Vec::new();
    for version in versions {
        let mut words = vec![format!("method={}", method.name)];
        for required in &method.required {
            words.push(match required.as_str() {
                "version" if version == "*" => "version=py310_25.5.1-0".into(),
                "version" => format!("version={version}"),
                "date" => "date=20230101".into(),
                "os_codename" => "os_codename=bookworm".into(),
                other => format!("{other}=x"),
            });
        }
        all.push(words.clone());
        if all.len() == 1 {
            for (optional, _) in &method.optional {
                if let Some(value) = trial(optional) {
                    let mut more = words.clone();
                    more.push(format!("{optional}={value}"));
                    if optional == "yaml_file" {
                        more.push("env_name=other".into());
                    }
                    all.push(more);
                }
            }
        }
    }
    all.dedup();
    all
}

fn templates() -> Vec<SoftwareTemplate> {
    let registry = Registry::built_in();
    let names = registry.names();
    names
        .iter()
        .map(|name| (*registry.find(name).unwrap()).clone())
        .collect()
}

#[test]
fn there_is_one_for_every_piece_of_software_of_upstream() {
    let names = "afni ants bids_validator cat12 convert3d dcm2niix freesurfer fsl jq matlabmcr minc \
                 miniconda mricron mrtrix3 ndfreeze neurodebian niftyreg petpvc spm12 vnc";
    let all = Registry::built_in().names();
    for name in names.split(' ') {
        assert!(all.iter().any(|known| known == name), "{name}");
    }
    let Some(corpus) = corpus() else { return };
    // Every version, method and argument of upstream's is there, so that command lines stay valid.
    for entry in fs_err::read_dir(corpus.join("neurodocker/templates")).unwrap() {
        let bytes = fs_err::read(entry.unwrap().path()).unwrap();
        let theirs = SoftwareTemplate::parse(&bytes, FileId(0), false, &mut Sink::new()).unwrap();
        let ours = Registry::built_in().find(&theirs.name).unwrap();
        for method in &theirs.methods {
            let found = ours.method(&method.name).unwrap();
            for argument in method.arguments() {
                assert!(
                    found.arguments().any(|known| known == argument),
                    "{argument}"
                );
            }
            for (version, _) in &method.urls {
                assert!(
                    found.urls.iter().any(|(known, _)| known == version),
                    "{version}"
                );
            }
        }
    }
}

#[test]
fn shellcheck_has_nothing_to_say_about_any_of_them() {
    let Some(shellcheck) = peer("shellcheck") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut scripts: BTreeMap<String, String> = BTreeMap::new();
    for template in templates() {
        for method in &template.methods {
            for manager in ["apt", "yum"] {
                for (index, call_words) in calls(method).into_iter().enumerate() {
                    let name = template.key();
                    let mut line = words(&[
                        "generate", "docker", "-p", manager, "-b", "x", "--yes", "--json",
                    ]);
                    if !template.is_private() {
                        line.extend([format!("--{name}"), "--no-default-header".to_owned()]);
                        let words = call_words.into_iter();
                        // The line ends with the option's values.
                        line.splice(line.len() - 1.., words);
                        line.push("--no-default-header".to_owned());
                    }
                    let text = match call(&mut Memory::default(), &line) {
                        Ok(outcome) => outcome.stdout,
                        Err(refused) => {
                            // Two of them are for apt alone, and say so.
                            assert!(refused.to_string().contains("apt"), "{line:?}: {refused}");
                            assert_eq!(manager, "yum", "{refused}");
                            continue;
                        }
                    };
                    let specification: Value = serde_json::from_str(&text).unwrap();
                    let steps = specification["instructions"].as_array().unwrap();
                    let script = steps.iter().find(|step| step["name"] == "run").unwrap();
                    let script = script["kwds"]["command"].as_str().unwrap();
                    assert!(script.starts_with("set -eu\n"), "{script}");
                    let name = format!("{name}-{}-{manager}-{index}.sh", method.name);
                    scripts.insert(name, format!("{script}\n"));
                }
            }
        }
    }
    assert!(scripts.len() > 150, "{}", scripts.len());
    // Those of two versions differ in little else; one of each is enough for the slow program.
    let mut shapes: Vec<String> = Vec::new();
    for (name, script) in &scripts {
        let shape: String = script.chars().filter(|c| !c.is_ascii_digit()).collect();
        if !shapes.contains(&shape) {
            shapes.push(shape);
            fs_err::write(folder.path().join(name), script).unwrap();
        }
    }
    let mut files: Vec<_> = fs_err::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let output = Command::new(shellcheck)
        .args(["--shell=sh", "--format=gcc"])
        .args(&files)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn all_of_them_render_in_both_formats_and_modes() {
    for template in templates().iter().filter(|template| !template.is_private()) {
        for method in &template.methods {
            for format in ["docker", "singularity"] {
                for compat in [false, true] {
                    let mut line = words(&["generate", format, "-p", "apt", "-b", "x", "--yes"]);
                    if compat {
                        line.insert(0, "--compat".into());
                    }
                    line.push(format!("--{}", template.key()));
                    line.extend(calls(method).swap_remove(0));
                    let outcome = call(&mut Memory::default(), &line);
                    let text = outcome
                        .unwrap_or_else(|refused| panic!("{line:?}: {refused}"))
                        .stdout;
                    assert!(!text.contains("self."), "{text}");
                }
            }
        }
    }
}

#[test]
fn exported_templates_are_upstreams_and_say_the_same() {
    let mut host = Memory::default();
    let export = words(&["templates", "export", "--upstream", "out"]);
    let files = call(&mut host, &export).unwrap().files;
    assert_eq!(files.len(), Registry::built_in().names().len());
    for (path, text) in files {
        let mut sink = Sink::new();
        let read = SoftwareTemplate::parse(text.as_bytes(), FileId(0), false, &mut sink);
        let read = read.unwrap_or_else(|| panic!("{path}: {:?}", sink.diagnostics()));
        let mut ours = (*Registry::built_in().find(&read.name).unwrap()).clone();
        ours.license = None;
        for method in &mut ours.methods {
            method.test = None;
            method.secret.clear();
            method.sha256.clear();
            method
                .dependencies
                .retain(|(_, packages)| !packages.is_empty());
        }
        assert_eq!(read, ours);
    }
}

#[test]
fn what_is_no_secret_any_more_is_told() {
    let line = words(&["generate", "docker", "-p", "apt", "-b", "x", "--vnc"]);
    let mut host = Memory::default();
    call(&mut host, &line).unwrap();
    assert!(host.told.is_empty(), "{:?}", host.told);
    let line = [line, words(&["passwd=word"])].concat();
    call(&mut host, &line).unwrap();
    let told = host.told.join("\n");
    assert!(told.contains("read `passwd` in the recipe"), "{told}");
}

#[test]
fn the_catalogue_is_told_to_people_and_programs() {
    let list = output(&["templates", "list"]);
    assert!(list.lines().any(|line| line.starts_with("fsl ")), "{list}");
    let all: Value = serde_json::from_str(&output(&["templates", "list", "--json"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), list.lines().count());
    let show = output(&["templates", "show", "FSL"]);
    let versions = show
        .lines()
        .find(|line| line.contains("versions:"))
        .unwrap();
    assert!(versions.contains("6.0.7.22, 6.0.7.21"), "{versions}");
    assert!(
        versions.find("6.0.7.22") < versions.find("6.0.7.8"),
        "{versions}"
    );
    let one: Value = serde_json::from_str(&output(&["templates", "show", "jq", "--json"])).unwrap();
    assert_eq!(one["methods"]["binaries"]["versions"][0], "1.7.1");
    let lines = output(&["templates", "versions", "fsl"]);
    assert!(lines.starts_with("6.0.7.22\n6.0.7.21\n"), "{lines}");
    let all = output(&["templates", "versions", "jq", "--json"]);
    assert!(all.starts_with("[\"1.7.1\",\"1.7\",\"1.6\""), "{all}");
    let help = output(&["generate", "docker", "--help"]);
    for said in ["versions: 6.0.7.22, 6.0.7.21", "non-commercial"] {
        assert!(help.contains(said), "{help}");
    }
}
