//! Trees go in and come out with the same digests and bytes.

use std::collections::HashMap;

use nd_cvmfs::{CutOptions, Depth, NestedAt, PutOptions, Repository};
use nd_names::Sha256;
use nd_rootfs::{
    Attr, ContentSink, Contents as _, DeviceClass, Entry, Index, Kind, LinkGroup, Location,
    MemoryContents, TreePath, Wanted, digests,
};
use proptest::prelude::*;

use crate::fixture::Fixture;

fn entry(path: impl AsRef<[u8]>, mode: u16, kind: Kind) -> Entry {
    Entry {
        path: TreePath::new(path).unwrap(),
        attr: Attr {
            mtime: 1_700_000_000,
            uid: 12,
            gid: 34,
            ..Attr::new(mode)
        },
        kind,
        group: None,
    }
}

/// Every kind of entry that a tree can have, awkward names included.
fn golden() -> (Index, MemoryContents) {
    let mut memory = MemoryContents::default();
    let mut entries = Vec::new();
    let text = |memory: &mut MemoryContents, text: &str| memory.file(text.as_bytes().to_vec());
    for (path, mode) in [("setuid", 0o6755), ("none", 0), ("plain", 0o644)] {
        let kind = text(&mut memory, path);
        entries.push(entry(path, mode, kind));
    }
    let long = "n".repeat(255);
    for name in [
        &b"\xff\xfe"[..],
        b"sp ace\n",
        "é".as_bytes(),
        long.as_bytes(),
        b"-",
        b"a-b",
    ] {
        let kind = memory.file(name.to_vec());
        entries.push(entry([b"names/", name].concat(), 0o644, kind));
    }
    entries.push(entry("names/a/b", 0o1777, Kind::Dir { implicit: false }));
    let target = Kind::Symlink {
        target: b"$(HOME)/x".as_slice().into(),
    };
    entries.push(entry("names/link", 0o777, target));
    entries.push(entry("fifo", 0o600, Kind::Fifo));
    entries.push(entry("sock", 0o600, Kind::Socket));
    for (path, class) in [("char", DeviceClass::Char), ("block", DeviceClass::Block)] {
        let (major, minor) = (300, 70_000);
        entries.push(entry(
            path,
            0o660,
            Kind::Device {
                class,
                major,
                minor,
            },
        ));
    }
    let mut capable = entry("capable", 0o755, text(&mut memory, "capable"));
    let value = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    capable
        .attr
        .xattrs
        .insert(&b"security.capability"[..], &value[..]);
    capable
        .attr
        .xattrs
        .insert(&b"user.long"[..], vec![b'x'; 256]);
    entries.push(capable);
    // One group in one directory, one that crosses directories.
    for (number, paths) in [["links/a", "links/b"], ["links/c", "other/c"]]
        .iter()
        .enumerate()
    {
        let kind = text(&mut memory, paths[0]);
        for path in paths {
            let mut linked = entry(path, 0o644, kind.clone());
            linked.group = Some(LinkGroup(number as u32));
            entries.push(linked);
        }
    }
    // Cut in several chunks, and one byte more than can be a single one.
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(20 << 20)
    .collect();
    let kind = memory.file(noise);
    entries.push(entry("big/noise", 0o644, kind));
    let kind = memory.file(vec![0; (16 << 20) + 1]);
    entries.push(entry("big/zeros", 0o644, kind));
    (Index::from_entries(entries).unwrap(), memory)
}

/// Compares contents with those expected, by digest.
struct Compare(HashMap<Sha256, Vec<u8>>, usize);
impl ContentSink for Compare {
    fn file(
        &mut self,
        _: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn std::io::Read,
    ) -> std::io::Result<()> {
        let mut found = Vec::new();
        bytes.read_to_end(&mut found)?;
        assert_eq!(found.len() as u64, size);
        assert!(found == self.0[content]);
        self.1 += 1;
        Ok(())
    }
}

#[test]
fn a_tree_with_everything_comes_back() {
    let mut fixture = Fixture::new();
    let (index, mut memory) = golden();
    let options = PutOptions {
        nested: NestedAt::Always,
        ..PutOptions::default()
    };
    let published = fixture.publish("t/t.simg", &index, &mut memory, &options);
    let notes = published.notes.join("\n");
    for expected in ["user.long", "cross directories", "`$(`"] {
        assert!(notes.contains(expected), "{notes}");
    }
    assert_eq!(fixture.findings(), [""; 0]);

    let repository = Repository::open(&fixture.storage).unwrap();
    let (back, mut contents) = repository.tree(b"/t/t.simg", &mut |_| None).unwrap();
    assert_eq!(digests(&back).tree, digests(&index).tree);
    assert_eq!(digests(&back).full, digests(&index).full);
    let chunks = repository.stat(b"/t/t.simg/big/zeros").unwrap().chunks;
    assert_eq!(
        chunks.iter().map(|chunk| chunk.size).collect::<Vec<_>>(),
        [16 << 20, 1]
    );
    assert!(
        repository
            .stat(b"/t/t.simg/big/noise")
            .unwrap()
            .chunks
            .len()
            > 1
    );
    let links = |path: &[u8]| repository.stat(path).unwrap().links;
    assert_eq!(
        (links(b"/t/t.simg/links/a"), links(b"/t/t.simg/links/c")),
        (2, 1)
    );
    for entry in &index {
        let found = back.get(&entry.path).unwrap();
        assert_eq!(found.attr.mtime, entry.attr.mtime, "{}", entry.path);
    }

    // What was read is what was written, by the contents too.
    // The marker of the catalogue is a file too.
    memory.0.push(Vec::new());
    let all = memory
        .0
        .iter()
        .map(|bytes| (Sha256::of(bytes), bytes.clone()));
    let mut compare = Compare(all.collect(), 0);
    contents
        .visit(&Wanted::distinct(&back), &mut compare)
        .unwrap();
    assert!(compare.1 > 10);
}

