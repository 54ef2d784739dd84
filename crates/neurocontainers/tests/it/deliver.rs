//! Images in every form and place, judged by skopeo and umoci.

use std::path::Path;

use nd_fetch::{
    FetchOptions, Fetcher,
    registry::{Registries, RegistryOptions},
};
use nd_oci::Layout;
use nd_report::Cancel;
use nd_store::Store;
use nd_testkit::{peer, skopeo};
use neurocontainers::output::SIF_ARTIFACT;
use serde_json::Value;

use crate::{build::Fixture, peer_registry::Registry, support::busybox_layout_with};

fn convert(fixture: &Fixture, conf: &str, from: &str, to: &str) -> Value {
    let mut command = fixture.command(&["convert", from, to, "--json"]);
    let output = command.env("CONTAINERS_REGISTRIES_CONF", conf).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{from} to {to}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_image_goes_from_every_form_into_every_form_and_keeps_its_tree() {
    let (Some(fixture), Some(registry)) = (Fixture::new(), Registry::start()) else {
        return;
    };
    let conf = registry.conf(&fixture.env.work().join("registries.conf"));
    let base = format!("oci:{}", fixture.base.display());
    let tree = convert(&fixture, &conf, &base, "first.sif")["tree"].clone();
    let forms = |n: usize| {
        [
            format!("oci:o{n}"),
            format!("oci-archive:o{n}.tar"),
            format!("docker-archive:d{n}.tar"),
            format!("sif:s{n}.sif"),
            format!("dir:p{n}"),
            format!("registry:{}/group/app{n}:1", registry.host),
        ]
    };
    let sources = forms(0);
    for to in &sources {
        assert_eq!(convert(&fixture, &conf, &base, to)["tree"], tree, "{to}");
    }
    for (n, from) in sources.iter().enumerate() {
        for to in forms(n + 1) {
            let made = convert(&fixture, &conf, from, &to);
            assert_eq!(made["tree"], tree, "{from} to {to}");
        }
    }
    // What peers make of what came from a SIF, which has gone the longest way.
    let at = |name: &str| fixture.env.work().join(name).display().to_string();
    for place in [
        format!("oci:{}", at("o4")),
        format!("oci-archive:{}", at("o4.tar")),
        format!("docker-archive:{}", at("d4.tar")),
        format!("dir:{}", at("p4")),
        format!("docker://{}/group/app4:1", registry.host),
    ] {
        let Some(text) = skopeo(&["inspect", "--tls-verify=false", "--config", &place]) else {
            return;
        };
        let config: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["config"]["Env"][0], "PATH=/bin:/usr/bin", "{place}");
        assert_eq!(config["config"]["Cmd"][0], "/.singularity.d/runscript");
        let to = format!("dir:{}", at("peer"));
        skopeo(&["copy", "--src-tls-verify=false", &place, &to]).unwrap();
    }
    let Some(umoci) = peer("umoci") else { return };
    let output = std::process::Command::new(umoci)
        .args(["unpack", "--rootless", "--image"])
        .args([format!("{}:latest", at("o4")), at("bundle")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(Path::new(&at("bundle/rootfs/bin/busybox")).is_file());
}

#[test]
fn what_is_no_image_is_left_alone() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let mine = fixture.env.work().join("mine");
    fs_err::create_dir(&mine).unwrap();
    fs_err::write(mine.join("thesis.tex"), "years").unwrap();
    let base = format!("oci:{}", fixture.base.display());
    for to in ["oci:mine", "dir:mine"] {
        let output = fixture.command(&["convert", &base, to]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("is left alone"), "{said}");
    }
    let names: Vec<_> = fs_err::read_dir(&mine).unwrap().collect();
    assert_eq!(names.len(), 1);
}

/// Names in a folder, which may not be there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Removes a file or a folder, if it is there.
fn remove_any(path: &Path) {
    if path.is_dir() {
        fs_err::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs_err::remove_file(path).unwrap();
    }
}

#[test]
fn what_a_killed_conversion_left_is_removed_by_the_next() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    // Enough bytes that writing takes a while.
    let mut state = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + (state >> 58) as u8)
    })
    .take(24 << 20)
    .collect();
    let folder = fixture.env.root().join("large");
    let layout = busybox_layout_with(&folder, &[("opt/noise", &noise)]).unwrap();
    let from = format!("oci:{}", layout.display());
    let out = fixture.env.work().join("made");
    let mut made: Vec<String> = Vec::new();
    for (kind, name) in [
        ("oci", "layout"),
        ("dir", "plain"),
        ("oci-archive", "archive.tar"),
        ("docker-archive", "docker.tar"),
        ("sif", "image.sif"),
    ] {
        let to = format!("{kind}:made/{name}");
        let words = fixture.command(&["convert", &from, &to, "--quiet"]);
        let mut command = std::process::Command::new(words.get_program());
        command.args(words.get_args()).env_clear();
        let set = words
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?)));
        command
            .envs(set)
            .current_dir(words.get_current_dir().unwrap());
        // It is begun again when it was over before this test had another look.
        for round in 0.. {
            assert!(round < 20, "{to}: nothing was seen of it");
            let mut child = command.spawn().unwrap();
            while names(&out).len() == made.len() && child.try_wait().unwrap().is_none() {}
            child.kill().unwrap();
            child.wait().unwrap();
            let left = names(&out);
            let half = left.iter().any(|name| name.starts_with('.'));
            if half && !left.contains(&name.to_owned()) {
                break;
            }
            remove_any(&out.join(name));
        }
        assert!(command.status().unwrap().success());
        made.push(name.to_owned());
        made.sort();
        assert_eq!(names(&out), made, "{to}");
    }
}

