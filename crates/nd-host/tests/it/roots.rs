//! A tree whose links point everywhere but inside.

use std::{io::ErrorKind, os::unix::fs::symlink};

use nd_host::{NodeKind, RootDir};

#[test]
fn no_path_leaves_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    let inside = folder.path().join("inside");
    fs_err::create_dir_all(outside.join("d")).unwrap();
    fs_err::create_dir_all(inside.join("d")).unwrap();
    fs_err::write(outside.join("secret"), "secret").unwrap();
    symlink("../outside", inside.join("up")).unwrap();
    symlink(&outside, inside.join("absolute")).unwrap();
    symlink("/d", inside.join("rooted")).unwrap();
    symlink("/proc/self/cwd", inside.join("magic")).unwrap();

    let root = RootDir::open(&inside).unwrap();
    for path in [
        &b"up/secret"[..],
        b"absolute/secret",
        b"../outside/secret",
        b"magic/x",
    ] {
        let error = root.read(path, 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(root.write(path, b"mine", 0o644).is_err());
    }
    root.write(b"/rooted/../rooted/file", b"text", 0o4755)
        .unwrap();
    assert_eq!(fs_err::read(inside.join("d/file")).unwrap(), b"text");
    let node = root.node(b"d/file", true).unwrap().unwrap();
    assert_eq!(
        (node.kind, node.mode, node.size),
        (NodeKind::File, 0o4755, 4)
    );
    assert_eq!(
        root.node(b"up", false).unwrap().unwrap().kind,
        NodeKind::Symlink
    );
    assert_eq!(root.node(b"up", true).unwrap(), None);
    assert_eq!(root.node(b"d/file/x", true).unwrap(), None);
    assert_eq!(root.read_link(b"up").unwrap(), b"../outside");
    assert_eq!(fs_err::read(outside.join("secret")).unwrap(), b"secret");

    // Directories appear below what a link means inside the root.
    root.create_dir_all(b"rooted/a/b", 0o755).unwrap();
    assert!(inside.join("d/a/b").is_dir());
    assert_eq!(root.names(b"d").unwrap(), [&b"a"[..], b"file"]);
    root.remove(b"d/a/b/").unwrap();
    root.remove(b"up").unwrap();
    assert!(outside.join("d").is_dir());
    assert_eq!(
        root.read(b"d/file", 3).unwrap_err().kind(),
        ErrorKind::FileTooLarge
    );
    rustix::fs::mknodat(
        &root,
        "fifo",
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(
        root.file(b"fifo").unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn replacing_and_renaming_stay_inside_and_leave_no_half_file() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs_err::create_dir_all(inside.join("d")).unwrap();
    symlink("/d", inside.join("rooted")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    let root = RootDir::open(&inside).unwrap();
    // A writer that was killed: its file is there, and nobody holds it.
    let killed = nd_host::AtomicFile::create(inside.join("d/other")).unwrap();
    let left = killed.path().to_owned();
    drop(killed);
    fs_err::write(&left, "half").unwrap();
    root.replace(b"rooted/key", b"old", 0o600).unwrap();
    assert!(!left.exists());
    root.replace(b"/up/rooted/key", b"new", 0o640).unwrap();
    let node = root.node(b"d/key", true).unwrap().unwrap();
    assert_eq!((node.mode, node.size), (0o640, 3));
    root.rename(b"rooted/key", b"up/moved").unwrap();
    assert_eq!(root.read(b"moved", 10).unwrap(), b"new");
    assert_eq!(
        root.names(b"").unwrap(),
        [&b"d"[..], b"moved", b"rooted", b"up"]
    );
    assert!(root.names(b"d").unwrap().is_empty());
    assert!(root.replace(b"d", b"a folder has the name", 0o644).is_err());
    assert!(root.names(b"d").unwrap().is_empty());
}
