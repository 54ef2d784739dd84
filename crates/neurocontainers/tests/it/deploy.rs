//! The deploy check over trees of real programs of this machine.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use nd_oci::read_directory;
use nd_records::{TestReport, TestStatus};
use neurocontainers::check::deploy_check;

/// A root with this machine's shell and all it needs.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        root.copy("/bin/sh", "bin/sh");
        // What the loader itself lists is what the check has to find.
        let listed = std::process::Command::new("ldd").arg("/bin/sh").output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        for word in listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            root.copy(word, word.trim_start_matches('/'));
        }
        root
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn copy(&self, from: &str, to: &str) {
        nd_testkit::copy_program(from, self.path().join(to));
    }

    fn file(&self, path: &str, content: &str, mode: u32) {
        let path = self.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    fn check(&self, bins: &str, paths: &str) -> TestReport {
        let env = [
            ("PATH", "/bin:/opt/bin"),
            ("DEPLOY_BINS", bins),
            ("DEPLOY_PATH", paths),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (index, mut contents) = read_directory(self.path()).unwrap();
        deploy_check(&index, &mut contents, &env, true, "tree").unwrap()
    }
}

fn failures(report: &TestReport) -> Vec<&str> {
    let failed = report
        .cases
        .iter()
        .filter(|case| case.status == TestStatus::Failed);
    failed.map(|case| case.name.as_str()).collect()
}

#[test]
fn commands_that_everybody_can_run_pass() {
    let root = Root::new();
    root.file("opt/bin/script", "#!/bin/sh\necho\n", 0o755);
    root.file("opt/bin/by-env", "#!/usr/bin/env -S A=1 sh\n", 0o755);
    root.file("usr/bin/env", "#!/bin/sh\n", 0o755);
    root.file("opt/bin/data", "no program", 0o644);
    symlink("/bin/sh", root.path().join("opt/bin/link")).unwrap();
    let report = root.check("sh:script:by-env:/opt/bin/link", "/opt/bin");
    assert_eq!(failures(&report), Vec::<&str>::new(), "{report:#?}");
    assert!(report.count(TestStatus::Passed) >= 8, "{report:#?}");
}

#[test]
fn each_thing_that_is_wrong_is_named() {
    let root = Root::new();
    root.file("opt/bin/private", "#!/bin/sh\n", 0o700);
    root.file("opt/bin/headless", "#!/no/such\n", 0o755);
    root.file("opt/bin/snake", "#!/usr/bin/env python3\n", 0o755);
    root.file("usr/bin/env", "#!/bin/sh\n", 0o755);
    root.file("opt/closed/tool", "#!/bin/sh\n", 0o755);
    let closed = root.path().join("opt/closed");
    fs_err::set_permissions(closed, Permissions::from_mode(0o750)).unwrap();
    let report = root.check(
        "private:headless:snake:absent:/opt/closed/tool",
        "/opt/none",
    );
    assert_eq!(
        failures(&report),
        [
            "file.access.arbitrary_user:/opt/bin/private",
            "deploy_bin:absent",
            "path.access:/opt/closed/tool",
            "deploy_dir:/opt/none",
            "script.interpreter:/opt/bin/headless:/no/such",
            "script.interpreter:/opt/bin/snake:python3",
        ],
        "{report:#?}"
    );
}

#[test]
fn a_missing_library_or_loader_fails() {
    let root = Root::new();
    let mut removed = Vec::new();
    for entry in walk(root.path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("libc.so") || name.starts_with("ld-linux") {
            fs_err::remove_file(&entry).unwrap();
            removed.push(name);
        }
    }
    assert_eq!(removed.len(), 2, "{removed:?}");
    let report = root.check("sh", "");
    let failed = failures(&report);
    assert!(failed.contains(&"ldd:/bin/sh:libc.so.6"), "{failed:?}");
    assert!(
        failed.iter().any(|name| name.contains("ld-linux")),
        "{failed:?}"
    );
}

#[test]
fn promising_nothing_is_a_failure_only_if_the_recipe_promises() {
    let (index, mut contents) = read_directory(Root::new().path()).unwrap();
    let mut status = |declared| {
        let report = deploy_check(&index, &mut contents, &[], declared, "tree").unwrap();
        report.cases[0].status
    };
    assert_eq!(status(true), TestStatus::Failed);
    assert_eq!(status(false), TestStatus::Skipped);
}

fn walk(root: &Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                out.push(path);
            }
        }
    }
    out
}