#[test]
fn a_build_goes_to_a_registry_with_its_sif() {
    let (Some(fixture), Some(registry)) = (Fixture::new(), Registry::start()) else {
        return;
    };
    let conf = registry.conf(&fixture.env.work().join("registries.conf"));
    let name = format!("{}/neurodesk/demo:1", registry.host);
    let to = format!("registry:{name}");
    let base = fixture.base.to_str().unwrap();
    let words = [
        "build",
        "demo",
        "--json",
        "--base",
        base,
        "--output",
        &to,
        "--output",
        "sif:copy.sif",
        "--output",
        "oci-archive:demo.tar",
    ];
    let mut command = fixture.command(&words);
    let output = command.env("CONTAINERS_REGISTRIES_CONF", &conf).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let summary: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let outputs = summary["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 3);
    assert_eq!(outputs[0]["path"], to);
    assert_eq!(outputs[0]["digest"], summary["image_digest"]);
    assert_eq!(outputs[1]["digest"], summary["sif"]["digest"]);
    let archive = fs_err::File::open(fixture.env.work().join("demo.tar")).unwrap();
    let read = Layout::unpack_archive(archive, fixture.env.work().join("read")).unwrap();
    let digest = read.image(Some("1.0.0_20260102")).unwrap().digest;
    assert_eq!(summary["image_digest"], digest.oci());

    // Whoever asks for the SIF of the image gets it.
    let store = Store::open(fixture.env.work().join("other-store")).unwrap();
    let silent = std::sync::Arc::new(nd_report::Silent);
    let fetcher = Fetcher::new(FetchOptions::default(), store, silent);
    let options = RegistryOptions {
        plain_http: vec![registry.host.clone()],
        ..RegistryOptions::default()
    };
    let registries = Registries::new(fetcher, options);
    let reference = name.parse().unwrap();
    let found = registries.referrer_blocking(&reference, SIF_ARTIFACT, &Cancel::default());
    let found = found.unwrap().unwrap();
    assert_eq!(summary["sif"]["digest"], found.digest.oci());
    let from = format!("docker://{name}");
    let Some(text) = skopeo(&["inspect", "--tls-verify=false", &from]) else {
        return;
    };
    let there: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(there["Digest"], summary["image_digest"]);
}
