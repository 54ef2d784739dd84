//! The registry that Debian ships, filled by skopeo.

use std::path::Path;

use nd_fetch::{
    Network, Retries,
    registry::{Pushed, RegistryError, parse_reference},
};
use nd_names::Sha256;
use nd_oci::{ImageSpec, Layout};
use nd_report::Cancel;
use nd_testkit::{Registry, RegistrySettings, skopeo};
use tempfile::TempDir;

use crate::{
    registry::{Sample, ask, basic, registries},
    support::Bench,
    tls::Authority,
};

/// `me`, `pass word`.
const USERS: &str = "me:$2b$04$l.WI6XlvcNuNLtIcpPd3KuCu9ft2L8CJK6QBSEg9aVS7qJelzoUsm\n";

/// A running registry, and a folder for what it takes and gives.
struct Running {
    _registry: Registry,
    dir: TempDir,
    host: String,
}

/// Starts the registry; `None` with a printed reason where it is not installed.
fn start(authority: Option<&Authority>, users: bool) -> Option<Running> {
    let pem = authority.map(Authority::pem);
    let registry = Registry::start_with(RegistrySettings {
        tls: pem
            .as_ref()
            .map(|(certificate, key)| (&certificate[..], &key[..])),
        users: users.then_some(USERS),
    })?;
    Some(Running {
        host: registry.address().to_owned(),
        _registry: registry,
        dir: tempfile::tempdir().unwrap(),
    })
}

/// The sample as a layout on disk, written by nd-oci.
fn layout(at: &Path, sample: &Sample) -> Layout {
    let layout = Layout::create(at).unwrap();
    let manifest: oci_spec::image::ImageManifest =
        serde_json::from_slice(&sample.manifest).unwrap();
    for layer in &sample.layers {
        layout.put_blob(&layer[..]).unwrap();
    }
    let spec = ImageSpec {
        config: serde_json::from_slice(&sample.config).unwrap(),
        layers: manifest.layers().clone(),
        annotations: std::collections::BTreeMap::new(),
        reference: Some("latest".into()),
    };
    layout.write_image(&spec).unwrap();
    layout
}

fn push(running: &Running, sample: &Sample, tag: &str, options: &[&str]) -> Option<()> {
    let folder = running.dir.path().join(tag);
    layout(&folder, sample);
    let from = format!("oci:{}:latest", folder.display());
    let to = format!("docker://{}/group/app:{tag}", running.host);
    let mut args = vec!["copy", "--dest-tls-verify=false"];
    args.extend(options);
    args.extend([&from[..], &to]);
    skopeo(&args).map(drop)
}

#[test]
fn what_skopeo_pushes_is_pulled_and_is_what_skopeo_pulls() {
    let Some(running) = start(None, false) else {
        return;
    };
    let sample = Sample::new("amd64", &[3_000_000, 10, 200_000]);
    if push(&running, &sample, "latest", &[]).is_none() {
        return;
    }
    // As a Docker manifest, too.
    push(&running, &sample, "docker", &["--format", "v2s2"]).unwrap();
    let mut bench = Bench::new();
    let registries = registries(&bench, &running.host, None);
    for tag in ["latest", "docker"] {
        let name = format!("{}/group/app:{tag}", running.host);
        let pulled = ask(&registries, &name).unwrap();
        assert_eq!(pulled.image.layers.len(), 3);
        let peer = running.dir.path().join("peer");
        let from = format!("docker://{name}");
        let to = format!("dir:{}", peer.display());
        skopeo(&["copy", "--src-tls-verify=false", &from, &to]).unwrap();
        let manifest = fs_err::read(peer.join("manifest.json")).unwrap();
        assert_eq!(Sha256::of(&manifest), pulled.digest);
        for layer in &pulled.image.layers {
            let ours = fs_err::read(bench.store.blob_path(&layer.digest)).unwrap();
            assert_eq!(ours, fs_err::read(peer.join(layer.digest.hex())).unwrap());
        }
        // As a layout it is still the same image, and skopeo agrees.
        let layout = Layout::create(running.dir.path().join("pulled")).unwrap();
        let digest = pulled.image.digest;
        layout.put_image(&bench.store, &digest, Some(tag)).unwrap();
        assert_eq!(layout.image(Some(tag)).unwrap().digest, digest);
        if tag == "docker" {
            // Which skopeo does not look for in a layout.
            continue;
        }
        let from = format!("oci:{}:{tag}", layout.path().display());
        let back = format!("docker://{}/group/back:{tag}", running.host);
        let all = [
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            &from,
            &back,
        ];
        skopeo(&all).unwrap();
        let back = format!("{}/group/back:{tag}", running.host);
        assert_eq!(ask(&registries, &back).unwrap().digest, digest);
    }
    let missing = format!("{}/group/app:missing", running.host);
    let has = |name: &str| registries.has_blocking(&name.parse().unwrap(), &Cancel::default());
    let there = format!("{}/group/app:latest", running.host);
    assert_eq!(
        (has(&there).unwrap(), has(&missing).unwrap()),
        (true, false)
    );
    let error = ask(&registries, &missing).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }), "{error}");

    let host = running.host.clone();
    drop(running);
    let name = format!("{host}/group/app:latest");
    bench.options.retries = Retries {
        attempts: 1,
        ..bench.options.retries
    };
    bench.options.network = Network::Off;
    ask(&crate::registry::registries(&bench, &host, None), &name).unwrap();
}

