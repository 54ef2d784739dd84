//! The way of every container, on trees that nobody thought of: tree, layers, merged stream, squashfs,
//! tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read, Write as _},
    sync::Arc,
};

use nd_names::Sha256;
use nd_oci::{Compression, ImageSpec, ImageTree, LayerOptions, Layout, Limits, UNREAD};
use nd_report::Cancel;
use nd_rootfs::{
    Attr, ContentSink, Contents, Entry, Index, Kind, LayerEntry, Location, TreePath, Wanted,
    digests,
};
use nd_squashfs::{Digests, FileRange, Reader, WriteOptions};
use proptest::prelude::*;
use serde_json::json;

/// What a name stands for. Names of one `inode` are hard links of each other.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    inode: u32,
    attr: Attr,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Dir,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

type Tree = BTreeMap<TreePath, Node>;

/// One change of a tree.
#[derive(Debug, Clone)]
struct Change {
    place: usize,
    what: u8,
    size: usize,
    mode: u16,
    time: i64,
}

/// A tree that changes, and the directories that were emptied since the last layer.
#[derive(Default)]
struct Model {
    tree: Tree,
    emptied: BTreeSet<TreePath>,
    inodes: u32,
}

/// Names that lie in each other, hide each other, and stand in no text.
fn places() -> Vec<TreePath> {
    let long = [&b"d/"[..], &b"n".repeat(255)].concat();
    let all: [&[u8]; 11] = [
        b"a",
        b"a/b",
        b"a/b/c",
        b"a/b/c/d",
        b"a/e",
        b"a-b",
        b"d",
        b"d/f",
        b"d/\xff\xfe",
        &long,
        b"d/a",
    ];
    all.iter()
        .map(|path| TreePath::new(path).unwrap())
        .collect()
}

impl Model {
    fn put(&mut self, path: &TreePath, attr: Attr, what: What) {
        self.inodes += 1;
        let inode = self.inodes;
        self.tree.insert(path.clone(), Node { inode, attr, what });
    }

    fn remove(&mut self, path: &TreePath) {
        self.tree
            .retain(|other, _| other != path && !other.is_below(path.as_bytes()));
    }

    fn is_dir(&self, path: &TreePath) -> bool {
        (self.tree.get(path)).is_some_and(|node| node.what == What::Dir)
    }

    fn apply(&mut self, change: &Change) {
        let path = places()[change.place].clone();
        let mut attr = Attr {
            uid: u32::from(change.mode) % 3 * 1000,
            mtime: change.time,
            ..Attr::new(change.mode)
        };
        if change.what == 0 {
            return self.remove(&path);
        }
        for dir in path.ancestors() {
            let dir = TreePath::new(dir).unwrap();
            if !self.is_dir(&dir) {
                self.remove(&dir);
                self.put(&dir, Attr::new(0o755), What::Dir);
            }
        }
        match change.what {
            1 if self.is_dir(&path) => {
                let below = self.tree.keys().filter(|k| k.is_below(path.as_bytes()));
                for name in below.cloned().collect::<Vec<_>>() {
                    self.tree.remove(&name);
                }
                self.emptied.insert(path);
            }
            1 | 2 => {
                // One that is there keeps what lies in it.
                if !self.is_dir(&path) {
                    self.remove(&path);
                }
                self.put(&path, attr, What::Dir);
            }
            3 => {
                self.remove(&path);
                attr.mode = 0o777;
                self.put(&path, attr, What::Symlink(b"t".repeat(change.size + 1)));
            }
            4 => {
                self.remove(&path);
                let is_file = |node: &&Node| matches!(node.what, What::File(_));
                let Some(node) = self.tree.values().find(is_file).cloned() else {
                    return;
                };
                self.tree.insert(path, node);
            }
            _ => {
                self.remove(&path);
                if change.size.is_multiple_of(5) {
                    attr.xattrs.insert(*b"user.x", &b"=\n\0"[..]);
                }
                // Some are equal, some have holes, some are larger than a block.
                let byte = if change.size.is_multiple_of(3) {
                    0
                } else {
                    b'x'
                };
                let mut content = vec![byte; change.size * 97];
                content.extend(change.place.to_le_bytes());
                self.put(&path, attr, What::File(content));
            }
        }
    }

