//! Layers unpacked into directories, judged by the kernel's overlay over them.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nd_oci::{
    Compression, Ids, Limits, OciError, OverlayMarks, UnpackOptions, Unpacked, Upper,
    read_directory, unpack_layer,
};
use nd_rootfs::{
    DeviceClass, Duplicates, Index, Kind, LayerEntry, LayerIndex, Level, LinkGroup, diff, merge,
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::{overlay::Random, support::*};

const ROOT: UnpackOptions = UnpackOptions {
    limits: Limits {
        entries: 10_000,
        extended: 1 << 20,
        xattr: 1 << 16,
        file: 1 << 30,
        total: 1 << 30,
    },
    ids: Ids::Same,
    marks: OverlayMarks::Trusted,
};

/// The trees of a stack, lowest first, each with its layer's index.
struct Stack {
    root: tempfile::TempDir,
    trees: Vec<PathBuf>,
    indexes: Vec<LayerIndex>,
    notes: Vec<String>,
}

impl Stack {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            trees: Vec::new(),
            indexes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// All trees as one, mounted for as long as the descriptor is open and nowhere to be seen.
    fn view(&self) -> Option<OwnedFd> {
        match &self.trees[..] {
            [] => None,
            [one] => Some(File::open(one).unwrap().into()),
            trees => {
                let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
                for tree in trees.iter().rev() {
                    fsconfig_set_string(&context, "lowerdir+", tree).unwrap();
                }
                fsconfig_create(&context).unwrap();
                let flags = FsMountFlags::FSMOUNT_CLOEXEC;
                Some(fsmount(&context, flags, MountAttrFlags::empty()).unwrap())
            }
        }
    }

    fn unpack(&mut self, blob: &[u8]) -> Result<Unpacked, OciError> {
        let tree = self.root.path().join(self.trees.len().to_string());
        fs_err::create_dir(&tree).unwrap();
        let into = File::open(&tree).unwrap();
        let view = self.view();
        let lower = view.as_ref().map(OwnedFd::as_fd);
        let unpacked = unpack_layer(blob, Compression::None, into.as_fd(), lower, ROOT)?;
        self.trees.push(tree);
        self.indexes.push(unpacked.layer.index.clone());
        self.notes.extend(unpacked.notes.clone());
        Ok(unpacked)
    }

    fn add(&mut self, entries: &[LayerEntry]) -> Unpacked {
        let (written, blob) = write(entries, PLAIN);
        let unpacked = self.unpack(&blob).unwrap();
        assert_eq!(unpacked.layer.index, written.index);
        assert_eq!(unpacked.layer.diff_id, written.diff_id);
        unpacked
    }

    fn merged(&self) -> Index {
        let all: Vec<_> = self.indexes.iter().collect();
        merge(&all, Duplicates::Refuse).unwrap().index
    }

    fn shown(&self) -> Index {
        let view = self.view().unwrap();
        let path = format!("/proc/self/fd/{}", view.as_raw_fd());
        read_directory(Path::new(&path)).unwrap().0
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: owners and overlay mounts need root");
    }
    root
}

#[test]
fn the_kernel_shows_the_merge_of_unpacked_layers() {
    if !is_root() {
        return;
    }
    let mut deviations = Vec::new();
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut stack = Stack::new();
        for _ in 0..4 {
            stack.add(&crate::stacks::layer(&mut random));
        }
        let changes = diff(&stack.merged(), &stack.shown(), Level::Exact).len();
        if changes > 0 {
            deviations.push(seed);
        }
    }
    assert!(deviations.is_empty(), "seeds {deviations:?}");
}