#[test]
fn what_is_pushed_is_what_skopeo_pulls_and_only_what_is_missing_is_sent() {
    let Some(running) = start(None, false) else {
        return;
    };
    let sample = Sample::new("amd64", &[3_000_000, 10, 200_000]);
    let layout = layout(&running.dir.path().join("from"), &sample);
    let image = layout.image(Some("latest")).unwrap();
    let bench = Bench::new();
    let registries = registries(&bench, &running.host, None);
    let push = |name: &str, from| {
        let reference = format!("{}/{name}", running.host).parse().unwrap();
        let cancel = Cancel::default();
        registries
            .push_blocking(&layout, &image, &reference, from, &cancel)
            .unwrap()
    };
    let counts = |pushed: Pushed| (pushed.sent, pushed.mounted, pushed.there);
    assert_eq!(counts(push("group/app:1", None)), (4, 0, 0));
    assert_eq!(counts(push("group/app:2", None)), (0, 0, 4));
    assert_eq!(counts(push("other:1", Some("group/app"))), (0, 4, 0));
    let peer = running.dir.path().join("peer");
    for name in ["group/app:2", "other:1"] {
        let from = format!("docker://{}/{name}", running.host);
        let to = format!("dir:{}", peer.display());
        if skopeo(&["copy", "--src-tls-verify=false", &from, &to]).is_none() {
            return;
        }
        let manifest = fs_err::read(peer.join("manifest.json")).unwrap();
        assert_eq!(Sha256::of(&manifest), image.digest);
        for layer in &sample.layers {
            let theirs = fs_err::read(peer.join(Sha256::of(layer).hex())).unwrap();
            assert_eq!(&theirs, layer);
        }
    }
}

#[test]
fn a_file_is_attached_to_its_image_once_and_found_again() {
    let Some(running) = start(None, false) else {
        return;
    };
    let sample = Sample::new("amd64", &[1_000]);
    let layout = layout(&running.dir.path().join("from"), &sample);
    let image = layout.image(Some("latest")).unwrap();
    let bench = Bench::new();
    let registries = registries(&bench, &running.host, None);
    let name = format!("{}/group/app:1", running.host);
    let reference = parse_reference(&name).unwrap();
    let cancel = Cancel::default();
    registries
        .push_blocking(&layout, &image, &reference, None, &cancel)
        .unwrap();
    let attach = |kind: &str, bytes: &[u8]| {
        let path = running.dir.path().join("artifact");
        fs_err::write(&path, bytes).unwrap();
        let artifact = nd_fetch::registry::Artifact {
            kind: kind.into(),
            file: fs_err::File::open(&path).unwrap().into_file().into(),
            digest: Sha256::of(bytes),
            title: "a file".into(),
            created: "2026-01-02T00:00:00Z".into(),
        };
        registries
            .attach_blocking(&layout, &image, &artifact, &reference, &cancel)
            .unwrap()
    };
    let (one, other) = (vec![1; 700_000], vec![2; 10]);
    let first = attach("application/x-one+file", &one);
    attach("application/x-other", &other);
    assert_eq!(attach("application/x-one+file", &one), first);
    for (kind, bytes) in [
        ("application/x-one+file", &one),
        ("application/x-other", &other),
    ] {
        let found = registries
            .referrer_blocking(&reference, kind, &cancel)
            .unwrap()
            .unwrap();
        assert_eq!(&fs_err::read(found.path).unwrap(), bytes);
    }
    let none = registries.referrer_blocking(&reference, "application/x-none", &cancel);
    assert!(none.unwrap().is_none());
    // The tag that stands for the API, which this registry does not have, as skopeo reads it.
    let tag = format!(
        "docker://{}/group/app:sha256-{}",
        running.host,
        image.digest.hex()
    );
    let to = format!("dir:{}", running.dir.path().join("tag").display());
    if skopeo(&["copy", "--all", "--src-tls-verify=false", &tag, &to]).is_some() {
        let index = fs_err::read(running.dir.path().join("tag/manifest.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(index["manifests"][0]["digest"], first.oci());
    }
}

#[test]
fn encrypted_and_with_a_password() {
    let authority = Authority::new("ours");
    let Some(running) = start(Some(&authority), true) else {
        return;
    };
    let sample = Sample::new("amd64", &[300_000]);
    let creds = ["--dest-creds", "me:pass word"];
    if push(&running, &sample, "latest", &creds).is_none() {
        return;
    }
    let mut bench = Bench::new();
    bench.options.trust = authority.trust(bench.dir.path());
    let name = format!("{}/group/app:latest", running.host);
    let pull = |bench: &Bench, password: &str| {
        let mut credentials = nd_fetch::registry::Credentials::default();
        credentials.insert(&running.host, basic("me", password));
        let options = nd_fetch::registry::RegistryOptions {
            credentials,
            ..Default::default()
        };
        let registries = nd_fetch::registry::Registries::new(bench.fetcher(), options);
        ask(&registries, &name)
    };
    let error = pull(&bench, "wrong").unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    let pulled = pull(&bench, "pass word").unwrap();
    assert_eq!(pulled.image.layers.len(), 1);
    let mut credentials = nd_fetch::registry::Credentials::default();
    credentials.insert(&running.host, basic("me", "pass word"));
    let options = nd_fetch::registry::RegistryOptions {
        credentials,
        ..Default::default()
    };
    let registries = nd_fetch::registry::Registries::new(bench.fetcher(), options);
    let to = format!("{}/back:latest", running.host).parse().unwrap();
    let pushed = registries
        .push_blocking(&bench.store, &pulled.image, &to, None, &Cancel::default())
        .unwrap();
    assert_eq!(pushed.sent, 2);
    let stranger = Bench::new();
    let error = pull(&stranger, "pass word").unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}
