//! Short ways to write trees, and random ones.

use nd_names::Sha256;
use nd_rootfs::{
    Attr, CAPABILITY, DeviceClass, Entry, Index, Kind, LayerEntry, LayerIndex, Location, TreePath,
};
use proptest::prelude::*;

pub(crate) fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn sha(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes)
}

pub(crate) fn entry(at: impl AsRef<[u8]>, mode: u16, kind: Kind) -> Entry {
    Entry {
        path: path(at),
        attr: Attr::new(mode),
        kind,
        group: None,
    }
}

pub(crate) fn dir(at: &str) -> Entry {
    entry(at, 0o755, Kind::Dir { implicit: false })
}

pub(crate) fn file(at: impl AsRef<[u8]>, bytes: &[u8]) -> Entry {
    let at_bytes = at.as_ref().to_vec();
    let location = Location::Layer {
        layer: 0,
        offset: u64::from_le_bytes(sha(&at_bytes).as_bytes()[..8].try_into().unwrap()),
    };
    entry(
        at,
        0o644,
        Kind::File {
            size: bytes.len() as u64,
            content: sha(bytes),
            at: location,
        },
    )
}

pub(crate) fn link(at: &str, target: &str) -> Entry {
    entry(
        at,
        0o777,
        Kind::Symlink {
            target: target.as_bytes().into(),
        },
    )
}

pub(crate) fn device(at: &str, class: DeviceClass, major: u32, minor: u32) -> Entry {
    entry(
        at,
        0o666,
        Kind::Device {
            class,
            major,
            minor,
        },
    )
}

pub(crate) fn with(mut entry: Entry, change: impl FnOnce(&mut Entry)) -> Entry {
    change(&mut entry);
    entry
}

pub(crate) fn index(entries: Vec<Entry>) -> Index {
    Index::from_entries(entries).unwrap()
}

pub(crate) fn layer(entries: Vec<LayerEntry>) -> LayerIndex {
    LayerIndex {
        entries,
        notes: vec![],
    }
}

pub(crate) fn hard(at: &str, target: &str) -> LayerEntry {
    LayerEntry::Link {
        path: path(at),
        target: path(target),
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let special = [
        "a",
        "b",
        "dev",
        "etc",
        "hosts",
        "var",
        "tmp",
        ".singularity.d",
        "singularity",
        "environment",
        ".cvmfscatalog",
        "a-b",
        "a.b",
    ];
    prop_oneof![
        6 => prop::sample::select(special.to_vec()).prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(1_u8.., 1..4)
            .prop_filter("a name", |n| !n.contains(&b'/') && n != b"." && n != b".."),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let file = prop::sample::select(vec![&b""[..], b"x", b"yy"]).prop_map(|bytes| Kind::File {
        size: bytes.len() as u64,
        content: sha(bytes),
        at: Location::Host(7),
    });
    let targets: [&[u8]; 4] = [b"a", b".singularity.d/x", b"../b", b"\xff = \\#"];
    prop_oneof![
        3 => file,
        3 => Just(Kind::Dir { implicit: false }),
        2 => prop::sample::select(targets.to_vec()).prop_map(|t| Kind::Symlink { target: t.into() }),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Socket),
        1 => (prop::bool::ANY, 0_u32..3, 1_u32..300).prop_map(|(char, major, minor)| Kind::Device {
            class: if char { DeviceClass::Char } else { DeviceClass::Block },
            major,
            minor,
        }),
    ]
}

fn attr() -> impl Strategy<Value = Attr> {
    let xattr = prop_oneof![
        4 => Just(None),
        1 => prop::collection::vec(any::<u8>(), 20..21).prop_map(Some),
        1 => prop::collection::vec(any::<u8>(), 20..21).prop_map(|mut v| { v[3] = 3; v.extend([0; 4]); Some(v) }),
    ];
    (
        0_u16..0o10000,
        0_u32..3,
        0_u32..3,
        -5_i64..5,
        xattr,
        prop::bool::ANY,
    )
        .prop_map(|(mode, uid, gid, mtime, capability, note)| {
            let mut attr = Attr {
                uid,
                gid,
                mtime,
                ..Attr::new(mode)
            };
            if let Some(value) = capability {
                attr.xattrs.insert(CAPABILITY, value);
            }
            if note {
                attr.xattrs.insert(*b"user.note", *b"n");
            }
            attr
        })
}

/// Random trees over few names, so that the rules bite.
pub(crate) fn tree() -> impl Strategy<Value = Index> {
    let path = prop::collection::vec(name(), 1..4).prop_map(|parts| path(parts.join(&b'/')));
    prop::collection::vec((path, kind(), attr()), 0..14).prop_map(|items| {
        let mut out: Vec<Entry> = Vec::new();
        for (path, kind, mut attr) in items {
            if matches!(kind, Kind::Symlink { .. }) {
                attr.mode = 0o777;
            }
            out.push(Entry {
                path,
                attr,
                kind,
                group: None,
            });
            if Index::from_entries(out.clone()).is_err() {
                out.pop();
            }
        }
        index(out)
    })
}

/// Whether the entry stands where the rules would assume a directory: it shadows that, also for a
/// profile that does not see its kind.
pub(crate) fn on_implied_point(entry: &Entry) -> bool {
    [
        "dev", "etc", "home", "proc", "root", "sys", "tmp", "var", "var/tmp",
    ]
    .iter()
    .any(|point| entry.path.as_bytes() == point.as_bytes())
}
