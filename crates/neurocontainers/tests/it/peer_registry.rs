//! Debian's registry, and bases that come from it.

use std::{net::TcpListener, path::Path};

use nd_testkit::skopeo;
use serde_json::Value;

use crate::{
    build::Fixture,
    support::{BUSYBOX, busybox_layout_with},
};

/// A running registry.
pub(crate) struct Registry {
    _running: nd_testkit::Registry,
    pub(crate) host: String,
}

impl Registry {
    /// Starts one; `None` with a printed reason where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let running = nd_testkit::Registry::start()?;
        let host = running.address().to_owned();
        Some(Self {
            _running: running,
            host,
        })
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

/// Digest of what a name of the registry stands for.
fn digest_of(registry: &Registry, name: &str) -> String {
    let from = format!("docker://{}/{name}", registry.host);
    let there = skopeo(&["inspect", "--tls-verify=false", &from]).unwrap();
    let there: Value = serde_json::from_str(&there).unwrap();
    there["Digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_lock_pins_the_image_of_a_registry() {
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
    let run = |words: &[&str]| {
        let mut command = fixture.command(words);
        let output = command.env("CONTAINERS_REGISTRIES_CONF", &conf).output();
        let output = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let forget = || fs_err::remove_dir_all(fixture.env.cache()).unwrap();
    let lock = || {
        let path = fixture.env.work().join("recipes/demo/recipe.lock");
        fs_err::read_to_string(path).unwrap()
    };
    let first = digest_of(&registry, name);
    let (code, _, said) = run(&["lock", "demo"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        lock().contains(&format!("image = \"{first}\"")),
        "{}",
        lock()
    );
    let (made, _) = build(&fixture, &conf, &["--locked"]);

    // The name moves on; what was locked is still what is built, from an empty cache too.
    let folder = fixture.env.root().join("other");
    let other = busybox_layout_with(&folder, &[("etc/other", "x")]).unwrap();
    registry.push(&other, name).unwrap();
    let second = digest_of(&registry, name);
    assert_ne!(first, second);
    forget();
    let (again, said) = build(&fixture, &conf, &["--locked"]);
    assert!(said.contains(&first) && !said.contains(&second), "{said}");
    assert_eq!(again["image_digest"], made["image_digest"]);
    let (code, out, said) = run(&["lock", "demo", "--check"]);
    assert_eq!((code, out.contains("as locked")), (Some(0), true), "{said}");
    // What is fetched is enough without a network.
    forget();
    let (code, _, said) = run(&["build", "demo", "--locked", "--network", "none"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, _, said) = run(&["fetch", "demo", "--locked"]);
    assert_eq!(code, Some(0), "{said}");
    let offline = ["--locked", "--network", "none"];
    let (again, _) = build(&fixture, &conf, &offline);
    assert_eq!(again["image_digest"], made["image_digest"]);

    // Another image in its place is refused, and taken when that is wished.
    let local = other.to_str().unwrap();
    let (code, _, said) = run(&["build", "demo", "--locked", "--base", local]);
    assert_eq!(code, Some(1), "{said}");
    let differs = format!("~ base ubuntu:22.04: {first}, layers ");
    assert!(said.contains(&differs), "{said}");
    let (code, out, said) = run(&["lock", "demo", "--update"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains(&differs) && out.contains(&second), "{out}");
    assert!(lock().contains(&second), "{}", lock());
    // The same layers in other bytes are another image of that registry.
    let plain = format!("dir:{}", fixture.env.work().join("plain").display());
    let to = format!("docker://{}/{name}", registry.host);
    let from = format!("oci:{local}");
    skopeo(&["copy", "--dest-decompress", &from, &plain]).unwrap();
    skopeo(&["copy", "--dest-tls-verify=false", &plain, &to]).unwrap();
    let third = digest_of(&registry, name);
    assert_ne!(second, third);
    let (code, out, said) = run(&["lock", "demo", "--update"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(out.contains(&second) && out.contains(&third), "{out}");
    // What did not change is not written again.
    let path = fixture.env.work().join("recipes/demo/recipe.lock");
    let before = fs_err::metadata(&path).unwrap().modified().unwrap();
    let (_, out, said) = run(&["lock", "demo", "--update"]);
    assert!(out.contains("nothing changed"), "{out}{said}");
    let after = fs_err::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(before, after);

    // Where nobody has what was locked, nothing else is taken.
    let empty = Registry::start().unwrap();
    empty.push(&fixture.base, name).unwrap();
    let conf = empty.conf(&fixture.env.work().join("registries.conf"));
    forget();
    let mut command = fixture.command(&["build", "demo", "--locked"]);
    let output = command.env("CONTAINERS_REGISTRIES_CONF", &conf).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is not in its registry"), "{said}");
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
    let output = fixture
        .command(&["build", "demo"])
        .env("CONTAINERS_REGISTRIES_CONF", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("failed to pull base image `{name}`")),
        "{said}"
    );
    assert!(said.contains("there was no answer for 3 s"), "{said}");
    // It was asked once.
    silent.set_nonblocking(true).unwrap();
    assert_eq!(silent.incoming().map_while(Result::ok).count(), 1);
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
