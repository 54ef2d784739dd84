//! Damaged images give errors, never anything else.

use std::{io::Read as _, sync::Arc};

use nd_report::Cancel;
use nd_rootfs::{Contents as _, Wanted, digests};
use nd_squashfs::{Compression, Digests, Limits, NodeKind, ReadError, Reader, WriteOptions};
use proptest::prelude::*;

use crate::support::*;

/// A small image with every kind of table.
fn sample(compression: Compression) -> Vec<u8> {
    let mut tree = TreeBuilder::default();
    tree.dir("d").attr.xattrs.insert(*b"user.a", vec![b'x'; 50]);
    tree.dir("d/e");
    for number in 0..200 {
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
    for compression in [Compression::Zstd(1), Compression::Gzip(1)] {
        let image = sample(compression);
        read_all(image.clone()).unwrap();
        let padded = image.len() - 4096;
        for length in (0..padded).step_by(97) {
            assert!(read_all(image[..length].to_vec()).is_err(), "{length}");
        }
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
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits_never_panic(
        gzip in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
        tables in any::<bool>(),
    ) {
        let compression = if gzip { Compression::Gzip(1) } else { Compression::Zstd(1) };
        let mut image = sample(compression);
        // Half of the time only where the tables are, at the end and at the start.
        let (from, length) = if tables { (image.len() - 12_000, 12_000) } else { (0, image.len()) };
        for (at, bit) in flips {
            image[from + at.index(length)] ^= 1 << bit;
        }
        // A flip in padding or in a data block stored as it is need not be noticed here.
        let _ = read_all(image);
    }

    #[test]
    fn other_superblocks_never_panic(words in prop::collection::vec((0_usize..24, any::<u32>()), 1..4)) {
        let mut image = sample(Compression::Zstd(1));
        for (word, value) in words {
            image[word * 4..word * 4 + 4].copy_from_slice(&value.to_le_bytes());
        }
        let _ = read_all(image);
    }
}
