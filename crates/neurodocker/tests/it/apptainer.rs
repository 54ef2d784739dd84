//! Definition files, judged by Apptainer.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use nd_instructions::{
    Base, BindMount, CopySource, Definition, EnvPair, Instruction, Op, Script, Stage,
};
use nd_testkit::peer;
use neurodocker::{ApptainerError, ApptainerOptions, render_apptainer};

use crate::dockerfile::{definition, env, run, script};

fn copy(sources: &[&str], dest: &str) -> Op {
    Op::Copy {
        from: CopySource::Context,
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        dest: dest.into(),
        owner: None,
    }
}

/// A definition that uses everything, and the line its container prints.
fn everything() -> (Definition, &'static str) {
    let mut mounted = run(&[
        "cp /.inputs/h1/tool.sh /opt/tool.sh",
        "chmod +x /opt/tool.sh",
    ]);
    if let Op::Run { mounts, .. } = &mut mounted {
        mounts.push(BindMount {
            context: "neurocontainer-cache".into(),
            source: "/h1".into(),
            target: "/.inputs/h1".into(),
        });
    }
    let ops = [
        Op::User {
            user: "root".into(),
        },
        env(&[("GREETING", "say \"hi\" for $5 `now` to {{ you }}")]),
        env(&[("A", "1"), ("B", "a is ${A:-unset}")]),
        env(&[("C", "$A"), ("PATH", "/opt:$PATH")]),
        Op::Workdir {
            path: "/opt".into(),
        },
        mounted,
        // A file that a later copy replaces, and one that replaces a copy.
        run(&["echo old > one.txt", "mkdir -p data"]),
        copy(&["one.txt"], "/opt/one.txt"),
        copy(&["folder", "two words.txt"], "data/"),
        run(&["echo changed >> data/inner.txt"]),
        run(&[
            "cat > /opt/lines <<'E'\n%post is no section\n# no comment\n{{ no_argument }}\nE\ncd /tmp",
        ]),
        script(Script::Lines(
            "if [ -f /opt/lines ]; then\n  pwd > /opt/where;\nfi\ntrue".into(),
        )),
        Op::Label {
            pairs: vec![EnvPair {
                name: "org.example".into(),
                value: "two words\nand more".into(),
            }],
        },
        Op::Entrypoint {
            argv: vec!["/opt/tool.sh".into(), "it's".into()],
        },
    ];
    (
        definition(ops),
        "it's|x y|say \"hi\" for $5 `now` to {{ you }}|a is unset|1|new|inner,changed|words|%post is no section # no comment {{ no_argument }}|/opt|",
    )
}

const TOOL: &str = r#"#!/bin/sh
printf '%s|' "$@" "$GREETING" "$B" "$C" "$(cat /opt/one.txt)" \
    "$(cat /opt/data/inner.txt | tr '\n' , | sed 's/,$//')" "$(cat '/opt/data/two words.txt')" \
    "$(cat /opt/lines | tr '\n' ' ' | sed 's/ $//')" "$(cat /opt/where)"
"#;

#[test]
fn shows_a_definition_file() {
    let options = ApptainerOptions {
        contexts: BTreeMap::from([("neurocontainer-cache".into(), "cache".into())]),
        ..ApptainerOptions::default()
    };
    insta::assert_snapshot!(render_apptainer(&everything().0, &options).unwrap());
}

pub(crate) fn folder_with_shell(root: &Path, busybox: &Path) {
    for folder in [
        "bin", "etc", "tmp", "proc", "sys", "dev", "root", "home", "usr/bin", "var/tmp",
    ] {
        fs_err::create_dir_all(root.join(folder)).unwrap();
    }
    nd_testkit::copy_program(busybox, root.join("bin/busybox"));
    let applets = "sh cat cp mkdir rm ls tr sed printf dirname chmod true test pwd env grep id sleep tar gzip su";
    for applet in applets.split(' ') {
        fs_err::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs_err::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs_err::write(root.join("etc/group"), "root:x:0:\n").unwrap();
}

#[test]
fn apptainer_builds_and_runs_it() {
    let Some(apptainer) = peer("apptainer") else {
        return;
    };
    let Some(busybox) = peer("busybox") else {
        return;
    };
    let Some(unshare) = peer("unshare") else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    folder_with_shell(&work.join("base"), &busybox);
    for (path, text) in [
        ("cache/h1/tool.sh", TOOL),
        ("one.txt", "new\n"),
        ("folder/inner.txt", "inner\n"),
        ("two words.txt", "words\n"),
    ] {
        let path = work.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let (definition, wanted) = everything();
    let options = ApptainerOptions {
        base: Some(("localimage".into(), work.join("base").display().to_string())),
        contexts: BTreeMap::from([("neurocontainer-cache".into(), "cache".into())]),
    };
    let text = render_apptainer(&definition, &options).unwrap();
    fs_err::write(work.join("tool.def"), &text).unwrap();
    // Root of a namespace of its own has every capability, which that of the machine may lack.
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&unshare);
        command
            .args(["--user", "--map-root-user"])
            .arg(&apptainer)
            .args(arguments)
            .current_dir(work)
            .env("APPTAINER_CACHEDIR", work.join("apptainer-cache"))
            .env("APPTAINER_TMPDIR", work)
            .stdin(Stdio::null());
        command.output().unwrap()
    };
    let built = command(&["build", "--sandbox", "image", "tool.def"]);
    let told = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success(), "{told}\n{text}");
    let ran = command(&["run", "--cleanenv", "--no-home", "image", "x y"]);
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{told}\n{text}");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), wanted, "{text}");
    assert!(!work.join("image/.nd-build").exists());
    assert!(!work.join("image/.inputs/h1").exists());
    let labels = command(&["inspect", "--labels", "image"]);
    let labels = String::from_utf8_lossy(&labels.stdout).into_owned();
    assert!(
        labels.contains("org.example: two words and more"),
        "{labels}"
    );
}

#[test]
fn a_stage_on_a_stage_repeats_it() {
    let stage = |name: Option<&str>, base: Base, ops: Vec<Op>| Stage {
        name: name.map(str::to_owned),
        base,
        body: ops
            .into_iter()
            .map(|op| Instruction { op, origin: None })
            .collect(),
    };
    let mut definition = definition([]);
    let from = |from: CopySource| Op::Copy {
        from,
        sources: vec!["/opt/a".into()],
        dest: "/opt/".into(),
        owner: None,
    };
    definition.stages = vec![
        stage(
            Some("one"),
            Base::Image("debian:12".into()),
            vec![run(&["touch /opt/a"])],
        ),
        stage(
            None,
            Base::Stage("one".into()),
            vec![
                from(CopySource::Stage("one".into())),
                from(CopySource::Image("alpine:3".into())),
            ],
        ),
    ];
    insta::assert_snapshot!(render_apptainer(&definition, &ApptainerOptions::default()).unwrap());
    definition.stages[1].base = Base::Stage("none".into());
    assert!(matches!(
        render_apptainer(&definition, &ApptainerOptions::default()),
        Err(ApptainerError::UnknownStage { .. })
    ));
}

#[test]
fn refuses_sources_that_leave_the_folder() {
    for source in ["../x", "a/../../x", "a\nb", "a\"'b", "{{ x }}"] {
        let text = render_apptainer(
            &definition([copy(&[source], "/x")]),
            &ApptainerOptions::default(),
        );
        assert!(matches!(text, Err(ApptainerError::Path { .. })), "{source}");
    }
}
