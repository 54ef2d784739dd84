//! Installing, running and removing containers through the program, with the real runtime.

use std::path::Path;

use nd_testkit::{TestEnv, peer};

use crate::support::{Said, files_below, good, run, write};

/// A catalogue of one container with a program that needs an option of the runtime.
const APPS: &str = r#"{"tool": {"apps": {
    "tool 1.0": {"version": "20240101", "exec": "", "apptainer_args": ["--cleanenv"]},
    "showGUI-tool 1.0": {"version": "20240101", "exec": "show 'a b'"}}, "categories": ["statistics"]}}"#;

/// The program, with the runtime that tests use on its search path.
pub(crate) fn with_runtime(env: &TestEnv, runtime: &Path, words: &[&str]) -> Said {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folders = runtime.parent().map(Path::to_owned);
    let program = Path::new(env!("CARGO_BIN_EXE_neurocommand"))
        .parent()
        .unwrap()
        .to_owned();
    let path = std::env::join_paths(
        folders
            .into_iter()
            .chain([program])
            .chain(std::env::split_paths(&old)),
    );
    let output = env
        .command(env!("CARGO_BIN_EXE_neurocommand"))
        .env("PATH", path.unwrap())
        .args(words)
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A root file system with a static shell and a tool that tells what it was called with.
pub(crate) fn image(env: &TestEnv) -> Option<String> {
    let busybox = peer("busybox")?;
    let root = env.work().join("image");
    for folder in [
        "bin", "usr", "etc", "proc", "sys", "dev", "tmp", "root", "home", "var/tmp", "opt/tool",
    ] {
        fs_err::create_dir_all(root.join(folder)).unwrap();
    }
    nd_testkit::copy_program(busybox, root.join("bin/busybox"));
    for name in ["sh", "pwd", "printf", "cat"] {
        fs_err::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let script = "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n";
    let environment = "export PATH=\"/opt/tool:/bin\"\nexport DEPLOY_PATH=\"/opt/tool\"\n";
    for (path, text) in [
        ("opt/tool/show", script),
        (".singularity.d/env/10-docker2singularity.sh", environment),
    ] {
        nd_testkit::program(root.join(path), text);
    }
    Some(root.display().to_string())
}

#[test]
fn a_container_is_found_installed_run_from_its_menu_and_removed() {
    let Some(runtime) = peer("apptainer") else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let Some(image) = image(&env) else { return };
    write(&env, "apps.json", APPS);
    assert!(good(&env, &["search", "tool"]).out.contains("tool"));
    let site = ["--site", "site dir"];
    let words = [
        "install",
        "tool",
        "--from",
        &image,
        "--wrapper-style",
        "script",
    ];
    let said = with_runtime(&env, &runtime, &[&words[..], &site].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    // Exact arguments, the command's own exit code, and nothing but its own output.
    for name in [
        &["tool", "1.0"][..],
        &["tool/1.0"],
        &["tool", "1.0", "20240101"],
        &["tool_1.0_20240101"],
    ] {
        let words = [
            &["run"],
            &site[..],
            name,
            &["show", "a b", "-x", "", "$HOME"],
        ]
        .concat();
        let said = with_runtime(&env, &runtime, &words);
        assert_eq!(
            (said.code, said.out.as_str()),
            (7, "<a b><-x><><$HOME>"),
            "{}",
            said.err
        );
    }
    // The launcher of the menu does the same.
    write(
        &env,
        "site.toml",
        &format!(
            "launcher = [\"neurocommand\", \"run\", \"--site\", \"{}/site dir\"]\n",
            env.work().display()
        ),
    );
    good(
        &env,
        &[
            "menu",
            "build",
            "--prefix",
            "menu",
            "--deployment",
            "site.toml",
        ],
    );
    let old = std::env::var_os("PATH").unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_neurocommand"))
        .parent()
        .unwrap()
        .to_owned();
    let folders = [program, runtime.parent().unwrap().to_owned()];
    let path =
        std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&old))).unwrap();
    let output = env
        .command(env.work().join("menu/bin/showgui-tool-1_0.sh"))
        .env("PATH", path)
        .arg("file name")
        .output()
        .unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).as_ref()
        ),
        (Some(7), "<a b><file name>"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = with_runtime(&env, &runtime, &[&["remove", "tool"], &site[..]].concat());
    assert_eq!(said.code, 0, "{}", said.err);
    let left = files_below(&env.work().join("site dir"));
    assert!(
        left.iter().all(|path| path.starts_with(".state/")),
        "{left:?}"
    );
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_made() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    for (words, code) in [
        (&["run", "tool"][..], 2),
        (&["run", "tol", "1.0", "show"], 2),
        (&["run", "tool", "2.0", "show"], 2),
        (&["install", "nothing-like-it"], 1),
        (&["install", "tool/9"], 2),
    ] {
        let said = run(&env, words);
        assert_eq!(said.code, code, "{words:?}: {}", said.err);
    }
    assert_eq!(files_below(&env.work()), ["apps.json"]);
    let said = good(&env, &["install", "--all", "--dry-run"]);
    assert_eq!(said.out, "tool_1.0_20240101\n");
}

#[test]
fn one_failure_does_not_stop_the_others_and_the_exit_code_tells() {
    let env = TestEnv::new().unwrap();
    write(
        &env,
        "apps.json",
        &APPS.replace(
            "\"statistics\"]}}",
            "\"statistics\"]}, \"other\": {\"apps\": {\"other 1\": {\"version\": \"20240101\"}}}}",
        ),
    );
    let words = [
        "install",
        "--all",
        "--offline",
        "--site",
        "site",
        "--wrapper-style",
        "script",
        "--json",
    ];
    let said = run(&env, &words);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.out
            .contains("\"failed\":[\"tool_1.0_20240101\",\"other_1_20240101\"]"),
        "{}",
        said.out
    );
}
