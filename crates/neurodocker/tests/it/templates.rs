//! Expansion of installation templates.

use std::process::{Command, Stdio};

use indexmap::IndexMap;
use nd_instructions::{Op, Script};
use nd_report::{FileId, Sink};
use nd_testkit::corpus;
use neurodocker::{Argument, Call, Problem, ProblemKind, Strictness, Templates};
use serde_json::Value as Json;

fn arguments(pairs: &[(&str, Argument)]) -> IndexMap<String, Argument> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect()
}

fn call<'a>(
    name: &'a str,
    arguments: &'a IndexMap<String, Argument>,
    package_manager: &'a str,
) -> Call<'a> {
    Call {
        name,
        arguments,
        package_manager,
        architecture: "x86_64",
        strictness: Strictness::Strict,
    }
}

fn expand(name: &str, pairs: &[(&str, Argument)]) -> Result<Vec<Op>, Vec<Problem>> {
    let arguments = arguments(pairs);
    let expansion = Templates::new().expand(&call(name, &arguments, "apt"))?;
    Ok(expansion.ops)
}

/// Texts of the `Run`s.
fn scripts(ops: &[Op]) -> String {
    ops.iter()
        .filter_map(|op| match op {
            Op::Run {
                script: Script::Lines(text),
                ..
            } => Some(text.as_str()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn shell_accepts(text: &str) -> bool {
    let mut child = Command::new("/bin/sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

#[test]
fn renders_template_text_as_recorded() {
    let Some(folder) = corpus() else { return };
    let path = folder.join("neurocontainers/units/jinja-template.json");
    let table: Json = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    let values = table["values"].as_object().unwrap();
    let mut arguments: IndexMap<String, Argument> = values
        .iter()
        .map(|(name, value)| (name.clone(), Argument::from(value.as_str().unwrap())))
        .collect();
    arguments.shift_remove("method");
    for case in table["cases"].as_array().unwrap() {
        let mut method = table["method"].clone();
        let run = serde_json::json!({"run": case["source"]});
        method["directives"].as_array_mut().unwrap().push(run);
        let file = serde_json::json!({"name": "t", "binaries": method}).to_string();
        let mut templates = Templates::empty();
        let mut sink = Sink::new();
        let added = templates.add("t", file.as_bytes(), FileId(0), &mut sink);
        assert!(added, "{:?}", sink.diagnostics());
        let mut call = call("t", &arguments, case["pkg_manager"].as_str().unwrap());
        call.strictness = Strictness::Compat;
        let got = templates
            .expand(&call)
            .map(|expansion| scripts(&expansion.ops));
        match case["result"].as_str() {
            Some(wanted) => assert_eq!(got.as_deref(), Ok(wanted), "{case}"),
            None => assert!(got.is_err(), "{case}: {got:?}"),
        }
    }
}

/// Every method of every template with every version, on both package managers, with all
/// arguments at work.
fn every_expansion(templates: &Templates, mut each: impl FnMut(&str, &str, Vec<Op>)) {
    for name in templates.names() {
        let info = templates.info(&name).unwrap();
        for method in &info.methods {
            let mut versions = method.versions.clone();
            versions.retain(|version| version != "*");
            if versions.is_empty() {
                versions.extend(["master".to_owned(), "1.2.3".to_owned()]);
            }
            if name == "miniconda" {
                versions.push("py312_25.5.1-0".to_owned());
            }
            for version in versions {
                for package_manager in ["apt", "yum"] {
                    for at_work in [false, true] {
                        let mut arguments = arguments(&[
                            ("method", method.name.as_str().into()),
                            ("version", version.as_str().into()),
                        ]);
                        if at_work {
                            for (argument, default) in &method.optional {
                                let value = match (argument.as_str(), default.as_str()) {
                                    ("conda_install" | "pip_install", _) => {
                                        "-c conda-forge \"torch>=1.9\" numpy<2\nit's"
                                            .replace('\'', "")
                                    }
                                    ("exclude_paths", _) => "a b/c".to_owned(),
                                    (_, "false") => "true".to_owned(),
                                    _ => continue,
                                };
                                arguments.insert(argument.clone(), Argument::Text(value));
                            }
                        }
                        let call = call(&name, &arguments, package_manager);
                        let expansion = templates.expand(&call).unwrap();
                        let label = format!("{} {version} {package_manager}", method.name);
                        each(&name, &label, expansion.ops);
                    }
                }
            }
        }
    }
}

#[test]
fn every_built_in_template_expands_to_a_valid_shell_script() {
    let templates = Templates::new();
    assert_eq!(templates.names().len(), 12);
    let mut count = 0;
    every_expansion(&templates, |name, label, ops| {
        count += 1;
        for op in ops {
            if let Op::Run { script, .. } = op {
                let text = script.shell();
                assert!(!text.contains("self."), "{name} {label}: {text}");
                assert!(shell_accepts(&text), "{name} {label}:\n{text}");
            }
        }
    });
    assert!(count > 100);
}

/// NeuroContainers' own files load as they are, and give the same environment as ours.
#[test]
fn agrees_with_the_templates_of_neurocontainers() {
    let Some(folder) = corpus() else { return };
    let mut theirs = Templates::empty();
    for entry in fs_err::read_dir(folder.join("neurocontainers/templates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut sink = Sink::new();
        let bytes = fs_err::read(&path).unwrap();
        let added = theirs.add(&name, &bytes, FileId(0), &mut sink);
        assert!(added, "{name}: {:?}", sink.diagnostics());
    }
    let environments = |templates: &Templates| {
        let mut all = IndexMap::new();
        every_expansion(templates, |name, label, ops| {
            let pairs: Vec<_> = ops
                .into_iter()
                .filter_map(|op| match op {
                    Op::Env { pairs } => Some(pairs),
                    _ => None,
                })
                .collect();
            all.insert(format!("{name} {label}"), pairs);
        });
        all
    };
    let (ours, theirs) = (environments(&Templates::new()), environments(&theirs));
    assert!(theirs.len() > 50);
    for (call, pairs) in &theirs {
        let mut pairs = pairs.clone();
        if call.starts_with("mrtrix3 ") {
            // Theirs puts `$PATH` into the path of libraries.
            let path = &mut pairs[0][1].value;
            *path = path.replace("$PATH", "$LD_LIBRARY_PATH");
        }
        assert_eq!(ours.get(call), Some(&pairs), "{call}");
    }
}

#[test]
fn tells_everything_that_is_wrong_with_a_call() {
    let problems = expand(
        "ants",
        &[("verson", "2.4.3".into()), ("make_opts", "-j2".into())],
    )
    .unwrap_err();
    let told: Vec<_> = problems
        .iter()
        .map(|p| (p.kind, p.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                ProblemKind::MissingArgument,
                "template `ants` needs the argument `version`"
            ),
            (
                ProblemKind::UnknownArgument,
                "template `ants` has no argument `verson`"
            ),
            (
                ProblemKind::UnknownArgument,
                "template `ants` has no argument `make_opts`"
            ),
        ]
    );
    assert_eq!(problems[1].valid[0], "version");
    let kind = |name: &str, pairs: &[(&str, Argument)]| expand(name, pairs).unwrap_err()[0].clone();
    let problem = kind("antz", &[]);
    assert_eq!(problem.kind, ProblemKind::UnknownTemplate);
    assert_eq!(problem.valid[0], "ants");
    let problem = kind("ants", &[("version", "9.9.9".into())]);
    assert_eq!(problem.kind, ProblemKind::UnknownVersion);
    assert_eq!(problem.argument.as_deref(), Some("version"));
    let problem = kind(
        "minc",
        &[("method", "source".into()), ("version", "1".into())],
    );
    assert_eq!(problem.kind, ProblemKind::UnknownMethod);
    let problem = kind(
        "miniconda",
        &[("version", "latest".into()), ("yaml_file", "/e.yml".into())],
    );
    assert_eq!(problem.kind, ProblemKind::Render);
    assert!(problem.message.contains("'base'"), "{}", problem.message);
    let problem = kind(
        "miniconda",
        &[("version", "latest".into()), ("pip_install", "'a".into())],
    );
    assert!(
        problem.message.contains("open quote"),
        "{}",
        problem.message
    );
}

#[test]
fn booleans_and_lists_are_taken_as_meant() {
    let miniconda = |pairs: &[(&str, Argument)]| {
        let mut all = vec![("version", Argument::from("latest"))];
        all.extend_from_slice(pairs);
        scripts(&expand("miniconda", &all).unwrap())
    };
    let solver = "conda config --set solver libmamba";
    assert!(!miniconda(&[]).contains(solver));
    for value in [Argument::Bool(true), "true".into(), "True".into()] {
        assert!(miniconda(&[("mamba", value)]).contains(solver));
    }
    let words = Argument::List(vec!["torch>=1.9".into(), "a b".into()]);
    assert!(miniconda(&[("pip_install", words)]).contains("'torch>=1.9' \\\n  'a b'"));
    let text = "\"torch>=1.9\" numpy".into();
    assert!(miniconda(&[("pip_install", text)]).contains("'torch>=1.9' \\\n  numpy"));
}

#[test]
fn package_managers_of_one_family_are_one() {
    let arguments = arguments(&[("version", "1.0.0".into())]);
    let templates = Templates::new();
    let of = |manager| templates.expand(&call("convert3d", &arguments, manager));
    assert_eq!(of("rpm"), of("yum"));
    assert_eq!(of("dnf"), of("yum"));
    assert_ne!(of("apt"), of("yum"));
    let problems = of("pacman").unwrap_err();
    assert!(problems[0].message.contains("`pacman`"), "{problems:?}");
}

#[test]
fn an_alert_comes_with_the_expansion() {
    let arguments = arguments(&[("version", "6.0.7.22".into())]);
    let expansion = Templates::new()
        .expand(&call("fsl", &arguments, "apt"))
        .unwrap();
    assert!(expansion.alert.unwrap().contains("non-commercial"));
}

#[test]
fn refuses_files_that_are_no_templates() {
    let cases = [
        ("[]", "must be a mapping"),
        ("name: x", "needs the method"),
        ("binaries: {builder: other}", "must be `neurodocker`"),
        ("binaries: {directives: {}}", "must be a list"),
        ("binaries: {directives: [x]}", "must be a mapping"),
        ("binaries: {directives: [{copy: x}]}", "unknown key `copy`"),
        (
            "binaries: {directives: [{run: a, install: [b]}]}",
            "does one thing",
        ),
        (
            "binaries: {arguments: {optional: {urls: x}}}",
            "`urls` cannot be",
        ),
        ("binaries: {nope: 1}", "unknown key `nope`"),
    ];
    for (text, wanted) in cases {
        let mut sink = Sink::new();
        let added = Templates::empty().add("x", text.as_bytes(), FileId(0), &mut sink);
        assert!(!added, "{text}");
        let told = format!("{:?}", sink.diagnostics());
        assert!(told.contains(wanted), "{text}: {told}");
    }
}

#[test]
fn rendering_comes_to_an_end() {
    let text = "binaries:\n  arguments: {optional: {a: '{{ self.a }}'}}\n  directives:\n  - run: '{{ self.a }}'\n";
    let mut templates = Templates::empty();
    assert!(templates.add("loop", text.as_bytes(), FileId(0), &mut Sink::new()));
    let arguments = IndexMap::new();
    for strictness in [Strictness::Strict, Strictness::Compat] {
        let mut call = call("loop", &arguments, "apt");
        call.strictness = strictness;
        let problems = templates.expand(&call).unwrap_err();
        assert_eq!(problems[0].kind, ProblemKind::Recursion);
    }
}