    /// What leads from `old` to the tree of now.
    fn layer(&mut self, old: &Tree) -> Vec<LayerEntry> {
        let dir = |tree: &Tree, path: &TreePath| {
            (tree.get(path)).is_some_and(|node| node.what == What::Dir)
        };
        let mut emptied = std::mem::take(&mut self.emptied);
        emptied.retain(|path| dir(old, path) && dir(&self.tree, path));
        let hidden = |path: &TreePath| emptied.iter().any(|dir| path.is_below(dir.as_bytes()));
        let stays = |path: &TreePath, node: &Node| {
            !hidden(path)
                && old
                    .get(path)
                    .is_some_and(|before| before.inode == node.inode)
        };
        let mut out = Vec::new();
        for path in old.keys().filter(|path| !self.tree.contains_key(*path)) {
            let parent = path
                .ancestors()
                .last()
                .map(|dir| TreePath::new(dir).unwrap());
            let shown = parent.is_none_or(|parent| dir(&self.tree, &parent));
            if shown && !hidden(path) {
                out.push(LayerEntry::Whiteout(path.clone()));
            }
        }
        let opaque = emptied.iter().cloned().map(Some);
        out.extend(opaque.map(LayerEntry::Opaque));
        let mut first: BTreeMap<u32, TreePath> = BTreeMap::new();
        for (path, node) in self.tree.iter().filter(|(path, node)| stays(path, node)) {
            first.entry(node.inode).or_insert_with(|| path.clone());
        }
        for (path, node) in self.tree.iter().filter(|(path, node)| !stays(path, node)) {
            let path = path.clone();
            if let Some(target) = first.get(&node.inode) {
                let target = target.clone();
                out.push(LayerEntry::Link { path, target });
            } else {
                first.insert(node.inode, path.clone());
                out.push(LayerEntry::Entry(entry(path, node)));
            }
        }
        self.with_parents(out)
    }

    /// The same with all directories in front: a layer names those of everything it names.
    fn with_parents(&self, entries: Vec<LayerEntry>) -> Vec<LayerEntry> {
        let mut dirs = BTreeSet::new();
        for one in &entries {
            let Some(path) = one.path() else { continue };
            dirs.extend(path.ancestors().map(|dir| TreePath::new(dir).unwrap()));
            let is_dir = match one {
                LayerEntry::Entry(entry) => entry.kind.is_dir(),
                LayerEntry::Opaque(_) => true,
                _ => false,
            };
            if is_dir {
                dirs.insert(path.clone());
            }
        }
        let is_dir = |one: &LayerEntry| matches!(one, LayerEntry::Entry(e) if e.kind.is_dir());
        let dirs = dirs.into_iter().map(|path| {
            let node = &self.tree[&path];
            LayerEntry::Entry(entry(path, node))
        });
        dirs.chain(entries.into_iter().filter(|one| !is_dir(one)))
            .collect()
    }
}

fn entry(path: TreePath, node: &Node) -> Entry {
    let kind = match &node.what {
        What::Dir => Kind::Dir { implicit: false },
        What::File(content) => Kind::File {
            size: content.len() as u64,
            content: UNREAD,
            at: Location::Host(0),
        },
        What::Symlink(target) => Kind::Symlink {
            target: target.clone().into(),
        },
    };
    Entry {
        path,
        attr: node.attr.clone(),
        kind,
        group: None,
    }
}

