//! What is written is what is read.

use nd_rootfs::{CAPABILITY, Contents as _, DeviceClass, Index, Kind, Wanted, digests};
use nd_squashfs::{Compression, WriteError, WriteOptions};
use proptest::prelude::*;

use crate::support::*;

/// A tree with everything a tree can have; `block` is the block size it will be packed with.
pub(crate) fn golden(block: usize) -> (Index, Memory) {
    let mut tree = TreeBuilder::default();
    for dir in ["usr", "usr/bin", "opt", "opt/empty", "var", "many", "dev"] {
        tree.dir(dir);
    }
    tree.dir("tmp").attr.mode = 0o1777;
    let capable = tree.file("usr/bin/ping", &noise(1, 4000));
    capable.attr.mode = 0o755;
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    capable.attr.xattrs.insert(CAPABILITY, capability);
    capable.attr.xattrs.insert(*b"user.note", vec![b'v'; 600]);
    capable.attr.xattrs.insert(*b"trusted.t", *b"");
    tree.file("usr/bin/su", b"su").attr.mode = 0o4755;
    let shared = tree.file("usr/bin/one", &noise(2, 77));
    (shared.attr.uid, shared.attr.gid) = (3_000_000, 1001);
    tree.another_name("usr/bin/two");
    tree.another_name("opt/three");
    tree.another_name("a-first");
    tree.put("opt/pipe", 0o640, Kind::Fifo);
    tree.another_name("opt/pipe-again");
    tree.put("opt/socket", 0o600, Kind::Socket);
    for (name, class, major, minor) in [
        ("dev/null", DeviceClass::Char, 1, 3),
        ("dev/far", DeviceClass::Block, 259, 70_001),
    ] {
        let kind = Kind::Device {
            class,
            major,
            minor,
        };
        tree.put(name, 0o666, kind);
    }
    tree.link("bin", b"usr/bin");
    tree.link("opt/far", &[&b"/"[..], &b"x/".repeat(2000)].concat());
    tree.file("opt/empty-file", b"");
    for (name, size) in [
        ("less", block - 1),
        ("same", block),
        ("more", block + 1),
        ("twice", 2 * block),
    ] {
        tree.file(format!("opt/{name}"), &noise(size as u64, size));
        tree.file(format!("opt/{name}-again"), &noise(size as u64, size));
        tree.file(format!("opt/{name}-packs"), &b"ab".repeat(size)[..size]);
    }
    let mut holes = vec![0; 20 * block + 5];
    holes[7 * block + 3] = 1;
    tree.file("var/holes", &holes);
    tree.file("var/all-hole", &vec![0; 3 * block]);
    tree.file("var/zeros-with-end", &vec![0; 3 * block + 9]);
    tree.file("var/small-zeros", &[0; 9]);
    tree.file(b"\xff".repeat(255), b"4");
    tree.file([&b"opt/"[..], &b"n".repeat(255)].concat(), b"5");
    tree.file("opt/\u{fc}mlaut\nline", b"6");
    tree.file("opt/a", b"");
    tree.dir("opt/a-b");
    tree.file("opt/a.b", b"x");
    for number in 0..3000 {
        let name = format!("many/{number:05}-{}", "n".repeat(number % 90));
        tree.file(name, format!("{}", number % 700).as_bytes());
    }
    tree.done()
}

#[test]
fn everything_survives_with_each_compression() {
    for (compression, block) in [
        (Compression::Zstd(3), 128 * 1024),
        (Compression::Gzip(6), 128 * 1024),
        (Compression::Zstd(1), 4096),
        (Compression::Gzip(1), 1 << 20),
    ] {
        let (index, mut contents) = golden(block);
        let options = WriteOptions {
            compression,
            block_size: block as u32,
            ..options()
        };
        let (image, written) = pack(&index, &mut contents, &options);
        assert_eq!(written.notes, [""; 0]);
        let (back, mut image) = read(image).unwrap();
        assert_eq!(comparable(&back), comparable(&index));
        assert_eq!(digests(&back), digests(&index));
        let mut checked = Checked::default();
        let wanted = Wanted::every_location(&back);
        image.visit(&wanted, &mut checked).unwrap();
        assert_eq!(checked.0, wanted.len());
    }
}

#[test]
fn bytes_do_not_depend_on_threads_place_or_the_order_of_numbers() {
    let (index, mut contents) = golden(4096);
    let with = |threads, contents: &mut Memory| {
        let options = WriteOptions {
            threads,
            block_size: 4096,
            ..options()
        };
        pack(&index, contents, &options).0
    };
    let one = with(1, &mut contents);
    for threads in [1, 2, 2, 7] {
        assert!(with(threads, &mut contents) == one, "{threads} threads");
    }
    // Somewhere in a larger file, as in a partition.
    let mut out = std::io::Cursor::new(vec![7; 10_000]);
    out.set_position(4096);
    let options = WriteOptions {
        block_size: 4096,
        ..options()
    };
    nd_squashfs::write(&index, &mut contents, &mut out, &options).unwrap();
    let out = out.into_inner();
    assert!(out[..4096].iter().all(|&b| b == 7));
    assert!(out[4096..] == one);
}

