//! Command lines, specifications and templates that are wrong.

use super::{Memory, call, words};

const BASE: [&str; 6] = ["generate", "docker", "-p", "apt", "-b", "debian"];

/// Exit status and message with hints.
fn refused(host: &mut Memory, line: &[&str]) -> (u8, String) {
    let refused = call(host, &words(line)).unwrap_err();
    let mut text = refused.refusal.message.clone();
    assert!(!text.contains('\n'), "{text}");
    for hint in &refused.refusal.hints {
        text = format!("{text} | {hint}");
    }
    (refused.status, text)
}

#[test]
fn a_wrong_command_line_is_told_in_one_message() {
    let cases: &[(&[&str], u8, &str)] = &[
        (&["--inst", "x"], 2, "`install`"),
        (&["-c"], 2, "no option `-c`"),
        (&["stray"], 2, "unexpected argument `stray`"),
        (&["--run", "x", "--", "y"], 2, "unexpected argument `y`"),
        (&["--run"], 2, "`--run` needs a value"),
        (&["--run", "  "], 2, "no command"),
        (&["--install", "--yes"], 2, "`--install` needs a value"),
        (&["--install", "opts=-q"], 2, "no packages"),
        (&["--install", "a", "opts=-q", "opts=-v"], 2, "once"),
        (&["--env", "x"], 2, "`KEY=VALUE`"),
        (&["--env", "=x"], 2, "cannot be a name"),
        (&["--env", "1a=x"], 2, "cannot be a name"),
        (&["--env", "a=x\ny"], 2, "one line"),
        (&["--label", "a b=x"], 2, "cannot be a name"),
        (&["--arg", "K"], 2, "`KEY=VALUE`"),
        (&["--copy", "a"], 2, "a source and a destination"),
        (&["--add", "a", "b", "c"], 2, "one source"),
        (&["--copy-from", "a"], 2, "needs"),
        (&["--entrypoint", "'a"], 2, "open quote"),
        (
            &["--from-json", "x.json", "--run", "y"],
            2,
            "cannot stand beside",
        ),
        (&["--entrypoint", " "], 2, "no word"),
        (&["--json=x"], 2, "takes no value"),
        (&["--as", "a", "--as", "b"], 2, "called `a` already"),
        (&["--fls", "version=1"], 2, "`fsl`"),
        (&["--jq", "version=9.9"], 1, "versions: 1.7.1, 1.7, 1.6"),
        (&["--jq", "version=1.7.2"], 1, "did you mean `1.7.1`?"),
        (&["--jq", "method=x"], 1, "`binaries` and `source`"),
        (&["--jq"], 1, "needs the argument `version`"),
        (&["--jq", "version"], 2, "`KEY=VALUE`"),
        (
            &["--ants", "version=2.6.2", "instal_path=/x"],
            1,
            "did you mean `install_path`?",
        ),
        (
            &["--convert3d", "version=1.0.0", "method=source"],
            1,
            "no method `source`",
        ),
        (&["--afni", "version=1"], 1, "versions: latest"),
        (
            &["--miniconda", "version=latest", "yaml_file=x"],
            1,
            "`env_name` cannot be `base`",
        ),
        (
            &["--jq", "version={{ self.version }}"],
            1,
            "offers no version",
        ),
        (
            &[
                "--ants",
                "version=2.6.2",
                "install_path={{ self.install_path }}",
            ],
            1,
            "20 passes",
        ),
        (&["--fsl", "version=6.0.7.22"], 1, "aborted"),
    ];
    for (more, status, message) in cases {
        let line: Vec<&str> = BASE.iter().chain(*more).copied().collect();
        let (found, text) = refused(&mut Memory::default(), &line);
        assert_eq!(found, *status, "{more:?}: {text}");
        assert!(text.contains(message), "{more:?}: {text}");
    }
    let cases: &[(&[&str], u8, &str)] = &[
        (&["generat"], 2, "did you mean `generate`?"),
        (&["generate", "dock"], 2, "`docker`"),
        (
            &["generate", "docker", "-b", "x"],
            2,
            "`--pkg-manager` is missing",
        ),
        (
            &["generate", "docker", "-p", "apt"],
            2,
            "`--base-image` is missing",
        ),
        (
            &["generate", "docker", "-p", "dnf", "-b", "x"],
            2,
            "neither `apt` nor `yum`",
        ),
        (
            &["generate", "--template-path", "none", "docker"],
            2,
            "`none`",
        ),
        (
            &["genfromjson", "buildah"],
            2,
            "neither `docker` nor `singularity`",
        ),
        (&["genfromjson", "docker", "none.json"], 2, "cannot read"),
        (&["templates", "show", "fls"], 1, "`fsl`"),
        (&["templates", "versions"], 2, "needs a name"),
        (&["templates", "lst"], 2, "`list`"),
    ];
    for (line, status, message) in cases {
        let (found, text) = refused(&mut Memory::default(), line);
        assert_eq!(found, *status, "{line:?}: {text}");
        assert!(text.contains(message), "{line:?}: {text}");
    }
    let line = [
        "--compat", "generate", "docker", "-p", "apt", "-b", "x", "--copy", "a",
    ];
    assert_eq!(refused(&mut Memory::default(), &line).0, 1);
}

