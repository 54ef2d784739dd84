//! What a recording takes down, and changes that are kept from one command to the next.

use std::os::unix::fs::symlink;

use nd_runtime::{RunSpec, Runtime as _};

use crate::image::Image;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_recording_holds_every_path_that_was_looked_at", looked_at),
    ("commands_see_what_those_before_them_changed", kept),
];

fn looked_at() {
    let image = Image::new();
    let below = image.folder.path().join("below");
    fs_err::create_dir_all(below.join("data/deep")).unwrap();
    for name in ["read", "tested", "other", "deep/relative", "deep/never"] {
        fs_err::write(below.join("data").join(name), name).unwrap();
    }
    symlink("../data/read", below.join("data/link")).unwrap();
    symlink("/data/deep", below.join("data/way")).unwrap();
    let script = below.join("bin/script");
    nd_testkit::program(&script, "#!/bin/interpreter\n");
    symlink("sh", below.join("bin/interpreter")).unwrap();

    let runtime = image.sandbox(Some("ann")).keeping_changes();
    let spec = RunSpec::new([
        "sh",
        "-c",
        "cat /data/link; test -e /data/tested; test -e /data/missing; cd /data/way; \
         (cat relative & wait); /bin/script; exec ls /data >/dev/null",
    ]);
    let (output, recorded) = runtime.record(&spec, &mut |_, _| {}).unwrap();
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(output.stdout, b"readdeep/relative");
    assert_eq!(recorded.missed, 0);
    let has = |path: &str| recorded.paths.contains(path.as_bytes());
    for path in [
        "/bin/sh",
        "/bin/busybox",
        "/data/link",
        "/data/read",
        "/data/tested",
        "/data/missing",
        "/data/way",
        "/data/deep/relative",
        "/bin/script",
        "/bin/interpreter",
        "/data",
    ] {
        assert!(has(path), "{path}: {recorded:?}");
    }
    assert!(!has("/data/deep/never"), "{recorded:?}");

    // Through a symlink that the command itself made, from a program that changed its root.
    let spec = RunSpec::new([
        "sh",
        "-c",
        "ln -s /data /tmp/mine 2>/dev/null || exit 7; cat /tmp/mine/other",
    ]);
    let runtime = image.sandbox(None);
    let (output, recorded) = runtime.record(&spec, &mut |_, _| {}).unwrap();
    assert_eq!(output.stdout, b"other", "{output:?}");
    assert!(recorded.paths.contains(&b"/data/other"[..]), "{recorded:?}");
}

fn kept() {
    let image = Image::new();
    let runtime = image.sandbox(None).keeping_changes();
    let run = |script: &str| {
        let spec = RunSpec::new(["sh", "-c", script]);
        runtime.run(&spec, &mut |_, _| {}).unwrap()
    };
    assert_eq!(run("echo one > /etc/mine; rm /etc/group; true").status, 0);
    assert_eq!(run("cat /etc/mine; echo two >> /etc/mine").stdout, b"one\n");
    let output = run("cat /etc/mine; ls /etc/group 2>&1 >/dev/null | wc -l");
    assert_eq!(output.stdout, b"one\ntwo\n1\n");
    // Another runtime of the same image sees nothing of it.
    let other = image.sandbox(None);
    let spec = RunSpec::new(["sh", "-c", "test -e /etc/mine; echo $?; ls /etc/group"]);
    let output = other.run(&spec, &mut |_, _| {}).unwrap();
    assert_eq!(output.stdout, b"1\n/etc/group\n");
}
