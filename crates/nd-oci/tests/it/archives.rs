//! Images in one file and in plain folders: there and back, and as skopeo reads and writes them.

use std::path::Path;

use nd_oci::{Compression, Image, ImageSpec, LayerOptions, Layout};
use serde_json::json;

use crate::support::*;

/// A layout with an image of layers of every compression.
fn image(at: &Path) -> (Layout, Image) {
    let layout = Layout::create(at).unwrap();
    let mut layers = Vec::new();
    for (number, compression) in [
        Compression::Gzip,
        Compression::Zstd,
        Compression::None,
        Compression::Gzip,
    ]
    .into_iter()
    .enumerate()
    {
        let entries = [
            dir("d"),
            nd_rootfs::LayerEntry::Entry(file(format!("d/{}", number % 3), 300_000)),
        ];
        let options = LayerOptions {
            compression,
            clamp: None,
        };
        layers.push(layout.write_layer(&entries, &mut source, options).unwrap());
    }
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.oci()).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let spec = ImageSpec {
        config: serde_json::from_value(config).unwrap(),
        layers: layers
            .iter()
            .map(nd_oci::WrittenLayer::descriptor)
            .collect(),
        annotations: [("org.example".to_owned(), "x".to_owned())].into(),
        reference: Some("latest".into()),
    };
    let image = layout.write_image(&spec).unwrap();
    (layout, image)
}

fn skopeo(args: &[&str]) -> Option<String> {
    let words = [&["--insecure-policy"], args].concat();
    let words: Vec<&dyn AsRef<Path>> = words.iter().map(|word| word as &dyn AsRef<Path>).collect();
    peer("skopeo", &words)
}

#[test]
fn an_image_is_the_same_after_each_form() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (layout, image) = image(&at("from"));
    let archive = image.write_oci_archive(&layout, Some("1.0"), Vec::new());
    let archive = archive.unwrap();
    let again = image.write_oci_archive(&layout, Some("1.0"), Vec::new());
    assert_eq!(archive, again.unwrap());
    let back = Layout::unpack_archive(&archive[..], at("back")).unwrap();
    assert_eq!(back.image(Some("1.0")).unwrap().digest, image.digest);

    let docker = image.write_docker_archive(&layout, &["app:1.0".into()], Vec::new());
    let docker = docker.unwrap();
    let back =
        Layout::unpack_docker_archive(std::io::Cursor::new(docker.clone()), at("docker")).unwrap();
    let read = back.image(None).unwrap();
    assert_eq!(read.diff_ids, image.diff_ids);

    let plain = at("plain");
    fs_err::create_dir(&plain).unwrap();
    image.write_folder(&layout, &plain).unwrap();
    assert!(Layout::is_plain_folder(&plain));
    let back = Layout::take_folder(&plain, at("taken")).unwrap();
    assert_eq!(back.image(None).unwrap().digest, image.digest);

    fs_err::write(at("docker.tar"), docker).unwrap();
    fs_err::write(at("oci.tar"), archive).unwrap();
    for from in [
        format!("docker-archive:{}", at("docker.tar").display()),
        format!("oci-archive:{}", at("oci.tar").display()),
        format!("dir:{}", plain.display()),
    ] {
        let Some(text) = skopeo(&["inspect", "--config", &from]) else {
            return;
        };
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(config["config"]["Env"][0], "A=b", "{from}");
        let to = format!("dir:{}", at("peer").display());
        skopeo(&["copy", &from, &to]).unwrap();
    }
    // And what skopeo makes of it, in Docker's media types.
    let to = at("v2s2");
    let from = format!("docker-archive:{}", at("docker.tar").display());
    let name = format!("dir:{}", to.display());
    skopeo(&["copy", "--format", "v2s2", &from, &name]).unwrap();
    let back = Layout::take_folder(&to, at("taken-v2s2")).unwrap();
    let theirs = back.image(None).unwrap();
    assert_eq!(theirs.diff_ids, image.diff_ids);
    let ours = theirs.oci_manifest().unwrap().unwrap();
    let (digest, _) = back.put_blob(&ours[..]).unwrap();
    let ours: serde_json::Value = serde_json::from_slice(&ours).unwrap();
    assert_eq!(
        ours["config"]["digest"],
        theirs.config_digest.oci(),
        "the configuration stays as it is"
    );
    assert_ne!(digest, theirs.digest);
    assert_eq!(image.oci_manifest().unwrap(), None);
}

#[test]
fn a_blob_that_is_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (layout, image) = image(&at("from"));
    let plain = at("plain");
    fs_err::create_dir(&plain).unwrap();
    image.write_folder(&layout, &plain).unwrap();
    let blob = image.layers[2].digest;
    let path = plain.join(blob.hex());
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[700] ^= 1;
    fs_err::write(&path, &bytes).unwrap();
    assert!(Layout::take_folder(&plain, at("taken")).is_err());
    // The same in what is written from.
    let path = layout.blob_path(&blob);
    fs_err::remove_file(&path).unwrap();
    fs_err::write(path, bytes).unwrap();
    assert!(image.write_oci_archive(&layout, None, Vec::new()).is_err());
    assert!(
        image
            .write_docker_archive(&layout, &[], Vec::new())
            .is_err()
    );
    // No name leads out of the folder.
    let manifest = json!({
        "schemaVersion": 2,
        "config": {"mediaType": "x", "size": 2, "digest": "sha256:../../etc/passwd"},
        "layers": [],
    });
    fs_err::write(plain.join("manifest.json"), manifest.to_string()).unwrap();
    assert!(Layout::take_folder(&plain, at("out")).is_err());
}
