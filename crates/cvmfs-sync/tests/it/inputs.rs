//! What a tree can come in, and the folder of keys.

use std::collections::BTreeMap;

use nd_names::Architecture;
use nd_oci::{Compression, ImageSpec, LayerOptions, Layout, read_directory};
use nd_rootfs::LayerEntry;
use serde_json::{Value, json};

use crate::{
    life::{Life, NAME},
    sync::images::sif,
};

/// The tree `tree` of a test as a squashfs image, a SIF file, an OCI layout, a tar, and one that is
/// compressed.
fn packed(life: &Life) -> [&'static str; 5] {
    let root = life.env.work().join("tree");
    let at = |name: &str| life.env.work().join(name);
    let (index, mut contents) = read_directory(&root).unwrap();
    let mut squashfs = std::io::Cursor::new(Vec::new());
    let options = nd_squashfs::WriteOptions::default();
    nd_squashfs::write(&index, &mut contents, &mut squashfs, &options).unwrap();
    let squashfs = squashfs.into_inner();
    fs_err::write(at("image.simg"), &squashfs).unwrap();
    let here = Architecture::of_this_program().unwrap();
    sif(&squashfs, &at("image.sif"), here);

    let layout = Layout::create(at("layout")).unwrap();
    let entries: Vec<LayerEntry> = index.iter().cloned().map(LayerEntry::Entry).collect();
    let mut source = |entry: &nd_rootfs::Entry| -> std::io::Result<Box<dyn std::io::Read>> {
        let path = String::from_utf8_lossy(entry.path.as_bytes());
        Ok(Box::new(fs_err::File::open(root.join(&*path))?))
    };
    let options = LayerOptions {
        compression: Compression::Zstd,
        clamp: None,
    };
    let layer = layout.write_layer(&entries, &mut source, options).unwrap();
    let config = json!({
        "architecture": here.oci(),
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id.oci()] },
    });
    let spec = ImageSpec {
        config: serde_json::from_value(config).unwrap(),
        layers: vec![layer.descriptor()],
        annotations: BTreeMap::default(),
        reference: None,
    };
    layout.write_image(&spec).unwrap();

    for (name, compress) in [
        ("plain.tar", "--no-auto-compress"),
        ("packed.tar", "--gzip"),
    ] {
        let mut tar = life.env.command("tar");
        tar.args(["-C", "tree", "--format=posix", compress, "-cf", name, "."]);
        tar.assert().success();
    }
    [
        "image.simg",
        "image.sif",
        "layout",
        "plain.tar",
        "packed.tar",
    ]
}

#[test]
fn a_tree_is_the_same_whatever_it_comes_in() {
    let life = Life::new();
    life.put("tree/bin/tool", "#!/bin/sh\n");
    life.put("tree/share/words", "words\n".repeat(1000));
    life.put("tree/share/more/words", "words\n".repeat(1000));
    fs_err::os::unix::fs::symlink("tool", life.env.work().join("tree/bin/link")).unwrap();
    let publish = |source: &str| {
        let at = format!("tools/{source}");
        let published = life.write(&["publish", source, "--at", &at, "--nested", "always"]);
        (published["tree"].clone(), published["read_bytes"].clone())
    };
    let (tree, _) = publish("tree");
    assert!(tree.is_string());
    for source in packed(&life) {
        // What is known is not read a second time.
        assert_eq!(publish(source), (tree.clone(), 0.into()), "{source}");
        let words = [
            "cat",
            "storage",
            &format!("tools/{source}/share/more/words"),
        ];
        let read = life.command(&words).output().unwrap();
        assert_eq!(read.stdout, "words\n".repeat(1000).as_bytes(), "{source}");
    }
    assert_eq!(life.verify()["good"], true);
    life.put("nothing", "no image of any kind\n".repeat(100));
    let at = ["--at", "x", "--repository", NAME, "--storage", "storage"];
    let output = life.command(&[&["publish", "nothing"], &at[..]].concat());
    assert!(!{ output }.output().unwrap().status.success());
    assert_eq!(life.verify()["revision"], 7);
}

#[test]
fn keys_are_made_checked_and_moved() {
    let life = Life::new();
    let keys = |words: &[&str]| life.run(&[&["keys"], words].concat());
    let have = |told: &Value| ["master", "public", "release"].map(|key| told[key] == true);
    let here = keys(&["check", NAME]);
    assert_eq!(have(&here), [true; 3]);
    // The master key stays where it is.
    let moved = keys(&["export", NAME, "moved", "--without-master"]);
    assert_eq!(have(&moved), [false, true, true]);
    assert!(
        !life
            .env
            .work()
            .join(format!("moved/{NAME}.masterkey"))
            .exists()
    );
    let there = keys(&["import", NAME, "moved", "--keys", "elsewhere"]);
    assert_eq!(there["fingerprint"], here["fingerprint"]);
    life.put("tree/file", "content");
    life.write(&["publish", "tree", "--at", "tree", "--keys", "elsewhere"]);
    assert_eq!(life.verify()["good"], true);

    // Others are made once, and are the keys of nothing here.
    let words = ["keys", "init", NAME, "--keys", "others"];
    assert_eq!(have(&life.run(&words)), [true; 3]);
    let output = life.command(&words).output().unwrap();
    assert!(!output.status.success(), "keys are never replaced");
    let verify = ["verify", "storage", "--keys", "others"];
    assert!(!life.command(&verify).output().unwrap().status.success());
    // A certificate of one and a key of another.
    let key = format!("{NAME}.key");
    fs_err::copy(
        life.env.work().join("others").join(&key),
        life.env.work().join("elsewhere").join(&key),
    )
    .unwrap();
    let check = ["keys", "check", NAME, "--keys", "elsewhere"];
    assert!(!life.command(&check).output().unwrap().status.success());
    life.fails(&["keys", "check", NAME, "--keys", "none"], 1, "no keys");
}
