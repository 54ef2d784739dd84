//! The merge against the plain meaning of layers: applied one by one from the bottom.

use std::{collections::BTreeMap, rc::Rc};

use nd_rootfs::{
    Attr, Duplicates, Entry, Index, Kind, LayerEntry, LayerIndex, LinkGroup, Location, MergeError,
    TreePath, merge,
};
use proptest::prelude::*;

use crate::support::*;

/// One inode of the model: attributes and kind, shared by its names.
type Inode = Rc<(Attr, Kind)>;

/// Applies layers one by one, as the image specification tells it: whiteouts of a layer first
/// (they act on lower layers only), then its entries in order. `None` where it is not legal.
fn bottom_up(layers: &[LayerIndex]) -> Option<Vec<Entry>> {
    let mut tree: BTreeMap<TreePath, Inode> = BTreeMap::new();
    for (number, layer) in layers.iter().enumerate() {
        for entry in &layer.entries {
            match entry {
                LayerEntry::Whiteout(path) => remove(&mut tree, path, true),
                LayerEntry::Opaque(Some(dir)) => remove(&mut tree, dir, false),
                LayerEntry::Opaque(None) => tree.clear(),
                _ => {}
            }
        }
        let mut own: BTreeMap<TreePath, bool> = BTreeMap::new();
        for entry in &layer.entries {
            let (path, inode) = match entry {
                LayerEntry::Entry(entry) => {
                    let mut kind = entry.kind.clone();
                    if let Kind::File {
                        at: Location::Layer { layer, .. },
                        ..
                    } = &mut kind
                    {
                        *layer = number as u32;
                    }
                    (&entry.path, Rc::new((entry.attr.clone(), kind)))
                }
                LayerEntry::Link { path, target } => {
                    let inode = tree.get(target).filter(|inode| !inode.1.is_dir())?.clone();
                    // A target that the same layer brings later, makes a directory of, or puts a
                    // file above, is none.
                    let brought = |e: &LayerEntry| match e {
                        LayerEntry::Whiteout(_) | LayerEntry::Opaque(_) => false,
                        LayerEntry::Entry(e) if e.kind.is_dir() => {
                            e.path == *target || e.path.is_below(target.as_bytes())
                        }
                        _ => e.path().is_some_and(|p| {
                            p == target
                                || p.is_below(target.as_bytes())
                                || target.is_below(p.as_bytes())
                        }),
                    };
                    if layer.entries.iter().any(brought) && !own.contains_key(target) {
                        return None;
                    }
                    (path, inode)
                }
                _ => continue,
            };
            let is_dir = inode.1.is_dir();
            if own.get(path).is_some_and(|was_dir| !(*was_dir && is_dir)) {
                return None;
            }
            for above in path.ancestors().map(path_of) {
                if own.get(&above) == Some(&false) {
                    return None;
                }
                own.entry(above.clone()).or_insert(true);
                if !tree.get(&above).is_some_and(|inode| inode.1.is_dir()) {
                    remove(&mut tree, &above, true);
                    tree.insert(
                        above,
                        Rc::new((Attr::implicit(), Kind::Dir { implicit: true })),
                    );
                }
            }
            own.insert(path.clone(), is_dir);
            if !(is_dir && tree.get(path).is_some_and(|inode| inode.1.is_dir())) {
                remove(&mut tree, path, true);
            }
            tree.insert(path.clone(), inode);
        }
    }
    Some(named(&tree))
}

fn path_of(bytes: &[u8]) -> TreePath {
    path(bytes)
}

fn remove(tree: &mut BTreeMap<TreePath, Inode>, at: &TreePath, itself: bool) {
    tree.retain(|path, _| !(path.is_below(at.as_bytes()) || itself && path == at));
}

fn named(tree: &BTreeMap<TreePath, Inode>) -> Vec<Entry> {
    let mut groups: Vec<*const (Attr, Kind)> = Vec::new();
    tree.iter()
        .map(|(path, inode)| {
            let group = (Rc::strong_count(inode) > 1).then(|| {
                let at = Rc::as_ptr(inode);
                let number = groups
                    .iter()
                    .position(|known| *known == at)
                    .unwrap_or_else(|| {
                        groups.push(at);
                        groups.len() - 1
                    });
                LinkGroup(number as u32)
            });
            Entry {
                path: path.clone(),
                attr: inode.0.clone(),
                kind: inode.1.clone(),
                group,
            }
        })
        .collect()
}

fn layer_entry() -> impl Strategy<Value = LayerEntry> {
    let name = || prop::sample::select(&["a", "b", "c"][..]);
    let at = move || prop::collection::vec(name(), 1..4).prop_map(|parts| path(parts.join("/")));
    let inode = (0_u16..4, 0_u64..1000);
    prop_oneof![
        3 => (at(), inode).prop_map(|(path, (mode, offset))| {
            let at = Location::Layer { layer: 0, offset };
            let kind = Kind::File { size: 1, content: sha(&offset.to_le_bytes()), at };
            LayerEntry::Entry(Entry { path, attr: Attr::new(mode), kind, group: None })
        }),
        3 => (at(), 0_u16..4).prop_map(|(path, mode)| {
            LayerEntry::Entry(Entry { path, attr: Attr::new(mode), kind: Kind::Dir { implicit: false }, group: None })
        }),
        1 => at().prop_map(|path| {
            LayerEntry::Entry(Entry { path, attr: Attr::new(0o777), kind: Kind::Symlink { target: (*b"a").into() }, group: None })
        }),
        2 => (at(), at()).prop_map(|(path, target)| LayerEntry::Link { path, target }),
        2 => at().prop_map(LayerEntry::Whiteout),
        1 => prop_oneof![1 => Just(None), 3 => at().prop_map(Some)].prop_map(LayerEntry::Opaque),
    ]
}

