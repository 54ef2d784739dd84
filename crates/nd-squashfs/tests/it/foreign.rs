//! What others write, read by us.

use std::{path::Path, process::Stdio};

use nd_oci::read_directory;
use nd_rootfs::{Contents as _, Wanted, digests};
use nd_squashfs::{FileRange, Limits, ReadError, Reader};

use crate::{round_trip::golden, support::*};

/// A folder with everything in it.
fn unpack_golden(folder: &Path) -> Option<std::path::PathBuf> {
    if !is_root() {
        return None;
    }
    let (index, mut contents) = golden(128 * 1024);
    let image = folder.join("ours");
    fs_err::write(&image, pack(&index, &mut contents, &options()).0).unwrap();
    let tree = folder.join("tree");
    let mut command = peer("unsquashfs")?;
    succeed(command.arg("-q").arg("-n").arg("-d").arg(&tree).arg(&image));
    Some(tree)
}

/// tar drops sockets and knows no links of fifos.
fn assert_read(image: &Path, tree: &Path, sockets: bool) {
    let (expected, _) = read_directory(tree).unwrap();
    let (found, mut contents) = read(fs_err::read(image).unwrap()).unwrap();
    assert_eq!(digests(&found), digests(&expected), "{}", image.display());
    let plain = |index| {
        let mut entries = comparable(index);
        entries.retain(|e| sockets || e.kind != nd_rootfs::Kind::Socket);
        for entry in &mut entries {
            if !sockets && entry.kind == nd_rootfs::Kind::Fifo {
                entry.group = None;
            }
            // A walk of the host does not keep every attribute.
            entry.attr.xattrs = nd_rootfs::Xattrs::default();
        }
        entries
    };
    let (found_entries, expected_entries) = (plain(&found), plain(&expected));
    assert_eq!(found_entries.len(), expected_entries.len());
    for (found, expected) in found_entries.iter().zip(&expected_entries) {
        assert_eq!(found, expected, "{}", image.display());
    }
    let ping = &found.get("usr/bin/ping").unwrap().attr.xattrs;
    assert_eq!(ping.get(b"user.note"), Some(&[b'v'; 600][..]));
    assert_eq!(ping.get(b"trusted.t"), Some(&b""[..]));
    let mut checked = Checked::default();
    let wanted = Wanted::every_location(&found);
    contents.visit(&wanted, &mut checked).unwrap();
    assert_eq!(checked.0, wanted.len());
}

#[test]
fn images_of_mksquashfs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(tree) = unpack_golden(folder.path()) else {
        return;
    };
    for arguments in [
        "-comp gzip",
        "-comp zstd -Xcompression-level 3",
        "-comp zstd -b 1M -always-use-fragments",
        "-comp gzip -b 4096 -no-fragments -no-exports",
        "-comp zstd -noI -noD -noF -noX",
    ] {
        let Some(mut command) = peer("mksquashfs") else {
            return;
        };
        let image = folder.path().join("theirs");
        command
            .arg(&tree)
            .arg(&image)
            .args(["-noappend", "-quiet", "-no-progress"]);
        succeed(command.args(arguments.split(' ')));
        assert_read(&image, &tree, true);
    }
    for compression in ["xz", "lz4", "lzo"] {
        let image = folder.path().join("other");
        let mut command = peer("mksquashfs").unwrap();
        command
            .arg(tree.join("usr"))
            .arg(&image)
            .args(["-noappend", "-quiet", "-no-progress"]);
        succeed(command.args(["-comp", compression]));
        let error = read(fs_err::read(&image).unwrap()).unwrap_err();
        assert!(matches!(error, ReadError::Compression(name) if name == compression));
    }
}

#[test]
fn images_of_squashfs_tools_ng() {
    let folder = tempfile::tempdir().unwrap();
    let Some(tree) = unpack_golden(folder.path()) else {
        return;
    };
    for arguments in [
        "--compressor zstd --comp-extra level=3",
        "--compressor gzip --block-size 65536",
    ] {
        let image = folder.path().join("gen");
        let Some(mut command) = peer("gensquashfs") else {
            return;
        };
        command
            .args(["-f", "-q", "-x", "--keep-time", "--pack-dir"])
            .arg(&tree);
        succeed(command.args(arguments.split(' ')).arg(&image));
        let (expected, _) = read_directory(&tree).unwrap();
        // It keeps neither owners nor links of a folder.
        let (found, _) = read(fs_err::read(&image).unwrap()).unwrap();
        assert_eq!(digests(&found).tree, digests(&expected).tree);

        let tar = folder.path().join("tar");
        let mut command = peer("tar").unwrap();
        command
            .args(["--xattrs", "--xattrs-include=*", "--warning=none", "-cf"])
            .arg(&tar);
        succeed(command.arg("-C").arg(&tree).arg("."));
        let mut command = peer("tar2sqfs").unwrap();
        command
            .args(["-f", "-q", "-s"])
            .args(arguments.split(' '))
            .arg(&image);
        let tar = fs_err::File::open(&tar).unwrap();
        succeed(command.stdin(Stdio::from(tar.into_file())));
        assert_read(&image, &tree, false);
    }
}

#[test]
fn an_image_inside_a_larger_file() {
    let (index, mut contents) = golden(128 * 1024);
    let (image, written) = pack(&index, &mut contents, &options());
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("file");
    fs_err::write(&at, [&noise(1, 12_345)[..], &image, &noise(2, 99)].concat()).unwrap();
    let file = fs_err::File::open(&at).unwrap().into_file();
    let reader = Reader::open(
        FileRange::new(file, 12_345, written.bytes),
        Limits::default(),
    );
    let reader = std::sync::Arc::new(reader.unwrap());
    let all = nd_squashfs::Digests::Read { threads: 1 };
    let (found, _) = reader.tree(all, &nd_report::Cancel::default()).unwrap();
    assert_eq!(comparable(&found), comparable(&index));
}
