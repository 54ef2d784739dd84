//! Files attached to an image in a registry with the referrers API of OCI 1.1, which Debian's is not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use nd_fetch::registry::{Artifact, Reference, RegistryError};
use nd_names::Sha256;
use nd_report::Cancel;
use serde_json::{Value, json};

use crate::{
    push::stored,
    registry::{Sample, registries},
    server::{Server, empty, part, whole},
    support::Bench,
};

/// Blobs by path, and manifests by path.
type Kept = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A registry that keeps what it is given in `kept`, and lists all artifacts of an image, whatever type
/// is asked for: whether it heeds that is up to it.
fn server(kept: &Kept) -> Server {
    let kept = kept.clone();
    Server::start(move |asked, out| {
        let mut kept = kept.lock().unwrap();
        let path = asked.target.split('?').next().unwrap();
        let (folder, name) = path.rsplit_once('/').unwrap();
        match &asked.method[..] {
            "HEAD" if kept.contains_key(path) => empty(out, "200 OK", &[]),
            "HEAD" => empty(out, "404 Not Found", &[]),
            "POST" => {
                let to = format!("Location: /v2/group/app/blobs/uploads/{}", asked.n);
                empty(out, "202 Accepted", &[&to])
            }
            "PUT" => {
                let digest = Sha256::of(&asked.body).oci();
                if folder.ends_with("/manifests") {
                    kept.insert(format!("{folder}/{name}"), asked.body.clone());
                    kept.insert(format!("{folder}/{digest}"), asked.body.clone());
                } else {
                    kept.insert(format!("/v2/group/app/blobs/{digest}"), asked.body.clone());
                }
                let has = format!("Docker-Content-Digest: {digest}");
                empty(out, "201 Created", &[&has])
            }
            _ if folder.ends_with("/referrers") => {
                let artifacts = kept.iter().filter_map(|(at, bytes)| {
                    let digest = at.split_once("/manifests/sha256:")?.1;
                    let manifest: Value = serde_json::from_slice(bytes).unwrap();
                    (manifest["subject"]["digest"] == name).then(|| {
                        json!({
                            "mediaType": manifest["mediaType"],
                            "artifactType": manifest["artifactType"],
                            "digest": format!("sha256:{digest}"),
                            "size": bytes.len(),
                        })
                    })
                });
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": artifacts.collect::<Vec<_>>(),
                });
                whole(out, index.to_string().as_bytes(), &[])
            }
            _ => match kept.get(path) {
                Some(bytes) => part(asked, out, bytes, &[]),
                None => empty(out, "404 Not Found", &[]),
            },
        }
    })
}

#[test]
fn a_registry_that_lists_artifacts_gets_no_tag_for_them() {
    let kept = Kept::default();
    let server = server(&kept);
    let bench = Bench::new();
    let host = server.authority();
    let registries = registries(&bench, &host, None);
    let reference: Reference = format!("{host}/group/app:1").parse().unwrap();
    let cancel = Cancel::default();
    let image = stored(&bench, &Sample::new("amd64", &[1000]));
    registries
        .push_blocking(&bench.store, &image, &reference, None, &cancel)
        .unwrap();
    let attach = |kind: &str, bytes: &[u8]| -> Sha256 {
        let path = bench.dir.path().join("artifact");
        fs_err::write(&path, bytes).unwrap();
        let artifact = Artifact {
            kind: kind.into(),
            file: fs_err::File::open(&path).unwrap().into_file().into(),
            digest: Sha256::of(bytes),
            title: "a file".into(),
            created: "2026-01-02T00:00:00Z".into(),
        };
        registries
            .attach_blocking(&bench.store, &image, &artifact, &reference, &cancel)
            .unwrap()
    };
    let find = |kind: &str| registries.referrer_blocking(&reference, kind, &cancel);
    let kinds = [
        ("application/x-one+file", b"one"),
        ("application/x-two", b"two"),
    ];
    let manifests = kinds.map(|(kind, bytes)| attach(kind, bytes));
    for (kind, bytes) in kinds {
        let found = find(kind).unwrap().unwrap();
        assert_eq!(fs_err::read(found.path).unwrap(), bytes, "{kind}");
    }
    assert!(find("application/x-none").unwrap().is_none());
    let stands_for = format!("sha256-{}", image.digest.hex());
    assert!(
        !kept
            .lock()
            .unwrap()
            .keys()
            .any(|at| at.ends_with(&stands_for))
    );

    // A manifest that is not what the list says is not believed.
    let at = format!("/v2/group/app/manifests/{}", manifests[0].oci());
    let other = kept.lock().unwrap()[&at].clone();
    let other = String::from_utf8(other)
        .unwrap()
        .replace("a file", "b file");
    let keeps = kept.clone();
    keeps.lock().unwrap().insert(at, other.into_bytes());
    let error = find(kinds[0].0).unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}
