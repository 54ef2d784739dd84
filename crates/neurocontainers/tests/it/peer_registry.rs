//! Debian's registry, and bases that come from it.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nd_testkit::peer;
use serde_json::{Value, json};

use crate::{build::Fixture, support::BUSYBOX};

/// A running registry; killed when dropped.
pub(crate) struct Registry {
    child: Child,
    _dir: tempfile::TempDir,
    pub(crate) host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one; `None` with a printed reason where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let program = peer("docker-registry")?;
        let dir = tempfile::tempdir().unwrap();
        // The port is free now; nobody else takes it in the moment until the registry does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = port.local_addr().unwrap().to_string();
        drop(port);
        let config = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": dir.path().join("data")}},
            "http": {"addr": host},
        });
        let path = dir.path().join("config.yml");
        fs_err::write(&path, config.to_string()).unwrap();
        let child = Command::new(program)
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Self {
            child,
            _dir: dir,
            host,
        };
        while TcpStream::connect(&running.host).is_err() {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "the registry ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(running)
    }

    /// Pushes the only image of a layout by skopeo.
    pub(crate) fn push(&self, layout: &Path, name: &str) -> Option<()> {
        skopeo(&[
            "copy",
            "--dest-tls-verify=false",
            &format!("oci:{}", layout.display()),
            &format!("docker://{}/{name}", self.host),
        ])
        .map(drop)
    }

    /// A `registries.conf` that puts this registry in the hub's place.
    pub(crate) fn conf(&self, at: &Path) -> String {
        let text = format!(
            "[[registry]]\nprefix = \"docker.io\"\nlocation = \"{0}/hub\"\ninsecure = true\n\
             [[registry]]\nlocation = \"{0}\"\ninsecure = true\n",
            self.host
        );
        fs_err::write(at, text).unwrap();
        at.display().to_string()
    }
}

/// What skopeo prints; `None` with a printed reason where it is not installed.
pub(crate) fn skopeo(args: &[&str]) -> Option<String> {
    let output = Command::new(peer("skopeo")?)
        .arg("--insecure-policy")
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The summary of a build with these words, and what it said.
fn build(fixture: &Fixture, conf: &str, more: &[&str]) -> (Value, String) {
    let words = [&["build", "demo", "--json", "--no-test"][..], more].concat();
    let mut command = fixture.command(&words);
    let output = command.env("CONTAINERS_REGISTRIES_CONF", conf).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap();
    (serde_json::from_str(last).unwrap(), said)
}

#[test]
fn a_recipe_without_bootstrap_stands_on_a_mirror_and_then_on_the_cache() {
    let (Some(fixture), Some(registry)) = (Fixture::new(), Registry::start()) else {
        return;
    };
    fixture.edit(
        "recipes/demo/build.yaml",
        BUSYBOX,
        "base-image: ubuntu:22.04",
    );
    let name = "hub/library/ubuntu:22.04";
    if registry.push(&fixture.base, name).is_none() {
        return;
    }
    let conf = registry.conf(&fixture.env.work().join("registries.conf"));
    let (first, said) = build(&fixture, &conf, &[]);
    let mirror = format!("pulled from `{}/hub/library/ubuntu`", registry.host);
    assert!(said.contains(&mirror), "{said}");
    let record = fs_err::read_to_string(first["release"]["path"].as_str().unwrap()).unwrap();
    assert!(!record.contains(&registry.host), "{record}");
    let record: Value = serde_json::from_str(&record).unwrap();
    let base = &record["artifacts"]["base"];
    assert_eq!(base["kind"], "registry");
    assert_eq!(base["name"], "ubuntu:22.04");
    assert_eq!(base["reference"], "docker.io/library/ubuntu:22.04");
    let from = format!("docker://{}/{name}", registry.host);
    let there = skopeo(&["inspect", "--tls-verify=false", &from]).unwrap();
    let there: Value = serde_json::from_str(&there).unwrap();
    assert_eq!(base["digest"], there["Digest"]);
    assert_eq!(base["index"], there["Digest"]);

    drop(registry);
    let (second, said) = build(&fixture, &conf, &["--offline"]);
    assert!(said.contains("from the cache"), "{said}");
    assert_eq!(second["all_cached"], true, "{second:#}");
    // The same image by another way is the same container.
    let local = format!("{}", fixture.base.display());
    let (third, _) = build(&fixture, &conf, &["--base", &local]);
    assert_eq!(third["tree_full_digest"], first["tree_full_digest"]);
}

#[test]
fn a_registry_that_nobody_configured_has_three_seconds_to_its_first_answer() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/group/app:1", silent.local_addr().unwrap());
    fixture.edit(
        "recipes/demo/build.yaml",
        BUSYBOX,
        &format!("base-image: {name}"),
    );
    let started = Instant::now();
    let output = fixture
        .command(&["build", "demo"])
        .env("CONTAINERS_REGISTRIES_CONF", "/dev/null")
        .output()
        .unwrap();
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("failed to pull base image `{name}`")),
        "{said}"
    );
    assert!(said.contains("there was no answer for 3 s"), "{said}");
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(silent);
}

#[test]
fn ways_to_a_base_that_there_are_not_are_refused() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let ends = |words: &[&str]| {
        let mut command = fixture.command(&[&["build", "demo"][..], words].concat());
        command.env("CONTAINERS_REGISTRIES_CONF", "/dev/null");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = ends(&["--base", "bootstrap"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the recipe does not say what `busybox:latest` is bootstrapped from"),
        "{said}"
    );
    let (code, said) = ends(&["--offline"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the network is off"), "{said}");
}
