//! Dockerfiles: byte equality in the compatible mode, validity in the default one.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use nd_instructions::{
    Base, BindMount, CopySource, Definition, EnvPair, Instruction, Network, Op, PackageManager,
    Script, Stage,
};
use nd_testkit::corpus;
use neurodocker::{RenderOptions, normalise_run, render_dockerfile, save_command};
use proptest::prelude::*;
use serde_json::Value as Json;

fn table(folder: &Path, name: &str) -> Vec<Json> {
    let path = folder.join("neurocontainers/units").join(name);
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

pub(crate) fn definition(ops: impl IntoIterator<Item = Op>) -> Definition {
    Definition {
        package_manager: PackageManager::Apt,
        stages: vec![Stage {
            name: None,
            base: Base::Image("debian:12".into()),
            body: ops
                .into_iter()
                .map(|op| Instruction { op, origin: None })
                .collect(),
        }],
    }
}

pub(crate) fn run(commands: &[&str]) -> Op {
    let commands = commands.iter().map(|command| (*command).to_owned());
    script(Script::Commands(commands.collect()))
}

pub(crate) fn script(script: Script) -> Op {
    Op::Run {
        script,
        mounts: Vec::new(),
        network: Network::Host,
    }
}

pub(crate) fn env(pairs: &[(&str, &str)]) -> Op {
    Op::Env {
        pairs: pairs
            .iter()
            .map(|(name, value)| EnvPair {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    }
}

#[test]
fn normalises_lines_as_recorded() {
    let Some(folder) = corpus() else { return };
    for row in table(&folder, "indent-run.json") {
        let got = normalise_run(row["input"].as_str().unwrap());
        assert_eq!(got, row["output"].as_str().unwrap(), "{row}");
    }
}

#[test]
fn saves_specifications_as_recorded() {
    let Some(folder) = corpus() else { return };
    for row in table(&folder, "save-spec.json") {
        assert_eq!(save_command(&row["spec"]), row["output"].as_str().unwrap());
    }
}

#[test]
fn installs_as_recorded() {
    let Some(folder) = corpus() else { return };
    for row in table(&folder, "install-command.json") {
        let packages = row["packages"].as_array().unwrap().iter();
        let packages: Vec<String> = packages.map(|p| p.as_str().unwrap().to_owned()).collect();
        let options = RenderOptions {
            compat: true,
            package_manager: Some(row["pkg_manager"].as_str().unwrap().to_owned()),
            ..RenderOptions::default()
        };
        let op = Op::Install {
            packages,
            options: row["opts"].as_str().map(str::to_owned),
        };
        let got = render_dockerfile(&definition([op]), &options);
        match row["output"].as_str() {
            Some(wanted) => {
                let wanted = normalise_run(&format!("RUN {}", normalise_run(wanted)));
                let got = got.unwrap();
                assert!(
                    got.contains(&format!("debian:12\n{wanted}\n")),
                    "{row}\n{got}"
                );
            }
            None => assert!(got.is_err(), "{row}"),
        }
    }
}

/// The specification that a recorded Dockerfile saves.
fn saved(dockerfile: &str) -> Json {
    let (_, rest) = dockerfile.rsplit_once("RUN printf '{").unwrap();
    let (text, _) = rest.rsplit_once("}' > /.reproenv.json").unwrap();
    let text = format!("{{{text}}}")
        .replace("'\"'\"'", "'")
        .replace("%%", "%")
        .replace(" \\\n", "\n")
        .replace("\\(", "(")
        .replace("\\)", ")")
        .replace("\\\\", "\\");
    serde_json::from_str(&text).unwrap()
}

/// A `Run` from its text: commands of a recipe begin with a space, mounts stand before it.
fn restored_run(text: &str) -> Op {
    let mut mounts = Vec::new();
    let mut rest = text;
    while let Some(flag) = rest.trim_start().strip_prefix("--mount=type=bind,from=") {
        let end = flag.find(' ').unwrap();
        let parts: Vec<&str> = flag[..end].split([',', '=']).collect();
        let [context, _, source, _, target, "readonly"] = parts[..] else {
            unreachable!("{parts:?}");
        };
        mounts.push(BindMount {
            context: context.into(),
            source: source.into(),
            target: target.into(),
        });
        rest = &flag[end..];
    }
    let script = match rest.strip_prefix(' ') {
        Some(rest) => Script::Commands(rest.split(" \\\n && ").map(str::to_owned).collect()),
        None => Script::Lines(rest.to_owned()),
    };
    Op::Run {
        script,
        mounts,
        network: Network::Host,
    }
}

/// The definition that a saved specification stands for.
fn restored(specification: &Json) -> Definition {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let texts = |value: &Json| {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect::<Vec<_>>()
    };
    let mut base = String::new();
    let mut ops = Vec::new();
    let mut records = specification["instructions"].as_array().unwrap().iter();
    while let Some(record) = records.next() {
        let words = &record["kwds"];
        ops.push(match record["name"].as_str().unwrap() {
            "from_" => {
                base = text(&words["base_image"]);
                continue;
            }
            "run" => restored_run(words["command"].as_str().unwrap()),
            "install" => {
                // Recorded a second time, as the command.
                records.next();
                Op::Install {
                    packages: texts(&words["pkgs"]),
                    options: words["opts"].as_str().map(str::to_owned),
                }
            }
            "env" => {
                let pairs = words.as_object().unwrap().iter();
                let pairs: Vec<_> = pairs
                    .map(|(k, v)| (k.as_str(), v.as_str().unwrap()))
                    .collect();
                env(&pairs)
            }
            "copy" => {
                let mut sources = texts(&words["source"]);
                sources.pop();
                Op::Copy {
                    from: CopySource::Context,
                    sources,
                    dest: text(&words["destination"]),
                    owner: None,
                }
            }
            "workdir" => Op::Workdir {
                path: text(&words["path"]),
            },
            "user" => Op::User {
                user: text(&words["user"]),
            },
            "entrypoint" => Op::Entrypoint {
                argv: texts(&words["args"]),
            },
            other => unreachable!("{other}"),
        });
    }
    let mut definition = definition(ops);
    definition.stages[0].base = Base::Image(base);
    definition
}

/// Every recorded Dockerfile of the corpus with the definition it stands for.
fn recorded(mut each: impl FnMut(&str, &str, &Json, Definition)) -> usize {
    let Some(folder) = corpus() else { return 0 };
    let mut count = 0;
    for part in ["golden", "synthetic"] {
        for entry in fs_err::read_dir(folder.join("neurocontainers").join(part)).unwrap() {
            let path = entry.unwrap().path();
            let golden: Json = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
            let Some(dockerfile) = golden["dockerfile"].as_str() else {
                continue;
            };
            count += 1;
            let definition = restored(&saved(dockerfile));
            each(&path.display().to_string(), dockerfile, &golden, definition);
        }
    }
    assert!(count > 0);
    count
}

#[test]
fn writes_every_recorded_dockerfile_byte_by_byte() {
    recorded(|name, dockerfile, golden, definition| {
        let options = RenderOptions {
            compat: true,
            package_manager: golden["pkg_manager"].as_str().map(str::to_owned),
            fix_locale_def: dockerfile.contains("\n\n    &&"),
        };
        let got = render_dockerfile(&definition, &options).unwrap();
        assert!(
            got == dockerfile,
            "{name}:\n{}",
            first_difference(&got, dockerfile)
        );
    });
}

fn first_difference(one: &str, other: &str) -> String {
    let mut lines = one.lines().zip(other.lines());
    match lines.find(|(one, other)| one != other) {
        Some((one, other)) => format!("got    {one:?}\nwanted {other:?}"),
        None => "one is longer".into(),
    }
}

/// Takes the instructions of a Dockerfile apart as Docker does.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut current = String::new();
    for line in dockerfile.lines() {
        if line.trim_start().starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let trimmed = line.trim_end();
        if let Some(continued) = trimmed.strip_suffix('\\') {
            current.push_str(continued);
            continue;
        }
        current.push_str(line);
        let (word, rest) = current.trim_start().split_once(' ').unwrap();
        all.push((word.to_owned(), rest.trim_start().to_owned()));
        current.clear();
    }
    assert!(current.is_empty(), "an open continuation: {current}");
    all
}

fn shell_accepts(text: &str) -> bool {
    let mut child = Command::new("/bin/sh")
        .arg("-n")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    child.wait().unwrap().success()
}

/// The script of a `RUN`: its flags off, exec form opened.
fn script_of(rest: &str) -> String {
    let mut rest = rest;
    while let Some(flag) = rest.strip_prefix("--") {
        rest = flag.split_once(' ').unwrap().1.trim_start();
    }
    match serde_json::from_str::<Vec<String>>(rest) {
        Ok(argv) => {
            assert_eq!(argv[..2], ["/bin/sh", "-c"]);
            argv[2].clone()
        }
        Err(_) => rest.to_owned(),
    }
}

#[test]
fn writes_valid_dockerfiles_for_all_that_is_recorded() {
    let mut readable = 0;
    let count = recorded(|name, _, _, definition| {
        let text = render_dockerfile(&definition, &RenderOptions::default()).unwrap();
        assert!(text.ends_with('\n'));
        let mut scripts = Vec::new();
        for (word, rest) in instructions(&text) {
            match word.as_str() {
                "RUN" => {
                    readable += usize::from(!rest.contains("\"/bin/sh\""));
                    scripts.push(script_of(&rest));
                }
                "COPY" | "ENTRYPOINT" => {
                    assert!(
                        serde_json::from_str::<Vec<String>>(&rest).is_ok(),
                        "{name}: {rest}"
                    );
                }
                _ => {}
            }
        }
        // All at once, for speed; one by one where that fails.
        let all = format!("(\n{}\n)\n", scripts.join("\n)\n(\n"));
        if shell_accepts(&all) {
            return;
        }
        // Some hand-written recipes hold commands that no shell takes.
        let mut commands =
            definition.stages[0]
                .body
                .iter()
                .filter_map(|instruction| match &instruction.op {
                    Op::Run {
                        script: Script::Commands(commands),
                        ..
                    } => Some(commands),
                    _ => None,
                });
        if commands.all(|commands| commands.iter().all(|command| shell_accepts(command))) {
            for script in &scripts {
                assert!(shell_accepts(script), "{name}\n{script}");
            }
        }
    });
    assert!(readable >= count * 5, "{readable} of {count}");
}

#[test]
fn shows_what_it_does_to_a_small_recipe() {
    let mut mounted = run(&["unzip -q /.nd/in.zip -d /opt/tool"]);
    if let Op::Run { mounts, .. } = &mut mounted {
        mounts.push(BindMount {
            context: "neurocontainer-cache".into(),
            source: "/h1".into(),
            target: "/.nd".into(),
        });
    }
    let ops = [
        Op::User {
            user: "root".into(),
        },
        env(&[("A", "1"), ("B", "say \"hi\" to $A")]),
        Op::Install {
            packages: vec!["zip".into(), "curl".into()],
            options: None,
        },
        run(&["cd /tmp", "make || exit 1", "echo done"]),
        run(&["for i in 1 2\ndo\n  echo $i # now\ndone"]),
        mounted,
        Op::Workdir {
            path: "/opt".into(),
        },
        Op::User {
            user: "alice".into(),
        },
        Op::User {
            user: "1000:1000".into(),
        },
        Op::Copy {
            from: CopySource::Context,
            sources: vec!["a \"b\".sh".into()],
            dest: "/opt/".into(),
            owner: Some("alice".into()),
        },
        Op::Label {
            pairs: vec![EnvPair {
                name: "org.x".into(),
                value: "a\nb\\".into(),
            }],
        },
        Op::Entrypoint {
            argv: vec!["/start".into(), "it's \"x\"".into()],
        },
    ];
    let definition = definition(ops);
    let default = render_dockerfile(&definition, &RenderOptions::default()).unwrap();
    insta::assert_snapshot!("default", default);
    let options = RenderOptions {
        compat: true,
        ..RenderOptions::default()
    };
    let compat = render_dockerfile(&definition, &options).unwrap();
    let (compat, _) = compat.split_once("\n# Save").unwrap();
    insta::assert_snapshot!("compat", compat);
}

#[test]
fn blanks_the_locale_line() {
    let lines = Script::Lines("a\nlocaledef -i en\nb".into());
    let options = RenderOptions {
        compat: true,
        fix_locale_def: true,
        ..RenderOptions::default()
    };
    let text = render_dockerfile(&definition([script(lines)]), &options).unwrap();
    assert!(text.contains("RUN a \\\n\n    && b\n"), "{text}");
}

/// Commands of all shapes that a recipe may have.
const ACTS: &[&str] = &[
    "true",
    "echo a",
    "false",
    "false || echo b",
    "true && false",
    "! true",
    "! false",
    "(exit 4)",
    "cd /usr; pwd",
    "cd / && pwd",
    "X=1",
    "echo \"x is $X\"",
    "export Y='a b' # said",
    "echo $Y | tr a-b A-B",
    "echo c & wait",
    "if [ -d / ]; then echo d; else echo e; fi",
    "for i in 1 2; do echo $i; done",
    "for i in 1 2\ndo\n  echo $i\ndone",
    "echo f\nfalse\necho g",
    "cat <<'E'\nh # h\n\nE",
    "echo i \\\n  j",
    "echo i \\\n  # j",
    "echo 'k\nl'",
    "[ -d / ] && echo m",
    "echo n >/dev/null 2>&1",
    "echo o;",
    "case a in a) echo p ;; esac",
    "echo `echo q` $(echo r)",
    "f() { echo s; }",
    "{ echo t; }",
    "[ \"a\" ]",
    "echo '#u' u#u",
    "set -e; false; echo v",
    "echo \"w\\\nx\"",
];

/// Output and success of a script.
fn execute(script: &str) -> (String, bool) {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.success(),
    )
}

/// Commands that a shell takes on their own.
fn command() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-c$ ;|&'\"#<>\\\\\n\t{}()!`~=/\\[\\]*?-]{1,24}")
        .unwrap()
        .prop_filter("a valid command", |text| {
            !text.trim().is_empty()
                && !text.trim_end().ends_with('\\')
                && !text.contains("<<")
                && shell_accepts(text)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_global_rejects: 100_000, max_local_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_is_valid_shell(commands in proptest::collection::vec(command(), 1..4)) {
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let text = render_dockerfile(&definition([run(&commands)]), &RenderOptions::default()).unwrap();
        for (word, rest) in instructions(&text) {
            if word == "RUN" {
                let script = script_of(&rest);
                prop_assert!(shell_accepts(&script), "{:?}\n{}\n{}", commands, text, script);
            }
        }
    }

    /// What a `RUN` prints, and whether it succeeds, is what the builder's script does.
    #[test]
    fn every_run_does_what_the_builder_does(
        picked in proptest::collection::vec(0..ACTS.len(), 1..5),
    ) {
        let commands: Vec<&str> = picked.iter().map(|index| ACTS[*index]).collect();
        let op = run(&commands);
        let Op::Run { script: theirs, .. } = &op else { unreachable!() };
        let wanted = execute(&theirs.shell());
        let text = render_dockerfile(&definition([op.clone()]), &RenderOptions::default()).unwrap();
        let all = instructions(&text);
        let (_, rest) = all.iter().find(|(word, _)| word == "RUN").unwrap();
        prop_assert_eq!(execute(&script_of(rest)), wanted, "{}", text);
    }

    #[test]
    fn arrays_and_values_survive(items in proptest::collection::vec("\\PC{0,12}[\n\r\t\u{1b}]?", 1..4), value in "[a-z\"\\\\$ '#\n]{0,16}") {
        let ops = [
            Op::Entrypoint { argv: items.clone() },
            Op::Copy { from: CopySource::Context, sources: items.clone(), dest: "/x/".into(), owner: None },
            env(&[("A", &value)]),
        ];
        let text = render_dockerfile(&definition(ops), &RenderOptions::default()).unwrap();
        let all = instructions(&text);
        prop_assert_eq!(all.len(), 4, "{}", text);
        let argv: Vec<String> = serde_json::from_str(&all[1].1).unwrap();
        prop_assert_eq!(&argv, &items);
        let copied: Vec<String> = serde_json::from_str(&all[2].1).unwrap();
        prop_assert_eq!(&copied[..items.len()], &items[..]);
        // The quotes of the value are closed at the end and not before.
        let quoted = all[3].1.strip_prefix("A=\"").unwrap().strip_suffix('"').unwrap();
        let mut escaped = false;
        for c in quoted.chars() {
            prop_assert!(escaped || c != '"', "{}", text);
            escaped = c == '\\' && !escaped;
        }
        prop_assert!(!escaped, "{}", text);
    }
}
