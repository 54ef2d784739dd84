//! What is written is what is read.

use std::sync::Arc;

use nd_oci::{Compression, ImageSpec, ImageTree, LayerOptions, Layout, Limits, index_layer};
use nd_rootfs::{Contents as _, Kind, LayerEntry, LinkGroup, Wanted};
use oci_spec::image::{ImageConfigurationBuilder, RootFsBuilder};
use proptest::prelude::*;

use crate::support::*;

fn layer() -> impl Strategy<Value = Vec<LayerEntry>> {
    let name = prop_oneof![
        3 => "[abc]{1,2}".prop_map(String::into_bytes),
        1 => prop::collection::vec(128_u8.., 1..80),
        1 => Just(b"n".repeat(255)),
    ];
    let attr = (
        0_u16..0o10000,
        prop::sample::select(vec![0_u32, 7, 3_000_000]),
        prop::sample::select(vec![-5_i64, 0, 1 << 34]),
    );
    let items = prop::collection::vec((name, 0_u8..8, attr, 0_u64..1500), 0..12);
    items.prop_map(|items| {
        let mut out = vec![dir("d"), dir(b"d".repeat(200).as_slice())];
        let mut group = 0;
        for (number, (name, what, (mode, uid, mtime), size)) in items.into_iter().enumerate() {
            let folder = if number % 2 == 0 {
                b"d".to_vec()
            } else {
                b"d".repeat(200)
            };
            let at = [&folder[..], b"/", &name].concat();
            let mut entry = file(&at, size);
            entry.attr.mode = mode;
            entry.attr.uid = uid;
            entry.attr.mtime = mtime;
            match what {
                0 => entry.kind = Kind::Fifo,
                1 => {
                    entry.kind = Kind::Symlink {
                        target: b"t".repeat(size as usize + 1).into(),
                    };
                    entry.attr.mode = 0o777;
                }
                2 => entry.attr.xattrs.insert(*b"user.x", &b"=\n\0"[..]),
                3 => {
                    group += 1;
                    entry.group = Some(LinkGroup(group));
                    let mut other = entry.clone();
                    other.path = path(format!("d/link-{number}"));
                    out.push(LayerEntry::Entry(other));
                }
                4 => {
                    out.push(LayerEntry::Whiteout(path(&at)));
                    continue;
                }
                _ => {}
            }
            out.push(LayerEntry::Entry(entry));
        }
        let mut seen = std::collections::BTreeSet::new();
        out.retain(|e| seen.insert(e.path().cloned()));
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_layer_is_indexed_as_it_was_written(entries in layer(), zip in 0_u8..3) {
        let compression = [Compression::None, Compression::Gzip, Compression::Zstd][usize::from(zip)];
        let options = LayerOptions { compression, clamp: Some(1 << 33) };
        let (written, blob) = write(&entries, options);
        let mut reversed = entries.clone();
        reversed.reverse();
        prop_assert_eq!(&write(&reversed, options).1, &blob, "order does not matter");
        let read = index_layer(&blob[..], compression, Limits::default()).unwrap();
        prop_assert_eq!(&read.index, &written.index);
        prop_assert_eq!((read.diff_id, read.digest, read.size), (written.diff_id, written.digest, blob.len() as u64));
        prop_assert_eq!(read.uncompressed, written.uncompressed);
    }
}

pub(crate) fn image(
    layout: &Layout,
    layers: &[Vec<LayerEntry>],
    compression: Compression,
) -> nd_oci::Image {
    let options = LayerOptions {
        compression,
        clamp: None,
    };
    let mut written = Vec::new();
    for entries in layers {
        written.push(layout.write_layer(entries, &mut source, options).unwrap());
    }
    let ids: Vec<_> = written.iter().map(|layer| layer.diff_id.oci()).collect();
    let rootfs = RootFsBuilder::default().diff_ids(ids).build().unwrap();
    let config = ImageConfigurationBuilder::default()
        .architecture("amd64")
        .os("linux")
        .rootfs(rootfs)
        .build()
        .unwrap();
    let spec = ImageSpec {
        config,
        layers: written
            .iter()
            .map(nd_oci::WrittenLayer::descriptor)
            .collect(),
        annotations: [("z".into(), "1".into()), ("a".into(), "2".into())].into(),
        reference: Some("latest".into()),
    };
    layout.write_image(&spec).unwrap()
}

#[test]
fn an_image_is_one_tree_with_each_content_once() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::create(root.path().join("oci")).unwrap();
    let below = vec![
        dir("a"),
        LayerEntry::Entry(file("a/gone", 5)),
        LayerEntry::Entry(file("a/stays", 9)),
        LayerEntry::Entry(file("a/empty", 0)),
    ];
    let above = vec![
        dir("a"),
        LayerEntry::Whiteout(path("a/gone")),
        LayerEntry::Entry(file("new", 70_000)),
    ];
    let first = image(&layout, &[below.clone(), above.clone()], Compression::Zstd);
    let second = image(&layout, &[below, above], Compression::Zstd);
    assert_eq!(first.digest, second.digest, "equal images are equal bytes");
    assert_eq!(
        layout.images().unwrap(),
        [(Some("latest".into()), first.digest)]
    );

    let store = nd_store::Store::open(root.path().join("store")).unwrap();
    let image = layout.image(None).unwrap();
    for _ in 0..2 {
        let mut tree = ImageTree::open(
            &image,
            Arc::new(layout.clone()),
            Some(&store),
            Limits::default(),
        )
        .unwrap();
        let names: Vec<_> = tree.index.iter().map(|e| e.path.to_string()).collect();
        assert_eq!(names, ["a", "a/empty", "a/stays", "new"]);
        let mut got = Collect::default();
        tree.contents
            .visit(&Wanted::every_location(&tree.index), &mut got)
            .unwrap();
        let sizes: Vec<_> = got.0.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(sizes, [0, 9, 70_000]);
    }
    // The second time nothing but the store was needed for the index.
    for diff_id in &image.diff_ids {
        assert!(store.layer_index(diff_id).unwrap().is_some());
    }

    let blob = layout.blob_path(&image.layers[0].digest);
    let mut bytes = fs_err::read(&blob).unwrap();
    let last = bytes.len() - 8;
    bytes[last] ^= 1;
    fs_err::write(&blob, bytes).unwrap();
    let damaged = ImageTree::open(&image, Arc::new(layout), None, Limits::default());
    assert!(damaged.is_err());
}