#[test]
fn bytes_are_the_same_on_every_machine() {
    // Another version of a compressor may change these; nothing else should.
    for (compression, expected) in [
        (
            Compression::Zstd(3),
            "03a87e00e0f09f9b2f585b569570ffea7c2e7ba62e7b50bbc71d4767f11ab8ed",
        ),
        (
            Compression::Gzip(6),
            "37b5d61a2f057e5b6c9b2c91675c68b9f8002e6735f0f536d4707f6da568c31b",
        ),
    ] {
        let (index, mut contents) = golden(128 * 1024);
        let options = WriteOptions {
            compression,
            ..options()
        };
        let (image, _) = pack(&index, &mut contents, &options);
        let digest = nd_names::Sha256::of(&image);
        assert_eq!(digest.hex(), expected, "{compression:?}");
    }
}

#[test]
fn progress_ends_at_all_bytes() {
    struct Last(std::sync::Mutex<Vec<u64>>);
    impl nd_report::Reporter for Last {
        fn event(&self, event: nd_report::Event<'_>) {
            if let nd_report::Event::Advanced { id, bytes } = event {
                assert_eq!(id, nd_report::StepId(7));
                self.0.lock().unwrap().push(bytes);
            }
        }
    }
    let mut tree = TreeBuilder::default();
    for number in 0..30 {
        tree.file(format!("{number}"), &noise(number, 900_000));
    }
    let (index, mut contents) = tree.done();
    let last = Last(std::sync::Mutex::default());
    let options = WriteOptions {
        progress: Some(nd_squashfs::Progress {
            reporter: &last,
            step: nd_report::StepId(7),
        }),
        ..options()
    };
    let (_, written) = pack(&index, &mut contents, &options);
    let said = last.0.into_inner().unwrap();
    assert_eq!(said.last(), Some(&(30 * 900_000)));
    assert_eq!(written.content_bytes, 30 * 900_000);
    assert!(said.len() > 3 && said.is_sorted(), "{said:?}");
}

#[test]
fn contents_are_packed_from_one_image_into_the_next() {
    let (index, mut contents) = golden(8192);
    let small = WriteOptions {
        block_size: 8192,
        ..options()
    };
    let (image, _) = pack(&index, &mut contents, &small);
    let (back, mut image) = read(image).unwrap();
    let (again, _) = pack(&back, &mut image, &options());
    let (again, _) = read(again).unwrap();
    assert_eq!(comparable(&again), comparable(&index));
}

#[test]
fn equal_contents_are_stored_once_and_holes_not_at_all() {
    let block = 128 * 1024;
    let mut tree = TreeBuilder::default();
    for number in 0..10 {
        tree.file(format!("copy-{number}"), &noise(5, 3 * block + 50_000));
        tree.file(format!("small-{number}"), &noise(6, 100));
    }
    tree.file("hole", &vec![0; 64 * block]);
    let (index, mut contents) = tree.done();
    let (image, written) = pack(&index, &mut contents, &options());
    assert!(image.len() < 4 * block, "{}", image.len());
    assert_eq!(written.contents, 3);
}

#[test]
fn times_are_clamped_and_unknown_attributes_noted() {
    let mut tree = TreeBuilder::default();
    tree.file("late", b"1").attr.mtime = 1 << 40;
    tree.file("early", b"2").attr.mtime = -62_135_596_800;
    tree.file("usual", b"3").attr.mtime = 77;
    let odd = tree.file("odd", b"4");
    odd.attr.xattrs.insert(*b"system.posix_acl_access", *b"x");
    odd.attr.xattrs.insert(*b"user.kept", *b"y");
    let (index, mut contents) = tree.done();
    let epoch = Some(1_700_000_000);
    let (image, written) = pack(&index, &mut contents, &WriteOptions { epoch, ..options() });
    assert_eq!(written.notes.len(), 2, "{:?}", written.notes);
    let (back, _) = read(image).unwrap();
    let time = |name: &str| back.get(name).unwrap().attr.mtime;
    assert_eq!(
        [time("late"), time("early"), time("usual")],
        [1_700_000_000, 0, 77]
    );
    let odd = &back.get("odd").unwrap().attr.xattrs;
    assert_eq!((odd.len(), odd.get(b"user.kept")), (1, Some(&b"y"[..])));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refuse = |tree: TreeBuilder, options: &WriteOptions<'_>| {
        let (index, mut contents) = tree.done();
        let mut out = std::io::Cursor::new(Vec::new());
        let error = nd_squashfs::write(&index, &mut contents, &mut out, options).unwrap_err();
        // Not even the magic number has been written.
        assert!(out.get_ref().get(..4).is_none_or(|head| head == [0; 4]));
        error
    };
    let mut ids = TreeBuilder::default();
    for number in 0..65_540 {
        ids.put(format!("f{number:05}"), 0o600, Kind::Fifo).attr.uid = number;
    }
    let error = refuse(ids, &options()).to_string();
    assert!(error.contains("`f65535`"), "{error}");

    let mut device = TreeBuilder::default();
    let kind = Kind::Device {
        class: DeviceClass::Char,
        major: 5000,
        minor: 1,
    };
    device.put("dev", 0o600, kind);
    let error = refuse(device, &options()).to_string();
    assert!(error.contains("`dev`"), "{error}");

    let mut unread = TreeBuilder::default();
    let file = unread.file("unread", b"abc");
    if let Kind::File { content, .. } = &mut file.kind {
        *content = nd_squashfs::UNREAD;
    }
    let error = refuse(unread, &options());
    assert!(matches!(error, WriteError::Unread(path) if path.as_bytes() == b"unread"));

    let odd = WriteOptions {
        block_size: 100_000,
        ..options()
    };
    assert!(matches!(
        refuse(TreeBuilder::default(), &odd),
        WriteError::Option { .. }
    ));
    let stopped = options();
    stopped.cancel.cancel();
    let mut some = TreeBuilder::default();
    some.file("some", &[1; 50]);
    assert!(matches!(refuse(some, &stopped), WriteError::Cancelled(_)));
}

