//! What we write, read by those who know: `unsquashfs`, `sqfs2tar`, the kernel.

use std::{
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nd_oci::{Compression as TarCompression, Limits, index_layer, read_directory};
use nd_rootfs::{Duplicates, Index, Kind, Level, diff, digests, merge};
use nd_squashfs::{Compression, WriteOptions};

use crate::{round_trip::golden, support::*};

fn images(folder: &Path) -> Vec<(PathBuf, Index)> {
    let mut out = Vec::new();
    for (name, compression, block) in [
        ("zstd", Compression::Zstd(3), 128 * 1024),
        ("gzip", Compression::Gzip(6), 128 * 1024),
        ("small", Compression::Zstd(1), 4096),
        ("large", Compression::Gzip(1), 256 * 1024),
    ] {
        let (index, mut contents) = golden(block);
        let options = WriteOptions {
            compression,
            block_size: block as u32,
            ..options()
        };
        let at = folder.join(name);
        fs_err::write(&at, pack(&index, &mut contents, &options).0).unwrap();
        out.push((at, index));
    }
    out
}

/// Everything is equal, links and attributes too.
fn assert_same(index: &Index, folder: &Path) {
    let (unpacked, _) = read_directory(folder).unwrap();
    let changes = diff(index, &unpacked, Level::Exact);
    assert!(changes.is_empty(), "{changes:#?}");
    assert_eq!(digests(&unpacked), digests(index));
    for (a, b) in comparable(&unpacked).iter().zip(comparable(index)) {
        assert_eq!((a.group, &a.path), (b.group, &b.path));
        // What a walk of the host keeps of attributes, it must find.
        for (name, value) in a.attr.xattrs.iter() {
            assert_eq!(b.attr.xattrs.get(name), Some(value), "{}", a.path);
        }
    }
}

#[test]
fn unsquashfs_unpacks_exactly_what_was_packed() {
    if peer("unsquashfs").is_none() || !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (image, index) in images(folder.path()) {
        let to = image.with_extension("unpacked");
        succeed(
            peer("unsquashfs")
                .unwrap()
                .arg("-q")
                .arg("-n")
                .arg("-d")
                .arg(&to)
                .arg(&image),
        );
        assert_same(&index, &to);
        let list = succeed(peer("unsquashfs").unwrap().arg("-lls").arg(&image));
        let lines = list.split(|&b| b == b'\n');
        let named = lines
            .filter(|line| line.windows(13).any(|w| w == b"squashfs-root"))
            .count();
        // One name holds a newline; the root is listed as well.
        assert_eq!(named, index.len() + 1);
        let said = succeed(peer("unsquashfs").unwrap().arg("-s").arg(&image));
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("compression-level"), "{said}");
    }
}

#[test]
fn sqfs2tar_makes_the_same_tree() {
    if peer("sqfs2tar").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (image, index) in images(folder.path()) {
        let tar = succeed(peer("sqfs2tar").unwrap().arg(&image));
        let layer = index_layer(&tar[..], TarCompression::None, Limits::default());
        // It drops sockets, which tar has no form for.
        let tree = merge(&[&layer.unwrap().index], Duplicates::Refuse)
            .unwrap()
            .index;
        assert_eq!(digests(&tree).full, digests(&index).full);
    }
}

/// A mount that goes away with this value.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Path, at: PathBuf) -> Option<Self> {
        fs_err::create_dir(&at).unwrap();
        let mut command = peer("mount")?;
        command.args(["-t", "squashfs", "-o", "loop,ro"]);
        let output = command.arg(image).arg(&at).output().unwrap();
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("skipped: the kernel mounts no image here: {reason}");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(mut command) = peer("umount") {
            let _ = command.arg(&self.0).status();
        }
    }
}

#[test]
fn the_kernel_mounts_exactly_what_was_packed() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (image, index) in images(folder.path()) {
        let Some(mounted) = Mounted::new(&image, image.with_extension("mounted")) else {
            return;
        };
        assert_same(&index, &mounted.0);
        // Looking names up goes through the index of long directories, which listing does not.
        for entry in &index {
            let at = mounted
                .0
                .join(std::ffi::OsStr::from_bytes(entry.path.as_bytes()));
            let stat = fs_err::symlink_metadata(&at).unwrap();
            if let Kind::File { size, .. } = entry.kind {
                assert_eq!(stat.size(), size);
            }
        }
        let holes = fs_err::metadata(mounted.0.join("var/holes")).unwrap();
        assert!(
            holes.blocks() * 512 < holes.size() / 4,
            "{}",
            holes.blocks()
        );
    }
}
