//! One directory, one entry, one file, without reading the rest.

use std::{io::Read as _, sync::Arc};

use nd_report::Cancel;
use nd_rootfs::Kind;
use nd_squashfs::{Digests, Limits, NodeKind, ReadError, Reader};

use crate::{round_trip::golden, support::*};

#[test]
fn a_listing_is_what_the_index_has() {
    let (index, mut contents) = golden(4096);
    let small = nd_squashfs::WriteOptions {
        block_size: 4096,
        ..options()
    };
    let (image, written) = pack(&index, &mut contents, &small);
    let reader = Reader::open(image, Limits::default()).unwrap();
    assert_eq!(reader.inodes(), written.inodes);
    for dir in ["", "usr/bin", "opt", "many", "opt/empty"] {
        let found = reader.list(dir.as_bytes()).unwrap();
        let expected: Vec<_> = index.children(dir.as_bytes()).collect();
        assert_eq!(found.len(), expected.len(), "{dir}");
        for (node, entry) in found.iter().zip(expected) {
            assert_eq!(
                (&node.name[..], &node.attr),
                (entry.path.name(), &entry.attr)
            );
            match (&node.kind, &entry.kind) {
                (
                    NodeKind::File { size },
                    Kind::File {
                        size: expected, at, ..
                    },
                ) => {
                    assert_eq!(size, expected);
                    let mut bytes = Vec::new();
                    reader.read(node).unwrap().read_to_end(&mut bytes).unwrap();
                    assert!(bytes == contents.0[at], "{}", entry.path);
                }
                (NodeKind::Symlink { target }, Kind::Symlink { target: expected }) => {
                    assert_eq!(target[..], expected[..]);
                }
                (NodeKind::Dir, Kind::Dir { .. })
                | (NodeKind::Fifo, Kind::Fifo)
                | (NodeKind::Socket, Kind::Socket)
                | (NodeKind::Device { .. }, Kind::Device { .. }) => {}
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }
    let one = reader.node(b"/usr/bin/one").unwrap();
    assert_eq!((one.links, one.attr.uid), (4, 3_000_000));
    assert_eq!(reader.node(b"usr").unwrap().links, 3);
    for missing in ["nothing", "usr/bin/one/more", "bin/one"] {
        assert!(matches!(
            reader.node(missing.as_bytes()),
            Err(ReadError::NotFound(_))
        ));
    }
    assert!(reader.list(b"opt/a").is_err());
    assert!(reader.read(&reader.node(b"opt").unwrap()).is_err());
}

#[test]
fn a_tree_without_digests_has_everything_else() {
    let (index, mut contents) = golden(128 * 1024);
    let (image, _) = pack(&index, &mut contents, &options());
    let reader = Arc::new(Reader::open(image, Limits::default()).unwrap());
    let (found, _) = reader.tree(Digests::Skip, &Cancel::default()).unwrap();
    let without = |index| {
        let mut entries = comparable(index);
        for entry in &mut entries {
            if let Kind::File { content, .. } = &mut entry.kind {
                *content = nd_squashfs::UNREAD;
            }
        }
        entries
    };
    assert_eq!(without(&found), without(&index));

    let few = Limits {
        entries: 100,
        ..Limits::default()
    };
    let small = Limits {
        total: 1000,
        ..Limits::default()
    };
    let short = Limits {
        names: 1000,
        ..Limits::default()
    };
    for limits in [few, small, short] {
        let (image, _) = pack(&index, &mut contents, &options());
        let reader = Arc::new(Reader::open(image, limits).unwrap());
        let error = reader.tree(Digests::Skip, &Cancel::default()).unwrap_err();
        assert!(matches!(error, ReadError::Limit { .. }), "{error}");
    }
    let stop = Cancel::default();
    stop.cancel();
    let error = reader.tree(Digests::Skip, &stop).unwrap_err();
    assert!(matches!(error, ReadError::Cancelled(_)));
}