fn stack() -> impl Strategy<Value = Vec<LayerIndex>> {
    let layer = prop::collection::vec(layer_entry(), 0..6).prop_map(layer);
    prop::collection::vec(layer, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, max_global_rejects: 2_000_000, ..ProptestConfig::default() })]

    #[test]
    fn merge_is_application_from_the_bottom(layers in stack()) {
        let merged = merge(&layers.iter().collect::<Vec<_>>(), Duplicates::Refuse);
        match (bottom_up(&layers), merged) {
            (Some(expected), Ok(merged)) => prop_assert_eq!(merged.index.entries(), &expected[..]),
            (None, Err(_)) => {}
            // Equal duplicates are only noted; a dangling link that a higher layer hides harms nobody.
            (None, Ok(merged)) => {
                let harmless = |n: &String| n.contains("hidden hard link") || n.contains("twice, equal");
                prop_assert!(merged.notes.iter().any(harmless), "{:?}", merged);
            }
            (Some(expected), Err(error)) => prop_assert!(false, "{error}, expected {expected:?}"),
        }
    }
}

fn merged(layers: &[LayerIndex]) -> Result<Index, MergeError> {
    merge(&layers.iter().collect::<Vec<_>>(), Duplicates::Refuse).map(|m| m.index)
}

fn names(index: &Index) -> Vec<String> {
    index.iter().map(|e| e.path.to_string()).collect()
}

fn put(entry: Entry) -> LayerEntry {
    LayerEntry::Entry(entry)
}

fn gone(at: &str) -> LayerEntry {
    LayerEntry::Whiteout(path(at))
}

#[test]
fn whiteouts_by_name() {
    let below = || {
        layer(vec![
            put(dir("d")),
            put(file("d/x", b"x")),
            put(link("l", "d")),
        ])
    };
    let cases: [(&str, Vec<LayerEntry>, &[&str]); 7] = [
        ("a directory that is not empty", vec![gone("d")], &["l"]),
        (
            "whiteout and new one in one layer",
            vec![put(file("d/y", b"")), gone("d")],
            &["d", "d/y", "l"],
        ),
        ("directory to file", vec![put(file("d", b""))], &["d", "l"]),
        (
            "opaque, marker last",
            vec![put(file("d/y", b"")), LayerEntry::Opaque(Some(path("d")))],
            &["d", "d/y", "l"],
        ),
        (
            "opaque over a symlink",
            vec![put(dir("l")), LayerEntry::Opaque(Some(path("l")))],
            &["d", "d/x", "l"],
        ),
        (
            "below a parent that is not there",
            vec![gone("no/where")],
            &["d", "d/x", "l"],
        ),
        (
            "the last file of a directory",
            vec![gone("d/x")],
            &["d", "l"],
        ),
    ];
    for (case, above, expected) in cases {
        assert_eq!(
            names(&merged(&[below(), layer(above)]).unwrap()),
            expected,
            "{case}"
        );
    }
    let back = merged(&[
        below(),
        layer(vec![put(file("d", b""))]),
        layer(vec![put(dir("d")), put(file("d/z", b""))]),
    ]);
    assert_eq!(names(&back.unwrap()), ["d", "d/z", "l"]);
    let implicit = merged(&[layer(vec![put(file("i/x", b""))]), layer(vec![gone("i/x")])]).unwrap();
    assert_eq!(
        names(&implicit),
        ["i"],
        "a directory outlives its last file"
    );
}

#[test]
fn hard_links_by_name() {
    let t = || layer(vec![put(file("t", b"old"))]);
    let l = || layer(vec![hard("l", "t")]);
    let content = |index: &Index, at: &str| match index.get(at).unwrap().kind {
        Kind::File { content, .. } => content,
        _ => panic!("no file"),
    };
    for above in [gone("t"), put(file("t", b"new"))] {
        let tree = merged(&[t(), l(), layer(vec![above])]).unwrap();
        assert_eq!(content(&tree, "l"), sha(b"old"));
        assert_eq!(tree.get("l").unwrap().group, None);
    }
    let chain = merged(&[t(), l(), layer(vec![hard("m", "l")])]).unwrap();
    assert!(
        ["t", "l", "m"]
            .iter()
            .all(|p| chain.get(p).unwrap().group == Some(LinkGroup(0)))
    );
    for inode in [
        link("t", "x"),
        entry("t", 0o600, Kind::Fifo),
        device("t", nd_rootfs::DeviceClass::Block, 1, 2),
    ] {
        let tree = merged(&[layer(vec![put(inode.clone())]), l()]).unwrap();
        assert_eq!(tree.get("l").unwrap().kind, inode.kind);
    }
    // Hidden in its own layer's view by a higher layer before the link is read: still shared.
    let hidden = merged(&[
        layer(vec![put(file("t", b"old")), hard("l", "t")]),
        layer(vec![gone("t")]),
    ])
    .unwrap();
    assert_eq!(content(&hidden, "l"), sha(b"old"));

    let dangling = merged(&[layer(vec![hard("l", "no")])]);
    assert!(
        matches!(dangling, Err(MergeError::Dangling { .. })),
        "{dangling:?}"
    );
    let cases: [Vec<LayerIndex>; 5] = [
        vec![layer(vec![hard("l", "l")])],
        vec![layer(vec![put(dir("t")), hard("l", "t")])],
        vec![layer(vec![hard("l", "t"), put(file("t", b""))])],
        vec![t(), layer(vec![gone("t"), hard("l", "t")])],
        vec![layer(vec![hard("a", "b"), hard("b", "a")])],
    ];
    for case in cases {
        let got = merged(&case);
        assert!(matches!(got, Err(MergeError::BadLink { .. })), "{got:?}");
    }
}
