//! One tree with every feature, written by us, unpacked by umoci, read back.

use std::sync::Arc;

use nd_oci::{Compression, ImageTree, Layout, Limits, read_directory};
use nd_rootfs::{
    CAPABILITY, DeviceClass, Kind, LayerEntry, Level, LinkGroup, TreeRecord, diff, digests,
};

use crate::{round_trip::image, support::*};

fn put(entry: nd_rootfs::Entry) -> LayerEntry {
    LayerEntry::Entry(entry)
}

pub(crate) fn layers() -> Vec<Vec<LayerEntry>> {
    let mut capable = file("usr/bin/ping", 4000);
    capable.attr.mode = 0o755;
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    capable.attr.xattrs.insert(CAPABILITY, capability);
    capable.attr.xattrs.insert(*b"user.note", vec![b'v'; 600]);
    let mut setuid = file("usr/bin/su", 10);
    setuid.attr.mode = 0o4755;
    let mut grouped = file("usr/bin/one", 77);
    grouped.group = Some(LinkGroup(1));
    (grouped.attr.uid, grouped.attr.gid) = (3_000_000, 1001);
    let (mut near, mut far) = (grouped.clone(), grouped.clone());
    near.path = path("usr/bin/two");
    far.path = path("opt/three");
    let mut tmp = entry("tmp", 0o1777, Kind::Dir { implicit: false });
    tmp.attr.mtime = 5;
    let below = vec![
        dir("usr"),
        dir("usr/bin"),
        dir("opt"),
        dir("opt/empty"),
        dir("opt/old"),
        dir("var"),
        put(tmp),
        put(capable),
        put(setuid),
        put(grouped),
        put(near),
        put(far),
        put(file("opt/old/a", 1)),
        put(file("opt/old/b", 2)),
        put(file("opt/becomes-dir", 3)),
        put(file("opt/unreadable", 12)),
        put(file(b"\xff".repeat(255), 4)),
        put(file([&b"opt/"[..], &b"n".repeat(255)].concat(), 5)),
        put(file("opt/\u{fc}mlaut\nline", 6)),
        put(entry(
            "bin",
            0o777,
            Kind::Symlink {
                target: (*b"usr/bin").into(),
            },
        )),
        put(entry(
            "opt/far",
            0o777,
            Kind::Symlink {
                target: [&b"/"[..], &b"x/".repeat(300)].concat().into(),
            },
        )),
        put(entry("opt/pipe", 0o640, Kind::Fifo)),
        put(entry(
            "opt/null",
            0o666,
            Kind::Device {
                class: DeviceClass::Char,
                major: 1,
                minor: 3,
            },
        )),
        put(file("opt/linked-later", 500)),
    ];
    let above = vec![
        dir("opt"),
        dir("usr"),
        dir("opt/becomes-dir"),
        put(file("opt/becomes-dir/x", 8)),
        dir("opt/old"),
        LayerEntry::Whiteout(path("opt/old/a")),
        LayerEntry::Whiteout(path("opt/empty")),
        LayerEntry::Link {
            path: path("usr/again"),
            target: path("opt/linked-later"),
        },
    ];
    vec![below, above]
}

#[test]
fn umoci_unpacks_what_we_merge() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::create(root.path().join("oci")).unwrap();
        let image = image(&layout, &layers(), compression);
        let tree =
            ImageTree::open(&image, Arc::new(layout.clone()), None, Limits::default()).unwrap();
        let ours = digests(&tree.index);
        assert_eq!(
            ours.full.to_string(),
            "tree1full:sha256:abeebd78042204f8f7e88acb6d81d8ce35aa629bf589c08f025c27cd32df199b"
        );

        let name = format!("oci:{}:latest", layout.path().display());
        if peer("skopeo", &[&"inspect", &name]).is_none() {
            return;
        }
        let archive = root.path().join("a.tar");
        peer(
            "skopeo",
            &[
                &"copy",
                &name,
                &format!("oci-archive:{}:latest", archive.display()),
            ],
        );
        let copied =
            Layout::unpack_archive(fs_err::File::open(&archive).unwrap(), root.path().join("b"))
                .unwrap();
        assert_eq!(
            copied.image(None).unwrap().config_digest,
            image.config_digest
        );

        let list = root.path().join("tree.mtree");
        let (record, text) = TreeRecord::of(&tree.index);
        // libarchive reads every line but complains about the attribute.
        let text = String::from_utf8(text).unwrap();
        let known = text
            .lines()
            .map(|line| line.split(" xattr.").next().unwrap().to_owned() + "\n");
        fs_err::write(&list, known.collect::<String>()).unwrap();
        if let Some(names) = peer("bsdtar", &[&"-tf", &list]) {
            assert_eq!(names.lines().count() as u64, record.entries);
        }

        // umoci 0.4 knows no zstd.
        let bundle = root.path().join("bundle");
        let name = format!("{}:latest", layout.path().display());
        if compression == Compression::Zstd
            || peer("umoci", &[&"unpack", &"--image", &name, &bundle]).is_none()
        {
            continue;
        }
        let (unpacked, _) = read_directory(&bundle.join("rootfs")).unwrap();
        let changes = diff(&tree.index, &unpacked, Level::Full);
        assert!(changes.is_empty(), "{changes:#?}");
        assert_eq!(digests(&unpacked), ours);
        for names in [
            &["usr/bin/one", "usr/bin/two", "opt/three"][..],
            &["usr/again", "opt/linked-later"],
        ] {
            for index in [&tree.index, &unpacked] {
                let groups: Vec<_> = names.iter().map(|n| index.get(n).unwrap().group).collect();
                assert!(
                    groups[0].is_some() && groups.iter().all(|g| *g == groups[0]),
                    "{names:?}"
                );
            }
        }
    }
}