/// Compares an index with a tree: every name, what it is, and who is whose link.
fn compare(index: &Index, tree: &Tree, what: &str) {
    let names: Vec<_> = index.iter().map(|entry| &entry.path).collect();
    assert_eq!(names, tree.keys().collect::<Vec<_>>(), "{what}");
    let mut inodes: BTreeMap<u32, BTreeSet<&TreePath>> = BTreeMap::new();
    let mut groups: BTreeMap<u32, BTreeSet<&TreePath>> = BTreeMap::new();
    for (found, (path, node)) in index.iter().zip(tree) {
        let mut expected = entry(path.clone(), node);
        match (&mut expected.kind, &node.what, &found.kind) {
            (Kind::File { content, at, .. }, What::File(bytes), Kind::File { at: found, .. }) => {
                *content = digest(bytes);
                *at = *found;
                inodes.entry(node.inode).or_default().insert(path);
            }
            (Kind::Symlink { .. }, ..) => {
                inodes.entry(node.inode).or_default().insert(path);
            }
            _ => {}
        }
        expected.group = found.group;
        assert_eq!(*found, expected, "{what}");
        if let Some(group) = found.group {
            groups.entry(group.0).or_default().insert(&found.path);
        }
    }
    let several = |all: BTreeMap<u32, BTreeSet<_>>| -> BTreeSet<BTreeSet<&TreePath>> {
        all.into_values().filter(|names| names.len() > 1).collect()
    };
    assert_eq!(several(groups), several(inodes), "{what}");
}

fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes)
}

/// Reads everything and compares it with its digest.
fn read_all(index: &Index, contents: &mut dyn Contents) {
    struct Checked;
    impl ContentSink for Checked {
        fn file(
            &mut self,
            _: Location,
            size: u64,
            expected: &Sha256,
            bytes: &mut dyn Read,
        ) -> std::io::Result<()> {
            let mut all = Vec::new();
            bytes.read_to_end(&mut all)?;
            assert_eq!((all.len() as u64, digest(&all)), (size, *expected));
            Ok(())
        }
    }
    let wanted = Wanted::every_location(index);
    contents.visit(&wanted, &mut Checked).unwrap();
}

fn change() -> impl Strategy<Value = Change> {
    let fields = (
        0..places().len(),
        0_u8..9,
        0_usize..1500,
        0_u16..0o10000,
        0_i64..1 << 31,
    );
    fields.prop_map(|(place, what, size, mode, time)| Change {
        place,
        what,
        size,
        mode,
        time,
    })
}

fn check(rounds: &[Vec<Change>]) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path()).unwrap();
    let mut model = Model::default();
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for (number, changes) in rounds.iter().enumerate() {
        let old = model.tree.clone();
        for change in changes {
            model.apply(change);
        }
        let entries = model.layer(&old);
        let mut source = |entry: &Entry| -> std::io::Result<Box<dyn Read>> {
            let What::File(content) = &model.tree[&entry.path].what else {
                unreachable!("only files are read");
            };
            Ok(Box::new(Cursor::new(content.clone())))
        };
        let compressions = [Compression::Gzip, Compression::Zstd, Compression::None];
        let options = LayerOptions {
            compression: compressions[number % 3],
            clamp: None,
        };
        let layer = layout.write_layer(&entries, &mut source, options).unwrap();
        layers.push(layer.descriptor());
        diff_ids.push(layer.diff_id.oci());
    }
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let spec = ImageSpec {
        config: serde_json::from_value(config).unwrap(),
        layers,
        annotations: BTreeMap::new(),
        reference: Some("latest".into()),
    };
    layout.write_image(&spec).unwrap();
    let image = layout.image(None).unwrap();
    let mut tree = ImageTree::open(&image, Arc::new(layout), None, Limits::default()).unwrap();
    compare(&tree.index, &model.tree, "the merged layers");
    let mut packed = Cursor::new(Vec::new());
    let options = WriteOptions {
        block_size: 4096,
        ..WriteOptions::default()
    };
    nd_squashfs::write(&tree.index, &mut tree.contents, &mut packed, &options).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(packed.get_ref()).unwrap();
    let range = FileRange::new(file, 0, packed.get_ref().len() as u64);
    let reader = Arc::new(Reader::open(range, nd_squashfs::Limits::default()).unwrap());
    let (index, mut contents) = reader
        .tree(Digests::Read { threads: 0 }, &Cancel::default())
        .unwrap();
    compare(&index, &model.tree, "the squashfs");
    assert_eq!(digests(&index), digests(&tree.index));
    read_all(&index, &mut contents);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(120) })]

    #[test]
    fn a_tree_survives_layers_merge_and_squashfs(
        rounds in prop::collection::vec(prop::collection::vec(change(), 0..10), 1..5),
    ) {
        check(&rounds);
    }
}
