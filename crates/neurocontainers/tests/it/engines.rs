//! One recipe through several engines.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nd_testkit::peer;
use serde_json::Value;

use crate::{
    build::{DIRECTIVES, Fixture},
    people::{Kind, Place, slow},
    support::{BUSYBOX, busybox_layout},
};

/// Builds in a folder of its own, with the engine on the search path; the summary.
fn build(fixture: &Fixture, engine: &str) -> Result<Value, (Option<i32>, String)> {
    build_with(fixture, engine, &[])
}

/// The same with these variables.
fn build_with(
    fixture: &Fixture,
    engine: &str,
    variables: &[(&str, String)],
) -> Result<Value, (Option<i32>, String)> {
    let base = fixture.base.to_str().unwrap();
    let out = format!("out-{engine}");
    let mut command = fixture.command(&[
        "build",
        "demo",
        "--json",
        "--base",
        base,
        "--engine",
        engine,
        "--output-root",
        &out,
    ]);
    if let Some(apptainer) = peer("apptainer") {
        let own = apptainer.parent().unwrap().to_path_buf();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(own).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path).unwrap());
    }
    command.envs(variables.iter().cloned());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err((output.status.code(), said));
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(serde_json::from_str(stdout.lines().last().unwrap()).unwrap())
}

fn passes(summary: &Value) {
    let tests = summary["tests"].as_array().unwrap();
    assert!(!tests.is_empty());
    assert!(tests.iter().all(|suite| suite["failed"] == 0), "{tests:?}");
}

#[test]
fn buildah_builds_the_same_tree() {
    let (Some(fixture), Some(_)) = (Fixture::new(), peer("buildah")) else {
        return;
    };
    let ours = build(&fixture, "embedded").unwrap();
    let theirs = build(&fixture, "buildah").unwrap();
    passes(&theirs);
    let layout = |summary: &Value| summary["oci"]["path"].as_str().unwrap().to_owned();
    let output = fixture
        .command(&["diff", &layout(&ours), &layout(&theirs)])
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(theirs["tree_digest"], ours["tree_digest"]);
    // Nothing of ours stays mounted.
    let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap();
    let cache = fixture.env.cache().display().to_string();
    assert!(!mounts.contains(&cache), "{mounts}");
}

/// Apptainer needs a range of ids to be root of what it builds.
#[test]
fn apptainer_builds_the_same_tree_for_a_user_with_a_range_of_ids() {
    let Some(place) = Place::new() else { return };
    let Some(base) = busybox_layout(place.folder.path()) else {
        return;
    };
    let text = crate::support::recipe(BUSYBOX, DIRECTIVES, "path: [/opt/demo]");
    let person = place.person(Kind::Ranged, &text, "");
    let Some(apptainer) = person.apptainer(&[]) else {
        return;
    };
    let base = base.to_str().unwrap();
    let recipe = person.home.join("repo/recipes/demo");
    fs_err::write(recipe.join("data.txt"), "some data\n").unwrap();
    let ours = person.build(&["--base", base]);
    // This copy's own helpers are for another system; those of the machine stand in.
    let prefix = Path::new(apptainer.get_program())
        .parent()
        .unwrap()
        .to_path_buf();
    assert!(prefix.starts_with(place.folder.path()));
    for helper in ["newuidmap", "newgidmap"] {
        let _ = fs_err::remove_file(prefix.join(helper));
        let own = Path::new("/usr/bin").join(helper);
        std::os::unix::fs::symlink(own, prefix.join(helper)).unwrap();
    }
    let mut command = person.command(&["build", "demo", "--json", "--base", base]);
    command.args(["--engine", "apptainer"]);
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        prefix.display()
    );
    let output = command.env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let theirs: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let first = &theirs["steps"][0]["title"];
    assert_eq!(first, "layer 1 by an engine of the machine");
    assert_eq!(theirs["tree_digest"], ours["tree_digest"]);
}

/// Every recipe of this repository by buildah, its tests and what differs from our own build. Takes
/// minutes.
#[test]
fn buildah_builds_every_recipe() {
    if !slow() || peer("buildah").is_none() {
        return;
    }
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let out = fixture.env.work().join("made");
    let build = |folder: &Path, engine: &str| -> Value {
        let words = [
            "build",
            folder.to_str().unwrap(),
            "--json",
            "--engine",
            engine,
        ];
        let mut command = fixture.command(&words);
        let output = command.arg("--output-root").arg(out.join(engine)).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{engine}: {said}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
    };
    let mut built = 0;
    for entry in fs_err::read_dir(recipes).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.join("build.yaml").is_file() {
            continue;
        }
        let (ours, theirs) = (build(&folder, "embedded"), build(&folder, "buildah"));
        passes(&theirs);
        let sides = [&ours, &theirs].map(|summary| summary["oci"]["path"].as_str().unwrap());
        let words = ["diff", sides[0], sides[1]];
        let output = fixture.command(&words).output().unwrap();
        // For whoever reads the log: scripts of packages write times and logs, which we remove.
        println!(
            "{}\n{}",
            folder.display(),
            String::from_utf8_lossy(&output.stdout)
        );
        fs_err::remove_dir_all(&out).unwrap();
        built += 1;
    }
    assert!(built >= 3, "{built}");
}

