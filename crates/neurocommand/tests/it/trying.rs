//! Containers of a catalogue, installed, run and removed in a folder of their own.

use std::{path::Path, process::Command};

use nd_testkit::{TestEnv, peer};

use crate::{
    running::{image, with_runtime},
    support::{files_below, run, squashfs, write},
};

fn git(env: &TestEnv, words: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
        .args(words)
        .current_dir(env.work())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_has_changed_since_a_revision_is_tried_and_the_rest_is_not() {
    let (Some(runtime), Some(_git)) = (peer("apptainer"), peer("git")) else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let Some(root) = image(&env) else { return };
    let built = env.work().join("built");
    fs_err::create_dir(&built).unwrap();
    fs_err::write(
        built.join("tool_2.0_20240202.simg"),
        squashfs(Path::new(&root)),
    )
    .unwrap();
    let old = r#"{"tool": {"apps": {"tool 1.0": {"version": "20240101"}}}}"#;
    write(&env, "apps.json", old);
    for words in [
        &["init", "--quiet"][..],
        &["add", "apps.json"],
        &["commit", "--quiet", "-m", "one"],
    ] {
        git(&env, words);
    }
    let new = old.replace("}}}}", "}, \"tool 2.0\": {\"version\": \"20240202\"}}}}");
    write(&env, "apps.json", &new);
    let words = [
        "catalogue",
        "test-install",
        "--from",
        "built",
        "--wrapper-style",
        "script",
        "--json",
        "--changed-since",
    ];
    let since = |more: &[&str]| with_runtime(&env, &runtime, &[&words[..], more].concat());
    let said = since(&["HEAD"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("\"passed\":[\"tool_2.0_20240202\"]"),
        "{}",
        said.out
    );
    assert!(said.err.contains("found `show` in it"), "{}", said.err);
    // Nothing of it is installed for anybody.
    assert_eq!(files_below(&env.root().join("home")), [""; 0]);

    // An image whose commands cannot be run fails, and the others are tried all the same.
    fs_err::write(
        built.join("tool_3.0_20240303.simg"),
        crate::support::image(&env, "no shell"),
    )
    .unwrap();
    write(
        &env,
        "apps.json",
        &new.replace("}}}}", "}, \"tool 3.0\": {\"version\": \"20240303\"}}}}"),
    );
    let said = since(&["HEAD"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let wanted = "\"passed\":[\"tool_2.0_20240202\"],\"failed\":[\"tool_3.0_20240303\"]";
    assert!(said.out.contains(wanted), "{}", said.out);
    for revision in ["no-such", "--output=x"] {
        let value = format!("--changed-since={revision}");
        let said = run(&env, &["catalogue", "test-install", &value]);
        assert!(matches!(said.code, 1 | 2), "{}", said.err);
    }
}