#[test]
fn every_feature_reaches_the_tree_and_comes_back() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new();
    let layers = crate::golden::layers();
    for layer in &layers {
        stack.add(layer);
    }
    let changes = diff(&stack.merged(), &stack.shown(), Level::Exact).len();
    assert_eq!((changes, stack.notes.len()), (0, 0));

    // A tree read as an upper directory says what its layer said, and the copied-up link target.
    let mut upper = Upper::read(&stack.trees[1], Ids::Same, None).unwrap();
    upper.entries.sort_by(|a, b| a.path().cmp(&b.path()));
    let names: Vec<_> = upper
        .entries
        .iter()
        .filter_map(|e| e.path())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "opt",
            "opt/becomes-dir",
            "opt/becomes-dir/x",
            "opt/empty",
            "opt/linked-later",
            "opt/old",
            "opt/old/a",
            "usr",
            "usr/again"
        ]
    );
    let ino = |name: &str| fs_err::metadata(stack.trees[1].join(name)).unwrap().ino();
    assert_eq!(ino("usr/again"), ino("opt/linked-later"));
    let ino = |name: &str| fs_err::metadata(stack.trees[0].join(name)).unwrap().ino();
    assert_eq!(ino("usr/bin/one"), ino("opt/three"));
}

#[test]
fn marks_hide_what_lies_below_and_nothing_else() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new();
    let mut special = entry("a", 0o2750, Kind::Dir { implicit: false });
    (special.attr.uid, special.attr.gid) = (12, 34);
    stack.add(&[
        LayerEntry::Entry(special),
        LayerEntry::Entry(file("a/x", 1)),
        dir("a/d"),
        LayerEntry::Entry(file("a/d/y", 2)),
        LayerEntry::Entry(file("b", 3)),
        dir("c"),
        LayerEntry::Entry(file("c/z", 4)),
    ]);
    // Opaque, but keeping what the layer itself has; a mark last; a directory nobody names.
    let mut tar = Vec::new();
    for (name, content) in [
        ("a/d/new", "n"),
        ("a/.wh..wh..opq", ""),
        (".wh.c", ""),
        ("e/.wh.none", ""),
        ("b/.wh.x", ""),
    ] {
        tar.extend(ustar(name, b'0', content));
    }
    tar.extend([0; 1024]);
    stack.unpack(&tar).unwrap();
    let changes = diff(&stack.merged(), &stack.shown(), Level::Full).len();
    assert_eq!(changes, 0);
    let shown = stack.shown();
    let names: Vec<_> = shown.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(names, ["a", "a/d", "a/d/new", "b"]);
    // The directory kept the attributes that its own layer does not know.
    let attr = &shown.get("a").unwrap().attr;
    assert_eq!((attr.mode, attr.uid, attr.gid), (0o2750, 12, 34));

    stack
        .unpack(
            &[
                ustar(".wh..wh..opq", b'0', ""),
                ustar("f", b'0', "x"),
                vec![0; 1024],
            ]
            .concat(),
        )
        .unwrap();
    let names: Vec<_> = stack.shown().iter().map(|e| e.path.to_string()).collect();
    assert_eq!(names, ["f"]);
    assert_eq!(diff(&stack.merged(), &stack.shown(), Level::Full).len(), 0);
}

#[test]
fn what_cannot_be_made_is_said() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new();
    let link = LayerEntry::Link {
        path: path("a"),
        target: path("none"),
    };
    stack.add(&[
        link,
        LayerEntry::Entry(entry(
            "null",
            0o600,
            Kind::Device {
                class: DeviceClass::Char,
                major: 1,
                minor: 3,
            },
        )),
    ]);
    assert_eq!(
        stack.notes,
        ["hard link `a` points to `none`, which does not exist"]
    );
    // Owners as somebody without ids gets them.
    let tree = tempfile::tempdir().unwrap();
    let mut owned = file("f", 3);
    owned.attr.uid = 77;
    let (_, blob) = write(&[LayerEntry::Entry(owned)], PLAIN);
    let options = UnpackOptions {
        ids: Ids::Root,
        ..ROOT
    };
    let into = File::open(tree.path()).unwrap();
    unpack_layer(&blob[..], Compression::None, into.as_fd(), None, options).unwrap();
    assert_eq!(fs_err::metadata(tree.path().join("f")).unwrap().uid(), 0);
}

