//! What those who operate a site ask: values that programs read, what is wrong with a machine, options of the
//! runtime, and whether an unpacked image is what it was.

use nd_testkit::peer;
use serde_json::Value;

use crate::{
    fixture::{Desk, root, search_path, sif, write},
    served::{Bench, Server, plain},
};

const STEM: &str = "tool_1.0_20240131";

#[test]
fn every_command_gives_a_value_that_programs_read() {
    let Some(bench) = Bench::new() else { return };
    let desk = &bench.desk;
    let list = Server::start(|_, _| plain(200, "tool_1.0_20240131 categories:viewers,\n"));
    bench.sources(&format!("[list]\nurl = \"{}\"\n", list.url()));
    let settings = bench.settings.display().to_string();
    let image = desk.image("x.sif").unwrap();
    let image = image.to_str().unwrap();
    let registry = desk.env.work().join("registry").display().to_string();
    let all: [&[&str]; 30] = [
        &["gc"],
        &["list"],
        &["list", "--available"],
        &["install", STEM, "--from", image, "--dry-run"],
        &["install", STEM, "--from", image],
        &["install", STEM, "--from", image],
        &["list"],
        &["list", "--available", "view"],
        &["commands"],
        &["commands", "tool"],
        &["which", "show"],
        &["path", "tool"],
        &["explain", "show"],
        &["explain", "show", "--runtime", "native"],
        &["prove", "show"],
        &["verify"],
        &["repair", "tool"],
        &["upgrade", "--dry-run"],
        &["upgrade"],
        &["gc"],
        &["doctor"],
        &["activate", "tool", "--shell", "bash"],
        &["deactivate", "tool", "--shell", "fish"],
        &["shell-init", "tool"],
        &["shell-init", "tool", "--write"],
        &["shell-init", "--remove"],
        &["export", "shpc", "tool"],
        &["export", "shpc", "tool", "--registry", &registry],
        &["export", "tar", "tool", "--output", "tool.tar"],
        &["uninstall", "tool"],
    ];
    for words in all {
        let words = [&["--settings", &settings, "--json"], words].concat();
        let out = desk.program(&words).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let value: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {said}"));
        assert_eq!(value["schema_version"], 1, "{words:?}: {value}");
    }
    // A failure is one, too, and the output is nothing else.
    for words in [&["path", "no"][..], &["verify", "no"], &["which", "no"]] {
        let out = desk
            .program(&[&["--json"], words].concat())
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(1), "{words:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        let value = serde_json::from_str::<Value>(&text);
        assert!(text.is_empty() || value.is_ok(), "{words:?}: {text}");
    }
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let Some(desk) = Desk::installed(STEM) else {
        return;
    };
    if peer("apptainer").is_none() {
        return;
    }
    let doctor = |variables: &[(&str, &str)]| {
        let mut program = desk.program(&["doctor", "--json"]);
        let modules = desk.prefix.join("modules");
        program
            .env("MODULEPATH", modules)
            .env("CVMFS_DISABLE", "true")
            .envs(variables.iter().copied());
        let out = program.output().unwrap();
        let value: Value = serde_json::from_slice(&out.stdout).unwrap();
        let checks = value["checks"].as_array().unwrap().clone();
        for check in &checks {
            let good = check["state"] == "good";
            assert_eq!(check["fix"].is_string(), !good, "{check}");
        }
        let state = move |what: &str| {
            let check = checks.iter().find(|check| check["what"] == what).unwrap();
            format!("{}: {}", check["state"].as_str().unwrap(), check["text"])
        };
        (out.status.code(), state)
    };
    let (code, state) = doctor(&[]);
    assert_eq!(code, Some(0));
    for what in ["runtime", "modules", "binds", "cvmfs", "images", "policy"] {
        assert!(state(what).starts_with("good: "), "{}", state(what));
    }
    let (code, state) = doctor(&[
        ("MODULEPATH", "/elsewhere"),
        ("CVMFS_DISABLE", "perhaps"),
        ("APPTAINER_BINDPATH", "/,/no/such/place:/x"),
    ]);
    assert_eq!(code, Some(0));
    assert!(state("modules").starts_with("note: "));
    assert!(state("cvmfs").starts_with("note: ") && state("cvmfs").contains("perhaps"));
    assert!(state("binds").contains("/no/such/place"));
    let (code, state) = doctor(&[("PATH", "/no/such/place")]);
    assert_eq!(code, Some(1));
    assert!(state("runtime").starts_with("bad: "));
    let policy = desk.prefix.join(".state/launcher.conf");
    fs_err::write(&policy, "gpu auto\nnew-key of a later version\n").unwrap();
    let (code, state) = doctor(&[]);
    assert_eq!(code, Some(0));
    assert!(state("policy").starts_with("note: ") && state("policy").contains("line 2"));
    fs_err::write(&policy, "gpu auto\nkeep for ever\n").unwrap();
    let (code, state) = doctor(&[]);
    assert_eq!(code, Some(1));
    assert!(state("policy").starts_with("bad: ") && state("policy").contains("line 2"));
    fs_err::remove_file(&policy).unwrap();
    fs_err::remove_file(desk.prefix.join(STEM).join("show")).unwrap();
    let (code, state) = doctor(&[]);
    assert_eq!(code, Some(1));
    assert!(state("images").contains(STEM));
}

