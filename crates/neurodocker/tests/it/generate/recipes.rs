//! What recipes say and do.

use std::process::{Command, Stdio};

use super::output;

const APT: [&str; 4] = ["-p", "apt", "-b", "debian:bookworm-slim"];

fn docker(more: &[&str]) -> String {
    let mut words = vec!["generate", "docker"];
    words.extend(APT);
    words.extend(["--no-default-header", "--no-labels", "--no-embed-spec"]);
    words.extend(more);
    output(&words)
}

/// Logical lines of a Dockerfile as a builder reads them: comments and blank lines go, also within
/// an instruction, and a backslash at the end of a line joins it with the next.
pub(super) fn logical(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let shown = line.trim();
        if shown.is_empty() || shown.starts_with('#') {
            continue;
        }
        match line.trim_end().strip_suffix('\\') {
            Some(part) => open.push_str(part),
            None => all.push(std::mem::take(&mut open) + line),
        }
    }
    all
}

/// Program and arguments of a `RUN`.
pub(super) fn command(run: &str) -> Vec<String> {
    let text = run.strip_prefix("RUN ").unwrap();
    serde_json::from_str(text)
        .unwrap_or_else(|_| ["/bin/sh", "-c", text].map(str::to_owned).to_vec())
}

fn run(argv: &[String]) -> (String, bool) {
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        output.status.success(),
    )
}

#[test]
fn scripts_survive_whatever_structure_they_have() {
    let cases = [
        ("if true; then\n  echo a\nfi\necho b", "a\nb\n"),
        ("for i in 1 2; do\n  echo $i\ndone", "1\n2\n"),
        ("case x in\n  x) echo c;;\nesac", "c\n"),
        ("cat <<EOF\nhere\nEOF\necho after", "here\nafter\n"),
        ("# first\necho a\n# last\n\n", "a\n"),
        (
            "file=x\nfind /dev/null -name null\necho $file",
            "/dev/null\nx\n",
        ),
        ("if true; then echo one; fi\necho two", "one\ntwo\n"),
        ("ifconfig=1\necho $ifconfig", "1\n"),
        ("echo a | \\\n  cat\ncd /\npwd", "a\n/\n"),
        (
            "false || echo b\n! false\nx='a \"b\" $c'\necho \"$x\"",
            "b\na \"b\" $c\n",
        ),
        ("echo \"a \\\\ b\" 'it'\\''s' # note", "a \\ b it's\n"),
        (
            "set -eu\n(cd / && pwd)\necho 'a#b' $((1 + 2))",
            "/\na#b 3\n",
        ),
        ("x=`echo a\necho b`\necho \"$x\"", "a\nb\n"),
        ("echo a &\nwait\necho b", "a\nb\n"),
        ("f() {\n  echo \"$1\"\n}\nf x", "x\n"),
        ("mkdir -p /tmp &&\\\n\t cd /tmp && \\\n  pwd", "/tmp\n"),
    ];
    for (script, wanted) in cases {
        let text = docker(&["--run", script, "--run", "echo behind"]);
        let runs: Vec<String> = logical(&text)
            .into_iter()
            .filter(|line| line.starts_with("RUN "))
            .collect();
        assert_eq!(runs.len(), 2, "{script}: {text}");
        assert_eq!(run(&command(&runs[0])), (wanted.to_owned(), true), "{text}");
        assert_eq!(run(&command(&runs[1])).0, "behind\n");
    }
    for script in [
        "false\necho x",
        "if true; then\nfalse\nfi\necho x",
        "false | true && false",
    ] {
        let text = docker(&["--run", script]);
        let lines = logical(&text);
        let line = lines.iter().find(|line| line.starts_with("RUN ")).unwrap();
        assert!(!run(&command(line)).1, "{text}");
    }
}

#[test]
fn a_bash_text_reaches_bash_as_it_is() {
    let text = docker(&["--run-bash", "a=(1 2); echo \"${a[1]} it's\""]);
    let lines = logical(&text);
    assert_eq!(run(&command(&lines[1])).0, "2 it's\n");
}