fn tree() -> impl Strategy<Value = (Index, Memory)> {
    let name = prop_oneof![
        4 => "[a-c.-]{1,3}".prop_map(String::into_bytes),
        1 => prop::collection::vec(128_u8.., 1..80),
        1 => Just(b"n".repeat(255)),
    ];
    let sizes = vec![0, 1, 100, 4095, 4096, 4097, 8192, 13_000];
    let attr = (
        0_u16..0o10000,
        prop::sample::select(vec![0_u32, 7, 3_000_000, u32::MAX]),
        prop::sample::select(vec![0_i64, 5, 1_700_000_000, (1 << 32) - 1]),
    );
    let size = prop::sample::select(sizes);
    let one = (
        prop::collection::vec(name, 1..4),
        0_u8..12,
        attr,
        size,
        0_u64..4,
    );
    prop::collection::vec(one, 0..40).prop_map(|items| {
        let mut tree = TreeBuilder::default();
        let mut taken: std::collections::BTreeMap<Vec<u8>, bool> = [].into();
        for (number, (parts, what, (mode, uid, mtime), size, seed)) in items.into_iter().enumerate()
        {
            let parts: Vec<_> = (parts.into_iter())
                .map(|part| match &part[..] {
                    b"." | b".." => b"dot".to_vec(),
                    _ => part,
                })
                .collect();
            let at = parts.join(&b'/');
            let above = (1..parts.len()).map(|n| parts[..n].join(&b'/'));
            let blocked = above.clone().any(|dir| taken.get(&dir) == Some(&false));
            if blocked || taken.contains_key(&at) {
                continue;
            }
            for dir in above {
                if taken.insert(dir.clone(), true).is_none() {
                    tree.dir(dir);
                }
            }
            taken.insert(at.clone(), what == 0);
            let entry = match what {
                0 => tree.dir(&at),
                1 => tree.put(&at, 0, Kind::Fifo),
                2 => tree.put(&at, 0, Kind::Socket),
                3 => tree.link(&at, &b"t".repeat(size % 4095 + 1)),
                4 => tree.file(&at, &vec![0; size]),
                5 => tree.file(&at, &b"ab".repeat(size)[..size]),
                _ => tree.file(&at, &noise(seed, size)),
            };
            if what != 3 {
                entry.attr.mode = mode;
            }
            (entry.attr.uid, entry.attr.mtime) = (uid, mtime);
            if seed == 1 {
                entry.attr.xattrs.insert(*b"user.x", vec![b'=', what]);
                entry
                    .attr
                    .xattrs
                    .insert(CAPABILITY, noise(u64::from(what), 20));
            }
            if what != 0 && number % 5 == 0 {
                tree.another_name(format!("other-{number}"));
                taken.insert(format!("other-{number}").into_bytes(), false);
            }
        }
        tree.done()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_random_tree_is_read_as_it_was_written(
        (index, mut contents) in tree(),
        gzip in any::<bool>(),
        threads in 1_usize..3,
    ) {
        let compression = if gzip { Compression::Gzip(1) } else { Compression::Zstd(1) };
        let options = WriteOptions { compression, block_size: 4096, threads, ..options() };
        let (image, _) = pack(&index, &mut contents, &options);
        let (back, mut image) = read(image).unwrap();
        prop_assert_eq!(comparable(&back), comparable(&index));
        prop_assert_eq!(digests(&back), digests(&index));
        let mut checked = Checked::default();
        image.visit(&Wanted::distinct(&back), &mut checked).unwrap();
    }
}