#[test]
fn options_of_the_installation_apply_to_its_calls_and_are_kept() {
    let Some(root) = root() else { return };
    let script = "if [ -x /bin/sh ]; then export DEPLOY_BINS=\"show\"; fi\n";
    write(
        root.path(),
        ".singularity.d/env/90-environment.sh",
        script,
        0o755,
    );
    let desk = Desk::new();
    let image = desk.env.work().join("x.sif");
    sif(root.path(), &image);
    // A runtime that writes down how it was called.
    let bin = desk.env.root().join("bin");
    let asked = desk.env.root().join("asked");
    let runtime = format!(
        "#!/bin/sh\nprintf '<%s>' \"$@\" >> '{}'\nprintf 'DEPLOY_BINS=show\\0PATH=/opt/tool/bin\\0'\n",
        asked.display()
    );
    write(&bin, "apptainer", &runtime, 0o755);
    let usual = search_path();
    let path = std::iter::once(bin).chain(std::env::split_paths(&usual));
    let path = std::env::join_paths(path).unwrap();
    let run = |words: &[&str]| {
        let out = desk.program(words).env("PATH", &path).output().unwrap();
        assert!(out.status.success(), "{words:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let options = "--bind '/a b:/mnt' --no-home";
    let from = image.to_str().unwrap();
    run(&[
        "install",
        STEM,
        "--from",
        from,
        "--singularity-opts",
        options,
    ]);
    let called = fs_err::read_to_string(&asked).unwrap();
    for words in ["<--bind></a b:/mnt><--no-home>", "<env><-0>"] {
        assert!(called.contains(words), "{called}");
    }
    let line = run(&["explain", "show"]);
    assert!(line.contains("--bind '/a b:/mnt' --no-home"), "{line}");
    // Made anew without options, it has none.
    run(&["install", STEM, "--from", from, "--reinstall"]);
    let line = run(&["explain", "show"]);
    assert!(!line.contains("--no-home"), "{line}");
}

#[test]
fn an_unpacked_image_that_changed_is_noticed() {
    let desk = Desk::new();
    let Some(image) = desk.image("x.sif") else {
        return;
    };
    let from = image.to_str().unwrap();
    desk.run(&["install", STEM, "--from", from, "--unpack"]);
    let unpacked = desk.prefix.join(STEM).join(format!("{STEM}.simg"));
    desk.run(&["verify"]);
    desk.run(&["prove", "show", "--check"]);
    // Owners and times are no part of it.
    let readme = unpacked.join("README.md");
    let text = fs_err::read(&readme).unwrap();
    fs_err::write(&readme, &text).unwrap();
    desk.run(&["verify"]);
    let changed = |what: &str| {
        let said = desk.fail(&["verify", "tool"], 1);
        assert!(said.contains("is not what was installed"), "{what}: {said}");
    };
    fs_err::write(&readme, [&text[..], b"x"].concat()).unwrap();
    changed("a byte more");
    assert!(
        desk.fail(&["prove", "show", "--check"], 1)
            .contains("does not hold what it says")
    );
    fs_err::write(&readme, &text).unwrap();
    desk.run(&["verify"]);
    // Also what belongs to the packaging, by which commands are started.
    let script = unpacked.join(".singularity.d/env/10-docker2singularity.sh");
    let of_image = fs_err::read(&script).unwrap();
    fs_err::write(&script, "export PATH=/elsewhere\n").unwrap();
    changed("a script");
    fs_err::write(&script, of_image).unwrap();
    fs_err::write(unpacked.join("bin/more"), "").unwrap();
    changed("a file more");
    fs_err::remove_file(unpacked.join("bin/more")).unwrap();
    fs_err::remove_file(unpacked.join("opt/tool/bin/show")).unwrap();
    changed("a program less");
    desk.fail(&["repair", "tool"], 1);
    desk.run(&["install", STEM, "--from", from, "--unpack", "--reinstall"]);
    desk.run(&["verify"]);
}
