//! Damaged images give errors, never anything else.

use std::{
    io::Read as _,
    sync::{Arc, LazyLock},
};

use nd_report::Cancel;
use nd_rootfs::{Contents as _, Wanted, digests};
use nd_squashfs::{Compression, Digests, Limits, NodeKind, ReadError, Reader, WriteOptions};
use proptest::prelude::*;

use crate::support::*;

static SAMPLES: LazyLock<[Vec<u8>; 2]> =
    LazyLock::new(|| [Compression::Zstd(1), Compression::Gzip(1)].map(make_sample));
static OPEN: LazyLock<Vec<u8>> = LazyLock::new(|| unpack_tables(&SAMPLES[0]));

/// A small image with every kind of table, each of one block.
fn make_sample(compression: Compression) -> Vec<u8> {
    let mut tree = TreeBuilder::default();
    tree.dir("d").attr.xattrs.insert(*b"user.a", vec![b'x'; 50]);
    tree.dir("d/e");
    for number in 0..60 {
        tree.file(format!("d/{number}"), &noise(number, 300));
    }
    tree.file("big", &noise(1, 30_000));
    tree.another_name("d/e/big");
    tree.file("holes", &[vec![0; 40_960], vec![1; 5]].concat());
    tree.link("l", b"d/e");
    tree.put("p", 0o600, nd_rootfs::Kind::Fifo);
    let (index, mut contents) = tree.done();
    let options = WriteOptions {
        compression,
        block_size: 4096,
        ..options()
    };
    pack(&index, &mut contents, &options).0
}

/// The same image with its tables stored as they are, so that a flipped bit is not just a block that
/// cannot be unpacked.
fn unpack_tables(image: &[u8]) -> Vec<u8> {
    let number = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap()) as usize;
    let [ids, xattrs, inodes, directories, fragments, exports] =
        [48, 56, 64, 72, 80, 88].map(number);
    let mut out = image[..inodes].to_vec();
    let set = |out: &mut Vec<u8>, at: usize, value: usize| {
        out[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    };
    let block = |out: &mut Vec<u8>, at: usize| {
        let start = out.len();
        let word = u16::from_le_bytes([image[at], image[at + 1]]);
        let packed = &image[at + 2..][..usize::from(word & 0x7fff)];
        let bytes = if word & 0x8000 == 0 {
            zstd::bulk::decompress(packed, 8192).unwrap()
        } else {
            packed.to_vec()
        };
        assert!(bytes.len() < 8192, "one block each");
        out.extend((bytes.len() as u16 | 0x8000).to_le_bytes());
        out.extend(bytes);
        start
    };
    for (field, at) in [(64, inodes), (72, directories)] {
        let start = block(&mut out, at);
        set(&mut out, field, start);
    }
    for (field, list) in [(80, fragments), (88, exports), (48, ids)] {
        let start = block(&mut out, number(list));
        let list = out.len();
        set(&mut out, field, list);
        out.extend((start as u64).to_le_bytes());
    }
    let pairs = block(&mut out, number(xattrs));
    let sets = block(&mut out, number(xattrs + 16));
    let list = out.len();
    set(&mut out, 56, list);
    out.extend((pairs as u64).to_le_bytes());
    out.extend_from_slice(&image[xattrs + 8..xattrs + 16]);
    out.extend((sets as u64).to_le_bytes());
    let end = out.len();
    set(&mut out, 40, end);
    out
}

/// Reads everything there is in every way there is. Must end soon, whatever the bytes are.
fn read_all(image: Vec<u8>) -> Result<(), ReadError> {
    let limits = Limits {
        entries: 5000,
        names: 1 << 20,
        file: 1 << 24,
        total: 1 << 26,
        xattrs: 1 << 16,
    };
    let reader = Arc::new(Reader::open(image, limits)?);
    for dir in ["", "d", "d/e"] {
        if let Ok(nodes) = reader.list(dir.as_bytes()) {
            for node in nodes
                .iter()
                .filter(|n| matches!(n.kind, NodeKind::File { .. }))
            {
                let mut some = [0; 5000];
                if let Ok(mut bytes) = reader.read(node) {
                    let _ = bytes.read(&mut some);
                }
            }
        }
    }
    let (index, mut contents) = reader.tree(Digests::Read { threads: 1 }, &Cancel::default())?;
    let _ = digests(&index);
    contents
        .visit(&Wanted::every_location(&index), &mut Checked::default())
        .unwrap();
    Ok(())
}

#[test]
fn a_part_of_an_image_is_none() {
    for image in SAMPLES.iter().chain([&*OPEN]) {
        read_all(image.clone()).unwrap();
        let used = u64::from_le_bytes(image[40..48].try_into().unwrap()) as usize;
        for length in (0..used).step_by(97).chain([used - 1]) {
            assert!(read_all(image[..length].to_vec()).is_err(), "{length}");
        }
        read_all(image[..used].to_vec()).unwrap();
    }
}

#[test]
fn a_killed_write_leaves_no_image() {
    /// Fails like a full disk after some bytes, and keeps what was written.
    struct Full(std::io::Cursor<Vec<u8>>, usize);
    impl std::io::Write for Full {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            if self.0.position() as usize + buf.len() > self.1 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0.write(buf)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl std::io::Seek for Full {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut tree = TreeBuilder::default();
    for number in 0..50 {
        tree.file(format!("{number}"), &noise(number, 9000));
    }
    let (index, mut contents) = tree.done();
    let whole = pack(&index, &mut contents, &options()).0.len();
    for most in (0..whole).step_by(whole / 30) {
        let mut out = Full(std::io::Cursor::new(Vec::new()), most);
        let error = nd_squashfs::write(&index, &mut contents, &mut out, &options()).unwrap_err();
        assert!(
            matches!(&error, nd_squashfs::WriteError::Output(e) if e.kind() == std::io::ErrorKind::StorageFull),
            "{error:?}"
        );
        assert!(matches!(
            read_all(out.0.into_inner()),
            Err(ReadError::NotSquashfs)
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bits_never_panic(
        gzip in 0_usize..2,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
    ) {
        let mut image = SAMPLES[gzip].clone();
        for (at, bit) in flips {
            let at = at.index(image.len());
            image[at] ^= 1 << bit;
        }
        // A flip in padding or in a data block stored as it is need not be noticed here.
        let _ = read_all(image);
    }

    #[test]
    fn other_tables_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut image = OPEN.clone();
        let tables = u64::from_le_bytes(image[64..72].try_into().unwrap()) as usize;
        for (at, value) in changes {
            let at = tables + at.index(image.len() - tables);
            image[at] = value;
        }
        let _ = read_all(image);
    }

    #[test]
    fn other_superblocks_never_panic(words in prop::collection::vec((0_usize..24, any::<u32>()), 1..4)) {
        let mut image = OPEN.clone();
        for (word, value) in words {
            image[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        let _ = read_all(image);
    }
}
