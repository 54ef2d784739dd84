//! Random stacks of layers as umoci unpacks them.

use std::{collections::BTreeMap, sync::Arc};

use nd_oci::{Compression, ImageTree, Layout, Limits, read_directory};
use nd_rootfs::{Index, Kind, LayerEntry, Level, TreePath, diff};

use crate::{overlay::Random, round_trip::image, support::*};

/// One layer that names all parents and never both removes and brings a name.
pub(crate) fn layer(random: &mut Random) -> Vec<LayerEntry> {
    let mut out: BTreeMap<TreePath, LayerEntry> = BTreeMap::new();
    for _ in 0..random.below(7) {
        let at = path(random.path());
        let free =
            |p: &TreePath| !out.contains_key(p) && !out.keys().any(|k| k.is_below(p.as_bytes()));
        let parents: Vec<TreePath> = at.ancestors().map(path).collect();
        let is_dir = |e: Option<&LayerEntry>| {
            e.is_none_or(|e| matches!(e, LayerEntry::Entry(e) if e.kind.is_dir()))
        };
        if !free(&at) || !parents.iter().all(|p| is_dir(out.get(p))) {
            continue;
        }
        let entry = match random.below(6) {
            0 | 1 => LayerEntry::Whiteout(at.clone()),
            2 => dir(at.as_bytes()),
            // A link to an earlier name of this layer, if there is a file.
            3 => {
                let file = out.values().find_map(|e| match e {
                    LayerEntry::Entry(e) if matches!(e.kind, Kind::File { .. }) && e.path < at => {
                        Some(e.path.clone())
                    }
                    _ => None,
                });
                let Some(target) = file else { continue };
                LayerEntry::Link {
                    path: at.clone(),
                    target,
                }
            }
            4 => LayerEntry::Entry(entry(
                at.as_bytes(),
                0o777,
                Kind::Symlink {
                    target: (*b"none").into(),
                },
            )),
            _ => LayerEntry::Entry(file(at.as_bytes(), random.below(50))),
        };
        for parent in parents {
            out.entry(parent.clone())
                .or_insert_with(|| dir(parent.as_bytes()));
        }
        out.insert(at, entry);
    }
    out.into_values().collect()
}

/// Which names are one inode, whatever the groups are called.
fn groups(index: &Index) -> Vec<Vec<&TreePath>> {
    let mut out: BTreeMap<_, Vec<&TreePath>> = BTreeMap::new();
    for entry in index {
        if let Some(group) = entry.group {
            out.entry(group).or_default().push(&entry.path);
        }
    }
    let mut out: Vec<_> = out.into_values().filter(|names| names.len() > 1).collect();
    out.sort();
    out
}

#[test]
fn merge_is_what_umoci_unpacks() {
    let root = tempfile::tempdir().unwrap();
    for seed in 0..40 {
        let mut random = Random(seed);
        let layers: Vec<_> = (0..4).map(|_| layer(&mut random)).collect();
        let layout = Layout::create(root.path().join(format!("oci-{seed}"))).unwrap();
        let image = image(&layout, &layers, Compression::Gzip);
        let tree =
            ImageTree::open(&image, Arc::new(layout.clone()), None, Limits::default()).unwrap();
        let bundle = root.path().join(format!("bundle-{seed}"));
        let name = format!("{}:latest", layout.path().display());
        if peer("umoci", &[&"unpack", &"--image", &name, &bundle]).is_none() {
            return;
        }
        let (unpacked, _) = read_directory(&bundle.join("rootfs")).unwrap();
        let changes = diff(&tree.index, &unpacked, Level::Full);
        assert!(changes.is_empty(), "seed {seed}: {changes:#?}\n{layers:#?}");
        assert_eq!(groups(&tree.index), groups(&unpacked), "seed {seed}");
    }
}
