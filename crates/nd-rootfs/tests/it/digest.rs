//! The vectors of the design, the reference listing on random trees, and what each field does.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use nd_names::Sha256;
use nd_rootfs::{
    CAPABILITY, DeviceClass, Duplicates, Entry, Index, Kind, LayerEntry, Profile, TreeDigest,
    digests, left_out, merge, subtree_digest,
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use crate::support::*;

const EMPTY_REST: &str =
    "tree1rest:sha256:20d8f6349280f58c7c1c98580ef10e4d308a87a834115744d570935249d89aba";

fn check(index: &Index, tree: &str, full: &str, rest: &str) {
    let got = digests(index);
    assert_eq!(got.tree.to_string(), format!("tree1:sha256:{tree}"));
    assert_eq!(got.full.to_string(), format!("tree1full:sha256:{full}"));
    assert_eq!(got.rest.to_string(), rest);
}

fn vector_2() -> Vec<Entry> {
    vec![
        link("bin", "usr/bin"),
        dir("usr"),
        dir("usr/bin"),
        dir("usr/share"),
        with(file("usr/bin/hello", b"#!/bin/sh\necho hello\n"), |e| {
            e.attr.mode = 0o755;
        }),
    ]
}

const TREE_2: &str = "45e4efc2552ce2d65aa354261cb735185e0d37ff0a00600c8b8c808591669439";
const FULL_2: &str = "b137a6d3221d20bb10973771965b728c3956288d17a6f0914cf9b4c11dec2036";

#[test]
fn vectors_1_to_3() {
    check(
        &index(vec![]),
        "35ae426f7086511a1fc58ebf8928e1522b6af80d738d8a4af85633eb20034909",
        "05cb95d552f22c553d1df139bd1d80f0d101e34e1fa39082675133d9b73b851b",
        EMPTY_REST,
    );
    check(&index(vector_2()), TREE_2, FULL_2, EMPTY_REST);
    let tree = index(vec![
        dir("a"),
        file("a/b", b"1"),
        file("a-b", b"2"),
        file("a.b", b"3"),
        file(b"\xff\xfe", b""),
        file("sp ace\n", b"4"),
        file(b"\xc3\xa9", b"5"),
        file(b"\x65\xcc\x81", b"6"),
        link(&"n".repeat(255), "$(HOME)/x"),
    ]);
    check(
        &tree,
        "b3b389b9758ebd80372f37265fa8148973d3d49f0d6ebce12338eb6e68c7a371",
        "3f9d36eeb6f1a9bfbc2c7f43779a6be6c82c5ec2546b97b0fdfb42a4e123cb36",
        EMPTY_REST,
    );
}

fn capability(revision: u8) -> Vec<u8> {
    let mut value = vec![1, 0, 0, revision, 0, 0x20, 0, 0];
    value.resize(if revision == 3 { 24 } else { 20 }, 0);
    value
}

#[test]
fn vector_4_attributes() {
    let mut entries = vector_2();
    let change = |entry: &mut Entry, mode, uid, gid| {
        entry.attr.mode = mode;
        entry.attr.uid = uid;
        entry.attr.gid = gid;
    };
    change(&mut entries[1], 0o2750, 33, 33);
    change(&mut entries[4], 0o4711, 1000, 1001);
    entries[4].attr.xattrs.insert(CAPABILITY, capability(3));
    entries[4].attr.xattrs.insert(*b"user.note", *b"x");
    entries[4].attr.xattrs.insert(*b"security.selinux", *b"y");
    entries.push(entry("fifo", 0o600, Kind::Fifo));
    entries.push(with(device("cdev", DeviceClass::Char, 1, 3), |e| {
        e.attr.gid = 6;
    }));
    entries.push(entry("sock", 0o755, Kind::Socket));
    let full = "7b690bfcea195ba5ef0e65adcd719bc8deda5c6caea85ef776d17b5e8c8921a2";
    check(&index(entries), TREE_2, full, EMPTY_REST);
}

#[test]
fn vector_5_left_out() {
    let rest = "tree1rest:sha256:af776775ffde38cc49ba9c9fb89fcfc78044b33b8161ade04ab9ac60d3f3d64e";
    let mut entries = vector_2();
    entries.extend([".singularity.d", "etc", "dev", "home"].map(dir));
    entries.push(with(
        file(".singularity.d/runscript", b"#!/bin/sh\n"),
        |e| e.attr.mode = 0o755,
    ));
    entries.push(link("singularity", ".singularity.d/runscript"));
    entries.push(file("etc/hosts", b""));
    entries.push(device("dev/null", DeviceClass::Char, 1, 3));
    entries.push(file(".cvmfscatalog", b""));
    check(&index(entries.clone()), TREE_2, FULL_2, rest);
    entries.push(file("environment", b"mine\n"));
    entries.push(file("usr/.cvmfscatalog", b"not empty\n"));
    check(
        &index(entries),
        "679cf4938f9d0fbdbac6e5e40df2969ee493d5a9ba4e20e436dc516d6726bedf",
        "d10928525aa8e30e76d57dc647d04f3b720e75aa8de55a478fc8a628719ee963",
        rest,
    );
}

#[test]
fn vector_6_layers() {
    let plain = LayerEntry::Entry;
    let layers = [
        layer(vec![
            plain(dir("opt")),
            plain(file("opt/t", b"old\n")),
            hard("opt/l", "opt/t"),
            plain(dir("opt/d")),
            plain(file("opt/d/x", b"x")),
        ]),
        layer(vec![
            LayerEntry::Whiteout(path("opt/t")),
            plain(file("opt/d", b"file")),
        ]),
        layer(vec![
            plain(with(file("opt/t", b"new\n"), |e| e.attr.mode = 0o755)),
            plain(file("opt/d/y", b"y")),
            hard("opt/m", "opt/l"),
        ]),
    ];
    let merged = merge(&layers.each_ref(), Duplicates::Refuse).unwrap().index;
    check(
        &merged,
        "1b6609be163b2320466603cc5b929eb1c059eaadb37e4192d2bfad7f91a4d4a8",
        "da42bbc926da8c729debda4ef26d663ae23c382507c91199e8df55ce074598f8",
        EMPTY_REST,
    );
    let groups: Vec<_> = ["opt/l", "opt/m", "opt/t"]
        .map(|p| merged.get(p).unwrap().group)
        .into();
    assert!(groups[0].is_some() && groups[0] == groups[1] && groups[2].is_none());
    assert_eq!(
        merged.get("opt/d").unwrap().kind,
        Kind::Dir { implicit: true }
    );
}

#[test]
fn worked_example_and_text_form() {
    let tree = index(vector_2());
    let usr = subtree_digest(&tree, &path("usr"), Profile::Tree).unwrap();
    assert_eq!(
        usr.node.hex(),
        "b1438b975adc560766b928814127c758d8a49262cffd270c6b56cbc306548b87"
    );
    let bin = subtree_digest(&tree, &path("usr/bin"), Profile::Tree).unwrap();
    assert_eq!(
        bin.node.hex(),
        "02581ae66fe4dfe4250556b17c93cc8cd098cd062250893e586a4ee2015d3760"
    );
    assert_eq!(usr.to_string().parse(), Ok(usr));
    let hex = usr.node.hex();
    for bad in [
        format!("tree1:{hex}"),
        format!("tree1:sha256:sha256:{hex}"),
        format!("tree:sha256:{hex}"),
        hex.clone(),
    ] {
        let error = bad.parse::<TreeDigest>().unwrap_err();
        assert!(error.to_string().contains("is not of the form"), "{error}");
    }
    let error = format!("tree2:sha256:{hex}")
        .parse::<TreeDigest>()
        .unwrap_err();
    assert!(error.to_string().contains("cannot be compared"), "{error}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

fn as_json(tree: &Index) -> String {
    let entries = tree.iter().map(|e| {
        let (kind, more) = match &e.kind {
            Kind::Dir { .. } => ("d", String::new()),
            Kind::File { size, content, .. } => (
                "f",
                format!(r#","size":{size},"sha256":"{}""#, content.hex()),
            ),
            Kind::Symlink { target } => ("l", format!(r#","target":"{}""#, hex(target))),
            Kind::Fifo => ("p", String::new()),
            Kind::Socket => ("s", String::new()),
            Kind::Device {
                class,
                major,
                minor,
            } => (
                if *class == DeviceClass::Char {
                    "c"
                } else {
                    "b"
                },
                format!(r#","major":{major},"minor":{minor}"#),
            ),
        };
        let xattrs: Vec<_> = e
            .attr
            .xattrs
            .iter()
            .map(|(k, v)| format!(r#""{}":"{}""#, hex(k), hex(v)))
            .collect();
        format!(
            r#"{{"path":"{}","kind":"{kind}","mode":{},"uid":{},"gid":{},"xattrs":{{{}}}{more}}}"#,
            hex(e.path.as_bytes()),
            e.attr.mode,
            e.attr.uid,
            e.attr.gid,
            xattrs.join(",")
        )
    });
    format!("[{}]\n", entries.collect::<Vec<_>>().join(","))
}

#[test]
fn reference_listing_agrees_on_random_trees() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/reference.py");
    #[expect(
        clippy::disallowed_methods,
        reason = "a test judges by a peer, the reference listing"
    )]
    let child = std::process::Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var_os("ND_REQUIRE_PEERS").is_none(),
            "install python3"
        );
        println!("skipped: python3 is not installed");
        return;
    };
    let mut runner = TestRunner::deterministic();
    let trees: Vec<Index> = (0..400)
        .map(|_| tree().new_tree(&mut runner).unwrap().current())
        .collect();
    let input: String = trees.iter().map(as_json).collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), trees.len());
    for (tree, expected) in trees.iter().zip(text.lines()) {
        let got = digests(tree);
        assert_eq!(
            format!("{} {} {}", got.tree, got.full, got.rest),
            expected,
            "{}",
            as_json(tree)
        );
    }
}

/// Changes one field of the entry at `at` and says whether `tree1` and `tree1full` must change.
fn mutate(tree: &Index, at: usize, what: u8) -> Option<(Index, bool, bool)> {
    let mut entries = tree.clone().into_entries();
    let entry = &mut entries[at];
    if left_out(entry) || matches!(entry.kind, Kind::Socket) {
        return None;
    }
    let seen = !matches!(entry.kind, Kind::Fifo | Kind::Device { .. });
    let attr = &mut entry.attr;
    let (content, full) = match what {
        0 => {
            attr.mtime += 1;
            (false, false)
        }
        1 => {
            attr.xattrs.insert(*b"user.other", *b"1");
            (false, false)
        }
        2 => {
            attr.uid += 1;
            (false, true)
        }
        3 => {
            attr.gid += 1;
            (false, true)
        }
        4 if !matches!(entry.kind, Kind::Symlink { .. }) => {
            attr.mode ^= 0o4000;
            (false, true)
        }
        5 if matches!(entry.kind, Kind::File { .. }) => {
            let executable = attr.mode & 0o111 != 0;
            attr.mode ^= if executable { attr.mode & 0o111 } else { 0o1 };
            (true, true)
        }
        6 => match &mut entry.kind {
            Kind::File { content, size, .. } if *size > 0 => {
                *content = Sha256::from_bytes([9; 32]);
                (true, true)
            }
            Kind::Symlink { target } if !target.starts_with(b".sing") => {
                *target = (*b"other").into();
                (true, true)
            }
            Kind::Device { minor, .. } => {
                *minor += 1;
                (false, true)
            }
            _ => return None,
        },
        7 => {
            attr.xattrs.insert(CAPABILITY, vec![7; 20]);
            (false, true)
        }
        8 if !entry.kind.is_dir() && !on_implied_point(entry) => {
            entries.remove(at);
            (seen, true)
        }
        _ => return None,
    };
    Some((Index::from_entries(entries).ok()?, content, full))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_field_changes_what_it_should(tree in tree(), at: prop::sample::Index, what in 0_u8..9) {
        prop_assume!(!tree.is_empty());
        let Some((other, content, full)) = mutate(&tree, at.index(tree.len()), what) else { return Ok(()) };
        let (a, b) = (digests(&tree), digests(&other));
        prop_assert_eq!(a.tree != b.tree, content);
        prop_assert_eq!(a.full != b.full, full);
    }

    #[test]
    fn order_of_entries_and_capability_revision_do_not_matter(tree in tree(), seed: u64) {
        let mut entries = tree.clone().into_entries();
        let mut state = seed | 1;
        for at in (1..entries.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            entries.swap(at, (state >> 33) as usize % (at + 1));
        }
        for entry in &mut entries {
            if let Some(value) = entry.attr.capability() {
                entry.attr.xattrs.insert(CAPABILITY, value);
            }
        }
        prop_assert_eq!(digests(&index(entries)), digests(&tree));
    }

    #[test]
    fn every_visible_entry_is_in_exactly_one_digest(tree in tree(), at: prop::sample::Index) {
        prop_assume!(!tree.is_empty());
        let mut entries = tree.clone().into_entries();
        let at = at.index(entries.len());
        if !matches!(entries[at].kind, Kind::File { .. } | Kind::Symlink { .. }) {
            return Ok(());
        }
        entries.remove(at);
        let (a, b) = (digests(&tree), digests(&index(entries)));
        prop_assert!((a.tree != b.tree) ^ (a.rest != b.rest));
    }
}