/// A daemon of Docker with a folder and a socket of its own; it ends with this value.
struct Daemon {
    child: Child,
    folder: tempfile::TempDir,
}

/// The control group of what a daemon runs.
fn control_group() -> String {
    format!("/nd-docker-{}", std::process::id())
}

impl Daemon {
    /// Starts one that leaves the machine's network alone; `None` with a printed reason where that
    /// cannot be.
    fn start() -> Option<Self> {
        let (program, unshare) = (peer("dockerd")?, peer("unshare")?);
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can start a daemon of Docker");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let log = fs_err::File::create(at("log")).unwrap();
        // Mounts of its own: it leaves one of a network behind.
        let child = Command::new(unshare)
            .arg("--mount")
            .arg(program)
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--ip-forward=false", "--ip-masq=false"])
            .args(["--storage-driver", "overlay2"])
            .args(["--cgroup-parent", &control_group()])
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("run"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg("--host")
            .arg(format!("unix://{}", at("socket").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_file())
            .spawn()
            .unwrap();
        let mut daemon = Self { child, folder };
        while UnixStream::connect(daemon.folder.path().join("socket")).is_err() {
            let log = fs_err::read_to_string(daemon.folder.path().join("log")).unwrap();
            assert!(daemon.child.try_wait().unwrap().is_none(), "{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(daemon)
    }

    /// How its client finds it, Debian's before any other.
    fn variables(&self) -> [(&'static str, String); 2] {
        let socket = self.folder.path().join("socket");
        [
            ("DOCKER_HOST", format!("unix://{}", socket.display())),
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ]
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked to end, it ends what it started, and leaves its control groups.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
        let all = fs_err::read_dir("/sys/fs/cgroup").into_iter().flatten();
        let folders = all.flatten().map(|entry| entry.path());
        for folder in folders.chain([PathBuf::from("/sys/fs/cgroup")]) {
            let _ = fs_err::remove_dir(folder.join(&control_group()[1..]));
        }
    }
}

/// The real daemon, which has no BuildKit.
#[test]
fn docker_builds_the_same_tree_of_a_recipe_that_mounts_nothing() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let Some(daemon) = Daemon::start() else {
        return;
    };
    let variables = daemon.variables();
    let (code, said) = build_with(&fixture, "docker", &variables).unwrap_err();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Docker needs BuildKit"), "{said}");
    fixture.edit(
        "recipes/demo/build.yaml",
        "cp {{ get_file(\"greeting\") }} /opt/demo/greeting",
        "printf 'hello from a file' > /opt/demo/greeting",
    );
    let ours = build(&fixture, "embedded").unwrap();
    let theirs = build_with(&fixture, "docker", &variables).unwrap();
    passes(&theirs);
    assert_eq!(theirs["tree_digest"], ours["tree_digest"]);
    let root = daemon.folder.path().display().to_string();
    drop(daemon);
    let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&root), "{mounts}");
}

/// A Docker without BuildKit, which is asked whether it has it and for nothing else.
#[test]
fn docker_without_buildkit_is_refused_a_recipe_that_mounts_files() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let programs = fixture.env.work().join("programs");
    fs_err::create_dir(&programs).unwrap();
    let (docker, log) = (programs.join("docker"), programs.join("log"));
    let text = format!("#!/bin/sh\necho \"$*\" >> {}\nexit 1\n", log.display());
    nd_testkit::program(&docker, text);
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--base", base, "--engine", "docker"];
    let build = || {
        let path = format!("{}:/usr/bin:/bin", programs.display());
        let output = fixture.command(&words).env("PATH", path).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = build();
    assert!(said.contains("Docker needs BuildKit"), "{said}");
    assert_eq!(fs_err::read_to_string(&log).unwrap(), "buildx version\n");
    // One that mounts nothing goes on: to a daemon, which this one has not.
    fixture.edit(
        "recipes/demo/build.yaml",
        "cp {{ get_file(\"greeting\") }} /opt/demo/greeting",
        "echo hello > /opt/demo/greeting",
    );
    let said = build();
    assert!(!said.contains("BuildKit"), "{said}");
    let asked = fs_err::read_to_string(&log).unwrap();
    assert!(
        asked.lines().nth(2).unwrap().starts_with("load --input "),
        "{asked}"
    );
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let base = fixture.base.to_str().unwrap();
    let nothing = fixture.env.work().join("no-programs");
    fs_err::create_dir(&nothing).unwrap();
    let output = fixture
        .command(&["build", "demo", "--base", base, "--engine", "buildkit"])
        .env("PATH", &nothing)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("there is no `buildctl`"), "{said}");
    let output = fixture
        .command(&[
            "build", "demo", "--engine", "buildah", "--until", "1", "--base", base,
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