#[test]
fn nothing_leads_out_of_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let end = vec![0; 1024];
    let link = |name: &str| ustar_link(name, b'2', target);
    for (tar, what) in [
        (
            vec![link("d"), ustar("d/f", b'0', "x")],
            "a file through a symlink",
        ),
        (
            vec![link("d"), ustar("d/", b'5', "")],
            "a directory over a symlink",
        ),
        (
            vec![link("d"), ustar_link("d/l", b'1', "d")],
            "a hard link through a symlink",
        ),
        (vec![ustar("../f", b'0', "x")], "the parent of the root"),
        (
            vec![ustar_link("l", b'1', "../../etc/passwd")],
            "a hard link out",
        ),
        (
            vec![ustar("f", b'0', "x"), ustar("f/g", b'0', "x")],
            "a file below a file",
        ),
        (
            vec![ustar("d/f", b'0', "x"), ustar("d", b'0', "x")],
            "a file over a directory",
        ),
    ] {
        let mut stack = Stack::new();
        let mut blob = tar.concat();
        blob.extend(&end);
        assert!(stack.unpack(&blob).is_err(), "{what}");
        assert_eq!(
            fs_err::read_dir(outside.path()).unwrap().count(),
            0,
            "{what}"
        );
    }
    // A whiteout through a link of the lower tree removes nothing outside either.
    if is_root() {
        fs_err::write(outside.path().join("keep"), "x").unwrap();
        let mut stack = Stack::new();
        stack.unpack(&[link("d"), end.clone()].concat()).unwrap();
        stack
            .unpack(&[ustar("d/.wh.keep", b'0', ""), end].concat())
            .unwrap();
        assert!(outside.path().join("keep").exists());
        assert!(fs_err::symlink_metadata(stack.trees[1].join("d")).is_err());
    }
}

#[test]
fn an_expanding_hole_takes_no_room() {
    let mut stack = Stack::new();
    let mut big = file("zeros", 64 << 20);
    big.group = Some(LinkGroup(0));
    let mut blob = Vec::new();
    let mut zeros =
        |_: &nd_rootfs::Entry| Ok(Box::new(std::io::repeat(0).take(64 << 20)) as Box<dyn Read>);
    if !rustix::process::geteuid().is_root() {
        (big.attr.uid, big.attr.gid) = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
    }
    nd_oci::write_layer(&[LayerEntry::Entry(big)], &mut zeros, PLAIN, &mut blob).unwrap();
    stack.unpack(&blob).unwrap();
    let meta = fs_err::metadata(stack.trees[0].join("zeros")).unwrap();
    assert_eq!(meta.len(), 64 << 20);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
}

fn ustar(name: &str, flag: u8, content: &str) -> Vec<u8> {
    let mut out = ustar_link(name, flag, "");
    let size = format!("{:011o}\0", content.len());
    out[124..136].copy_from_slice(size.as_bytes());
    checksum(&mut out);
    out.extend(content.as_bytes());
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn ustar_link(name: &str, flag: u8, link: &str) -> Vec<u8> {
    let mut out = vec![0; 512];
    out[..name.len()].copy_from_slice(name.as_bytes());
    out[100..108].copy_from_slice(b"0000644\0");
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    out[108..116].copy_from_slice(format!("{:07o}\0", uid.as_raw()).as_bytes());
    out[116..124].copy_from_slice(format!("{:07o}\0", gid.as_raw()).as_bytes());
    out[124..136].copy_from_slice(b"00000000000\0");
    out[136..148].copy_from_slice(b"00000000000\0");
    out[156] = flag;
    out[157..157 + link.len()].copy_from_slice(link.as_bytes());
    out[257..265].copy_from_slice(b"ustar\x0000");
    checksum(&mut out);
    out
}

fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
