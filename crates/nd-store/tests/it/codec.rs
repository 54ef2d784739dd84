//! The form of a layer index.

use nd_names::Sha256;
use nd_rootfs::{Attr, DeviceClass, Entry, Kind, LayerEntry, LayerIndex, Location, TreePath};
use nd_store::{decode_layer_index, encode_layer_index};
use proptest::prelude::*;

fn path() -> impl Strategy<Value = TreePath> {
    let part = prop::collection::vec(prop::sample::select(b"ab\xff \n".to_vec()), 1..4);
    prop::collection::vec(part, 1..4).prop_map(|parts| TreePath::new(parts.join(&b'/')).unwrap())
}

fn entry() -> impl Strategy<Value = LayerEntry> {
    let kind = prop_oneof![
        any::<bool>().prop_map(|implicit| Kind::Dir { implicit }),
        (any::<u64>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(size, content, offset)| {
            Kind::File {
                size,
                content: Sha256::from_bytes(content),
                at: Location::Layer { layer: 0, offset },
            }
        }),
        prop::collection::vec(1_u8.., 1..20).prop_map(|t| Kind::Symlink { target: t.into() }),
        Just(Kind::Fifo),
        (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Kind::Device {
            class: DeviceClass::Block,
            major,
            minor
        }),
    ];
    let xattrs = prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..3);
    let attr = (
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        any::<i64>(),
        xattrs,
    )
        .prop_map(|(mode, uid, gid, mtime, xattrs)| Attr {
            mode,
            uid,
            gid,
            mtime,
            xattrs: xattrs.into_iter().collect(),
        });
    prop_oneof![
        5 => (path(), attr, kind).prop_map(|(path, attr, kind)| LayerEntry::Entry(Entry { path, attr, kind, group: None })),
        1 => path().prop_map(LayerEntry::Whiteout),
        1 => prop::option::of(path()).prop_map(LayerEntry::Opaque),
        1 => (path(), path()).prop_map(|(path, target)| LayerEntry::Link { path, target }),
    ]
}

proptest! {
    #[test]
    fn an_index_survives(entries in prop::collection::vec(entry(), 0..20), notes: Vec<String>, cut: prop::sample::Index, byte: u8) {
        let index = LayerIndex { entries, notes };
        let mut bytes = encode_layer_index(&index);
        prop_assert_eq!(decode_layer_index(&bytes).unwrap(), index);
        prop_assert!(decode_layer_index(&bytes[..cut.index(bytes.len())]).is_err());
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_layer_index(&bytes);
    }
}
