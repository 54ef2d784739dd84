//! Every format GNU tar writes is read as the directory it was made of.

use std::{
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::symlink,
};

use nd_oci::{Compression, Limits, index_layer, read_directory};
use nd_rootfs::{Duplicates, Level, diff, merge};

use crate::support::*;

#[test]
fn gnu_tar_writes_what_we_read() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    let deep = tree
        .join("d".repeat(60))
        .join("e".repeat(60))
        .join("f".repeat(60));
    fs_err::create_dir_all(&deep).unwrap();
    fs_err::write(deep.join("file"), b"deep").unwrap();
    fs_err::write(tree.join("plain"), vec![7; 70_000]).unwrap();
    fs_err::hard_link(tree.join("plain"), tree.join("plain-2")).unwrap();
    symlink("t".repeat(150), tree.join("link")).unwrap();
    let mut sparse = fs_err::File::create(tree.join("sparse")).unwrap();
    // More pieces than one old header holds.
    for piece in 0..60 {
        sparse
            .seek(SeekFrom::Start(piece * 100_000 + 4096))
            .unwrap();
        sparse.write_all(&[piece as u8 + 1; 5000]).unwrap();
    }
    sparse.set_len(9_000_000).unwrap();
    drop(sparse);
    let (expected, _) = read_directory(&tree).unwrap();

    let sparse: [&[&str]; 8] = [
        &["--format=oldgnu"],
        &["--format=gnu"],
        &["--format=posix"],
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=ustar", "--exclude=link"],
    ];
    for options in sparse {
        let archive = root.path().join("x.tar");
        let mut args: Vec<&dyn AsRef<std::path::Path>> = options.iter().map(|o| o as _).collect();
        args.extend([
            &"--numeric-owner" as &dyn AsRef<std::path::Path>,
            &"-cf",
            &archive,
            &"-C",
            &tree,
            &".",
        ]);
        if peer("tar", &args).is_none() {
            return;
        }
        let file = fs_err::File::open(&archive).unwrap();
        let read = index_layer(file, Compression::None, Limits::default()).unwrap();
        let merged = merge(&[&read.index], Duplicates::Refuse).unwrap().index;
        let changes: Vec<_> = diff(&expected, &merged, Level::Exact)
            .into_iter()
            .filter(|change| {
                !(options.contains(&"--exclude=link") && change.entry().path.as_bytes() == b"link")
            })
            .collect();
        assert!(changes.is_empty(), "{options:?}: {changes:#?}");
    }
}
