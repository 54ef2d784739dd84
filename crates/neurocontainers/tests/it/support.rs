//! What several tests build from.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use nd_names::Architecture;
use nd_oci::{Compression, ImageSpec, ImageTree, LayerOptions, Layout, Limits, read_directory};
use nd_rootfs::{ContentSink, Contents as _, Entry, Kind, LayerEntry, Location, Wanted};
use serde_json::json;

/// Applets of busybox that tests use.
const APPLETS: [&str; 24] = [
    "sh", "cat", "echo", "ls", "mkdir", "chmod", "ln", "cp", "rm", "grep", "sed", "env", "true",
    "false", "test", "sleep", "printf", "id", "mv", "head", "wc", "sort", "touch", "uname",
];

/// A base that tests give from disk, as a recipe names it.
pub(crate) const BUSYBOX: &str = "base-image: busybox:latest";

/// A base that is made from Debian's archive, as a recipe names it.
pub(crate) fn debian(suite: &str) -> String {
    format!("base-image: debian:{suite}\n  bootstrap: debian:{suite}")
}

/// The recipe `demo`. `directives` are lines of a list, `deploy` is one key of the folder of commands.
pub(crate) fn recipe(base: &str, directives: &str, deploy: &str) -> String {
    format!(
        r#"name: demo
version: 1.0.0
architectures: [x86_64, aarch64]
categories: [workflows]
copyright:
  - license: MIT
structured_readme:
  description: A demonstration.
  example: demo
  documentation: ""
  citation: ""
build:
  kind: neurodocker
  {base}
  pkg-manager: apt
  add-default-template: false
  directives:
{directives}deploy:
  {deploy}
icon: data:image/png;base64,iVBORw0KGgo=
"#
    )
}

/// An OCI layout of a small system: busybox, users, a time zone. `None` where there is no static
/// busybox.
pub(crate) fn busybox_layout(folder: &Path) -> Option<PathBuf> {
    let busybox = nd_testkit::peer("busybox")?;
    let root = folder.join("busybox-root");
    for dir in [
        "bin", "etc", "usr/bin", "opt", "root", "tmp", "var/tmp", "proc", "sys", "dev",
    ] {
        fs_err::create_dir_all(root.join(dir)).unwrap();
    }
    nd_testkit::copy_program(busybox, root.join("bin/busybox"));
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    symlink("../../bin/busybox", root.join("usr/bin/env")).unwrap();
    fs_err::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs_err::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    Some(layout_of(&root, &folder.join("busybox-oci")))
}

/// A layout of one layer with what `root` holds, owned by root, at time 0.
pub(crate) fn layout_of(root: &Path, folder: &Path) -> PathBuf {
    layout_for(Architecture::of_this_program().unwrap(), root, folder)
}

/// As [`layout_of`], for any architecture.
pub(crate) fn layout_for(architecture: Architecture, root: &Path, folder: &Path) -> PathBuf {
    let (index, _) = read_directory(root).unwrap();
    let entries: Vec<LayerEntry> = index
        .into_entries()
        .into_iter()
        .map(|mut entry| {
            (entry.attr.uid, entry.attr.gid) = (0, 0);
            LayerEntry::Entry(entry)
        })
        .collect();
    let mut source = |entry: &Entry| -> std::io::Result<Box<dyn std::io::Read>> {
        assert!(matches!(
            entry.kind,
            Kind::File {
                at: Location::Host(_),
                ..
            }
        ));
        let path = root.join(String::from_utf8_lossy(entry.path.as_bytes()).as_ref());
        Ok(Box::new(fs_err::File::open(path)?))
    };
    let layout = Layout::create(folder).unwrap();
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: Some(0),
    };
    let layer = layout.write_layer(&entries, &mut source, options).unwrap();
    let config = json!({
        "architecture": architecture.oci(),
        "os": "linux",
        "config": { "Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sh"] },
        "rootfs": { "type": "layers", "diff_ids": [layer.diff_id.oci()] },
    });
    let spec = ImageSpec {
        config: serde_json::from_value(config).unwrap(),
        layers: vec![layer.descriptor()],
        annotations: std::collections::BTreeMap::new(),
        reference: Some("latest".into()),
    };
    layout.write_image(&spec).unwrap();
    folder.to_path_buf()
}

/// As [`busybox_layout`], with further files.
pub(crate) fn busybox_layout_with(folder: &Path, files: &[(&str, &str)]) -> Option<PathBuf> {
    fs_err::create_dir_all(folder).unwrap();
    busybox_layout(folder)?;
    let root = folder.join("busybox-root");
    for (path, content) in files {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    Some(layout_of(&root, &folder.join("with-files-oci")))
}

/// The content of a file in the only image of a layout.
pub(crate) fn files_of(layout: &Path, path: &str) -> Vec<u8> {
    struct One(Vec<u8>);
    impl ContentSink for One {
        fn file(
            &mut self,
            _: Location,
            _: u64,
            _: &nd_names::Sha256,
            bytes: &mut dyn std::io::Read,
        ) -> std::io::Result<()> {
            bytes.read_to_end(&mut self.0).map(|_| ())
        }
    }
    let layout = Layout::open(layout).unwrap();
    let image = layout.image(None).unwrap();
    let blobs = std::sync::Arc::new(layout);
    let mut tree = ImageTree::open(&image, blobs, None, Limits::default()).unwrap();
    let mut wanted = Wanted::default();
    if let Kind::File { size, content, at } = tree.index.get(path).unwrap().kind {
        wanted.insert(at, size, content);
    }
    let mut one = One(Vec::new());
    tree.contents.visit(&wanted, &mut one).unwrap();
    one.0
}
