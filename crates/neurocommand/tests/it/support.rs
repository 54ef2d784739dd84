//! What several tests use.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use nd_squashfs::WriteOptions;
use nd_testkit::TestEnv;

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program in `env` with `words`.
pub(crate) fn run(env: &TestEnv, words: &[&str]) -> Said {
    let output = env
        .command(env!("CARGO_BIN_EXE_neurocommand"))
        .args(words)
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program and expects success.
pub(crate) fn good(env: &TestEnv, words: &[&str]) -> Said {
    let said = run(env, words);
    assert_eq!(said.code, 0, "{words:?}: {}{}", said.out, said.err);
    said
}

/// Writes a file below the working directory.
pub(crate) fn write(env: &TestEnv, path: &str, text: &str) -> PathBuf {
    let path = env.work().join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, text).unwrap();
    path
}

/// Reads a file below the working directory.
pub(crate) fn read(env: &TestEnv, path: &str) -> String {
    fs_err::read_to_string(env.work().join(path)).unwrap()
}

/// A small catalogue with everything that entries can have.
pub(crate) const APPS: &str = r#"{
    "abc": {
        "apps": {
            "abc 1.0": {"version": "20240131", "exec": "", "apptainer_args": []},
            "viewGUI-abc 1.0": {"version": "20240131", "exec": "abcview --big 'a b'", "apptainer_args": ["--nv"]}
        },
        "categories": ["visualization", "data organisation"]
    },
    "cat12": {
        "apps": {
            "cat12 12.9": {"version": "20240202", "exec": ""},
            "cat12GUI-cat12 12.9": {"version": "20240202", "exec": "bash run.sh /opt/mcr/v93/"}
        },
        "categories": ["structural imaging", "other"]
    },
    "lite": {
        "show_in_menu": false,
        "show_in_applist": false,
        "apps": {"lite 20260428": {"version": "20260813", "exec": ""}},
        "categories": ["programming"]
    },
    "office": {
        "apps": {
            "office 7.0": {"version": "20240303", "exec": ""},
            "writerGUI-office 7.0": {"version": "20240303", "exec": "lowriter", "terminal": false},
            "hiddenGUI-office 7.0": {"version": "20240303", "exec": "x", "show_in_menu": false}
        },
        "categories": ["workflows"]
    }
}"#;

/// The bytes of a squashfs image with a script `show` in its folder of commands, which says `text`.
pub(crate) fn image(env: &TestEnv, text: &str) -> Vec<u8> {
    let root = format!("root of {text}");
    for (path, text) in [
        ("opt/tool/show", format!("#!/bin/sh\necho {text}\n")),
        (
            ".singularity.d/env/10-docker2singularity.sh",
            "export PATH=\"/opt/tool:/bin\"\nexport DEPLOY_PATH=\"/opt/tool\"\n".to_owned(),
        ),
    ] {
        nd_testkit::program(env.work().join(&root).join(path), text);
    }
    squashfs(&env.work().join(root))
}

/// The bytes of the squashfs image of a folder.
pub(crate) fn squashfs(root: &Path) -> Vec<u8> {
    let (index, mut contents) = nd_oci::read_directory(root).unwrap();
    let mut out = Cursor::new(Vec::new());
    nd_squashfs::write(&index, &mut contents, &mut out, &WriteOptions::default()).unwrap();
    out.into_inner()
}

/// Every file below `folder`, as paths below it, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(
                    entry
                        .path()
                        .strip_prefix(folder)
                        .unwrap()
                        .display()
                        .to_string(),
                );
            }
        }
    }
    found.sort();
    found
}
