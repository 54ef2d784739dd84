//! Archives made to mislead are refused by name, and no bytes make the reader panic.

use nd_oci::{Compression, Limits, OciError, index_layer};
use proptest::prelude::*;

/// One ustar block; `size` bytes of `data` follow by hand.
fn header(name: &[u8], flag: u8, link: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = flag;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn pax(records: &str) -> Vec<u8> {
    let mut out = header(b"p", b'x', b"", records.len() as u64);
    out.extend_from_slice(records.as_bytes());
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn read(tar: &[u8], limits: Limits) -> Result<nd_oci::IndexedLayer, OciError> {
    index_layer(tar, Compression::None, limits)
}

fn message(tar: &[u8], limits: Limits) -> String {
    nd_report::with_causes(&read(tar, limits).unwrap_err())
}

#[test]
fn misleading_entries_are_refused_by_name() {
    let few = Limits {
        entries: 1,
        extended: 600,
        xattr: 3,
        file: 10,
        total: 10,
    };
    let all = Limits::default();
    let mut bad_sum = header(b"sum", b'0', b"", 0);
    bad_sum[0] = b'S';
    let cases: Vec<(&str, Vec<u8>, Limits)> = vec![
        (
            "`a/../../etc/passwd` has a `..` part",
            header(b"a/../../etc/passwd", b'0', b"", 0),
            all,
        ),
        (
            "`../x` has a `..` part",
            header(b"l", b'1', b"../x", 0),
            all,
        ),
        (
            "`odd` is refused: an unknown type of entry",
            header(b"odd", b'Z', b"", 0),
            all,
        ),
        ("overlay whiteout", header(b"wh", b'3', b"", 0), all),
        (
            "`.wh.` is refused: a whiteout of nothing",
            header(b".wh.", b'0', b"", 0),
            all,
        ),
        ("`.wh...` is refused", header(b".wh...", b'0', b"", 0), all),
        (
            "it lies below a whiteout",
            header(b".wh.d/x", b'0', b"", 0),
            all,
        ),
        ("symlink target", header(b"s", b'2', b"", 0), all),
        ("a bad checksum", bad_sum, all),
        ("near entry `big`", header(b"big", b'0', b"", 4096), all),
        (
            "limit of 10 bytes in one file",
            header(b"big", b'0', b"", 11),
            few,
        ),
        (
            "limit of 600 bytes of extended headers",
            pax(&format!("{} comment={}\n", 700, "x".repeat(687))),
            few,
        ),
        (
            "limit of 3 bytes in one extended attribute",
            [
                pax("28 SCHILY.xattr.user.a=long\n"),
                header(b"f", b'0', b"", 0),
            ]
            .concat(),
            few,
        ),
        (
            "limit of 1 entries",
            [header(b"a", b'0', b"", 0), header(b"b", b'0', b"", 0)].concat(),
            few,
        ),
        ("a malformed extended header", pax("99 path=x\n"), all),
        (
            "a NUL byte in an extended header",
            [pax("10 path=\0\n"), header(b"f", b'0', b"", 0)].concat(),
            all,
        ),
        (
            "sparse map",
            [
                pax("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"),
                header(b"f", b'0', b"", 0),
            ]
            .concat(),
            all,
        ),
    ];
    for (expected, tar, limits) in cases {
        let text = message(&tar, limits);
        assert!(
            text.contains(expected),
            "expected `{expected}`, got `{text}`"
        );
    }
}

#[test]
fn extended_headers_override_and_links_carry_no_data() {
    let tar = [
        pax("14 path=other\n"),
        header(b"name", b'0', b"", 0),
        // The size of a directory or link says nothing about data.
        header(b"dir", b'5', b"", 4096),
        header(b"hard", b'1', b"other", 4096),
        header(b"old-dir/", 0, b"", 0),
        vec![0; 1024],
    ]
    .concat();
    let names: Vec<String> = read(&tar, Limits::default())
        .unwrap()
        .index
        .entries
        .iter()
        .map(|e| e.path().unwrap().to_string())
        .collect();
    assert_eq!(names, ["other", "dir", "hard", "old-dir"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_archives_never_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), keep: prop::sample::Index) {
        let mut tar = [
            pax("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=9\n"),
            header(b"sparse", b'0', b"", 1024),
            b"1\n0\n4\n".iter().copied().chain(std::iter::repeat(0)).take(1024).collect(),
            pax("29 mtime=123456789.123456789\n"),
            header(b"d/file", b'S', b"", 3),
            vec![1; 512],
            header(b"l", b'1', b"d/file", 0),
            vec![0; 1024],
        ]
        .concat();
        for (at, byte) in cuts {
            let at = at.index(tar.len());
            tar[at] = byte;
            // Keep the checksum right, so that the damage is seen by what comes after it.
            let block = at / 512 * 512;
            if tar[block + 257..block + 262] == *b"ustar" {
                tar[block + 148..block + 156].fill(b' ');
                let sum: u32 = tar[block..block + 512].iter().map(|&b| u32::from(b)).sum();
                tar[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        tar.truncate(keep.index(tar.len() * 4).min(tar.len()));
        let _ = read(&tar, Limits::default());
        for compression in [Compression::Gzip, Compression::Zstd] {
            let _ = index_layer(&tar[..], compression, Limits::default());
        }
    }
}