#[test]
fn a_directory_of_a_hundred_thousand_files_is_one_catalogue_and_comes_back() {
    let mut fixture = Fixture::new();
    let mut memory = MemoryContents::default();
    let kinds = [b"one", b"two"].map(|text| memory.file(text.to_vec()));
    let entries = (0..100_000).map(|n| entry(format!("many/{n:06}"), 0o644, kinds[n % 2].clone()));
    let index = Index::from_entries(entries.collect()).unwrap();
    let options = PutOptions {
        nested: NestedAt::Always,
        ..PutOptions::default()
    };
    fixture.publish("t", &index, &mut memory, &options);
    let verified = fixture.verify(Depth::Full);
    assert!(verified.is_good(), "{:?}", verified.findings);
    // The root, the tree, and the directory, which is never divided.
    assert_eq!(verified.catalogs, 3);
    let repository = Repository::open(&fixture.storage).unwrap();
    assert_eq!(repository.list(b"/t/many").unwrap().len(), 100_000 + 2);
    let (back, _) = repository.tree(b"/t", &mut |_| None).unwrap();
    assert_eq!(digests(&back).tree, digests(&index).tree);
}

#[test]
fn a_wrong_record_of_a_tree_is_found() {
    let mut fixture = Fixture::new();
    let (index, mut memory) = golden();
    let always = PutOptions {
        nested: NestedAt::Always,
        ..PutOptions::default()
    };
    fixture.publish(
        "c/tool_1_20260101/tool_1_20260101.simg",
        &index,
        &mut memory,
        &always,
    );
    let digest = digests(&index).tree.to_string();
    for (text, good) in [
        (digest.clone(), true),
        (
            digest.replace(":sha256:", ":sha256:0")[..digest.len()].into(),
            false,
        ),
    ] {
        let mut memory = MemoryContents::default();
        let json = format!("{{\"version\":1,\"tree\":\"{text}\"}}").into_bytes();
        let record =
            Index::from_entries(vec![entry("tree.json", 0o644, memory.file(json))]).unwrap();
        let name = crate::fixture::name();
        let begin = nd_cvmfs::Begin {
            storage: &fixture.storage,
            keys: crate::fixture::keys(),
            name: &name,
            now: crate::fixture::now(),
        };
        let mut publisher = nd_cvmfs::Publisher::begin(begin).unwrap();
        let (options, cancel) = (
            nd_cvmfs::ObjectOptions::default(),
            nd_report::Cancel::default(),
        );
        (publisher.store(&record, &mut memory, &mut fixture.known, &options, &cancel)).unwrap();
        let dir = TreePath::new("c/tool_1_20260101").unwrap();
        publisher.put_into(Some(&dir), &record).unwrap();
        publisher.commit(&nd_cvmfs::Revision::default()).unwrap();
        let verified = fixture.verify(Depth::Full);
        assert_eq!(verified.is_good(), good, "{:?}", verified.findings);
        assert_eq!(verified.trees, u64::from(good));
    }
}

fn trees() -> impl Strategy<Value = Vec<(Vec<u8>, u16, u8, Vec<u8>)>> {
    let part = prop::collection::vec(
        prop_oneof![Just(b'a'), Just(b'-'), Just(b'.'), Just(0xff)],
        1..3,
    )
    .prop_filter("no part of paths", |part| part != b"." && part != b"..");
    let path = prop::collection::vec(part, 1..5).prop_map(|parts| parts.join(&b'/'));
    let mode = 0u16..0o10000;
    let content = prop::collection::vec(any::<u8>(), 1..20);
    prop::collection::vec((path, mode, 0u8..6, content), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_trees_keep_their_digests_however_they_are_cut(given in trees(), limit in 300u64..4000) {
        let mut memory = MemoryContents::default();
        let mut entries: Vec<Entry> = Vec::new();
        for (path, mode, kind, bytes) in given {
            let kind = match kind {
                0 => Kind::Dir { implicit: false },
                1 => Kind::Fifo,
                2 => Kind::Symlink { target: bytes.iter().map(|b| b | 1).collect() },
                _ => memory.file(bytes),
            };
            let mode = if matches!(kind, Kind::Symlink { .. }) { 0o777 } else { mode };
            entries.push(entry(path, mode, kind));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|a, b| a.path == b.path);
        let Ok(index) = Index::from_entries(entries) else { return Ok(()) };
        let mut fixture = Fixture::new();
        let options = PutOptions {
            nested: NestedAt::Always,
            cuts: CutOptions { max_bytes: limit },
            root: None,
        };
        fixture.publish("t", &index, &mut memory, &options);
        prop_assert_eq!(fixture.findings(), [""; 0]);
        let repository = Repository::open(&fixture.storage).unwrap();
        let (back, _) = repository.tree(b"/t", &mut |_| None).unwrap();
        prop_assert_eq!(digests(&back).tree, digests(&index).tree);
        prop_assert_eq!(digests(&back).full, digests(&index).full);
    }
}