#[test]
fn a_wrong_specification_is_told_with_its_place() {
    let cases = [
        ("{not json", "no JSON"),
        ("[]", "expected an object"),
        (
            r#"{"pkg_manager": "apk", "instructions": []}"#,
            "\"apk\" is neither",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": []}"#,
            "one at least",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [1]}"#,
            "instruction 1",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [{"name": "run", "kwds": {"cmd": "x"}}]}"#,
            "instruction 1 (`run`): has no keyword `cmd`",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [{"name": "env", "kwds": {"a": 1}}]}"#,
            "`a` must be a text, found a number",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [{"name": "instal", "kwds": {}}]}"#,
            "near to it: `install`",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [{"name": "frobnicate", "kwds": {}}]}"#,
            "instructions: from_, arg",
        ),
        (
            r#"{"pkg_manager": "apt", "instructions": [{"name": "label", "kwds": {"a": "x\ny"}}]}"#,
            "one line",
        ),
    ];
    for (text, message) in cases {
        let mut host = Memory::default();
        host.files.insert("x.json".into(), text.into());
        let (status, found) = refused(&mut host, &["genfromjson", "docker", "x.json"]);
        assert_eq!(status, 1, "{found}");
        assert!(found.contains(message), "{text}: {found}");
    }
}

#[test]
fn a_broken_template_is_told_and_spoils_nothing_but_itself() {
    let cases = [
        ("a: [b\n", ""),
        ("nme: x\n", "needs `name`"),
        ("name: x\nbinaries: {}\n", "needs `url`"),
        ("name: x\nurl: u\n", "needs the method"),
        (
            "name: 1\nurl: u\nsource: {instructions: a}\n",
            "`name` must be a text",
        ),
        ("name: x\nurl: u\nsource: {}\n", "needs `instructions`"),
        (
            "name: x\nurl: u\nbinaries: {instructions: a}\n",
            "needs `urls`",
        ),
        (
            "name: x\nurl: u\nbinaries: {instructions: a, urls: {}}\n",
            "must not be empty",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, env: {}}\n",
            "must not be empty",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, urls: {a: b}}\n",
            "has no key `urls`",
        ),
        (
            "name: x\nurl: u\nfoo: 1\nsource: {instructions: a}\n",
            "has no key `foo`",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, env: {a: 1}}\n",
            "must be a text",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, dependencies: [b]}\n",
            "a mapping",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, arguments: {required: a}}\n",
            "a list",
        ),
        (
            "name: x\nurl: u\nsource: {instructions: a, arguments: {optional: {env: a}}}\n",
            "`env`",
        ),
        (
            "name: x y\nurl: u\nsource: {instructions: a}\n",
            "cannot be the name",
        ),
        (
            "name: run\nurl: u\nsource: {instructions: a}\n",
            "cannot be the name",
        ),
    ];
    for (text, message) in cases {
        let mut host = Memory::default();
        host.files.insert("t/bad.yaml".into(), text.into());
        let good = "name: good\nurl: u\nsource: {instructions: \"echo {{ self.pkg_manager }}\"}\n";
        host.files.insert("t/good.yml".into(), good.into());
        let mut line = vec!["generate", "--template-path", "t", "docker"];
        line.extend(&BASE[2..]);
        line.push("--good");
        let outcome = call(&mut host, &words(&line)).unwrap();
        assert!(
            outcome.stdout.contains("RUN echo apt"),
            "{}",
            outcome.stdout
        );
        let told = host.told.join("\n");
        assert!(
            told.contains("t/bad.yaml") && told.contains(message),
            "{text}: {told}"
        );
        // Upstream goes no further where its own schema is violated, nor does the compatible mode.
        let theirs = ["name: run", "dependencies: [b]"];
        if !theirs.iter().any(|good| text.contains(good)) {
            line.insert(0, "--compat");
            assert_eq!(refused(&mut host, &line).0, 1);
        }
    }
}

#[test]
fn all_problems_of_a_template_are_told_at_once() {
    let mut host = Memory::default();
    let text = "name: x\nfoo: 1\nsource:\n  instructions: 3\n  bar: 2\n";
    host.files.insert("t/x.yaml".into(), text.into());
    let mut line = vec!["generate", "--template-path", "t", "docker"];
    line.extend(&BASE[2..]);
    call(&mut host, &words(&line)).unwrap();
    assert_eq!(host.told.len(), 4, "{:?}", host.told);
}