#[test]
fn the_order_of_options_is_the_order_of_instructions() {
    let text = docker(&[
        "--run",
        "a",
        "--install",
        "b",
        "--run",
        "c",
        "--env",
        "D=1",
        "--run=e",
    ]);
    let places: Vec<usize> = ["RUN a", "    b", "RUN c", "ENV D", "RUN e"]
        .iter()
        .map(|part| text.find(part).unwrap())
        .collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn a_dockerfile_with_everything() {
    let text = output(&[
        "generate",
        "docker",
        "-papt",
        "--from",
        "debian:12 AS builder",
        "--run",
        "make",
        "--from",
        "debian:bookworm-slim",
        "--as",
        "final",
        "--copy-from",
        "builder",
        "/a b",
        "/c",
        "--arg",
        "K=x y",
        "--env",
        r#"A=say "hi""#,
        r"B=C:\dir",
        "PATH=/opt/bin:$PATH",
        r"D=\$5",
        "--label",
        "a.b=c",
        "--user",
        "neuro",
        "--install",
        "vim",
        "git",
        "git",
        "opts=--quiet",
        "--workdir",
        "/home/neuro",
        "--add",
        "a.tgz",
        "/opt/",
        "--user",
        "neuro",
        "--user",
        "1000:1000",
        "--entrypoint",
        "bash -c 'a b'",
        "--jq",
        "version=1.7.1",
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_definition_file_with_everything() {
    let text = output(&[
        "generate",
        "apptainer",
        "-p",
        "YUM",
        "--arg",
        "V=9",
        "--from",
        "rockylinux:$V",
        "--as",
        "builder",
        "--run",
        "make",
        "--base-image",
        "library://x/y:1",
        "--copy-from",
        "builder",
        "/a",
        "/c",
        "--env",
        r#"A=say "hi""#,
        "PATH=/opt/bin:$PATH",
        "--label",
        "a.b=c d",
        "--user",
        "neuro",
        "--install",
        "git",
        "--run",
        "whoami\n%post",
        "--workdir",
        "/home/neuro",
        "--add",
        "a.tgz",
        "/opt",
        "--entrypoint",
        "run me",
        "--no-embed-spec",
        "--no-default-header",
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn accounts_are_made_once_in_each_stage() {
    let text = docker(&["--user", "a", "--user", "root", "--user", "a"]);
    assert_eq!(text.matches("useradd").count(), 1, "{text}");
    let text = docker(&["--user", "a", "--from", "debian:12", "--user", "a"]);
    assert_eq!(text.matches("useradd").count(), 2, "{text}");
}

#[test]
fn the_header_follows_the_last_stage_whatever_comes_first() {
    let text = output(&[
        "generate",
        "docker",
        "-p",
        "apt",
        "--arg",
        "V=12",
        "-b",
        "debian:$V",
    ]);
    let lines = logical(&text);
    assert!(lines[0].starts_with("ARG V"), "{text}");
    assert!(lines[1].starts_with("FROM debian:$V"), "{text}");
    assert!(lines[2].starts_with("ENV LANG"), "{text}");
}

#[test]
fn mounts_of_a_run_stay_flags() {
    let text = docker(&["--run", " --mount=type=bind,source=a,target=/a \\\n ls /a"]);
    assert!(
        text.contains("RUN --mount=type=bind,source=a,target=/a ls /a"),
        "{text}"
    );
}

#[test]
fn what_templates_install_is_listed() {
    let mut host = super::Memory::default();
    let mut arguments = vec!["generate", "docker"];
    arguments.extend(APT);
    arguments.extend([
        "--sbom",
        "out.json",
        "--jq",
        "version=1.6",
        "--mrtrix3",
        "version=3.0.4",
    ]);
    let outcome = super::call(&mut host, &super::words(&arguments)).unwrap();
    let [(path, text)] = outcome.files.as_slice() else {
        panic!("one file is written");
    };
    assert_eq!(path, "out.json");
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let packages = document["packages"].as_array().unwrap();
    let names: Vec<&str> = packages
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["jq", "mrtrix3"]);
    assert_eq!(packages[1]["licenseDeclared"], "MPL-2.0");
    assert_eq!(packages[0]["versionInfo"], "1.6");
    assert!(
        packages[0]["downloadLocation"]
            .as_str()
            .unwrap()
            .ends_with("jq-1.6/jq-linux64")
    );
}
