//! Blobs, records, trees, locks, and what is left when a process dies.

use std::{
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc, Barrier,
        atomic::{AtomicU32, Ordering},
    },
};

use nd_names::Sha256;
use nd_store::{Item, ItemKind, PruneWish, Store, StoreError};

fn key(n: u8) -> Sha256 {
    Sha256::from_bytes([n; 32])
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn blobs_are_what_their_digest_says() {
    let (_dir, store) = open();
    let (digest, size) = store.put_blob(&b"abc"[..], None).unwrap();
    assert_eq!(
        digest.hex(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(size, 3);
    let wrong = store.put_blob(&b"abd"[..], Some(&digest));
    assert!(matches!(wrong, Err(StoreError::Digest { .. })), "{wrong:?}");
    assert_eq!(fs_err::read(store.blob_path(&digest)).unwrap(), b"abc");
    assert!(store.blob(&key(1)).unwrap().is_none());
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn torn_records_count_as_none() {
    let (dir, store) = open();
    assert_eq!(store.record("step", &key(1)).unwrap(), None);
    store.put_record("step", &key(1), b"value").unwrap();
    store.put_record("step", &key(1), b"newer").unwrap();
    assert_eq!(store.record("step", &key(1)).unwrap().unwrap(), b"newer");
    let path = dir.path().join("records/step").join(key(1).hex());
    for damage in [&b""[..], b"newe"] {
        fs_err::write(&path, damage).unwrap();
        assert_eq!(store.record("step", &key(1)).unwrap(), None);
    }
    assert!(matches!(
        store.record("../x", &key(1)),
        Err(StoreError::Kind(_))
    ));
}

#[test]
fn only_one_makes_what_many_want() {
    let (dir, _store) = open();
    let made = Arc::new(AtomicU32::new(0));
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (root, made, start) = (dir.path().to_path_buf(), made.clone(), start.clone());
            std::thread::spawn(move || {
                // Each with a store of its own, as processes have.
                let store = Store::open(root).unwrap();
                start.wait();
                let _lock = store.lock(&key(1)).unwrap();
                if store.record("step", &key(1)).unwrap().is_none() {
                    made.fetch_add(1, Ordering::SeqCst);
                    store.put_record("step", &key(1), b"made").unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn prune_keeps_what_was_used_last_and_what_is_leased() {
    let (dir, store) = open();
    let pause = || std::thread::sleep(std::time::Duration::from_millis(15));
    let (old, _) = store.put_blob(&[1; 1000][..], None).unwrap();
    pause();
    let (new, _) = store.put_blob(&[2; 1000][..], None).unwrap();
    pause();
    for n in [3, 4] {
        let tree = store.new_tree().unwrap();
        fs_err::write(tree.path().join("file"), vec![n; 9000]).unwrap();
        tree.keep(&key(n)).unwrap();
    }
    let lease = store.tree(&key(3)).unwrap().unwrap();
    drop(store.blob(&old).unwrap().unwrap());

    let other = Store::open(dir.path()).unwrap();
    assert!(matches!(store.prune(0), Err(StoreError::Busy(_))));
    drop(other);
    let trees: u64 = store
        .list()
        .unwrap()
        .iter()
        .filter(|i| i.kind == ItemKind::Tree)
        .map(|i| i.bytes)
        .sum();
    let trial = |select: &dyn Fn(&Item) -> bool| {
        let wish = PruneWish {
            keep: 0,
            trial: true,
            select,
        };
        store.prune_where(&wish, &mut |_| Ok(())).unwrap()
    };
    // The leased tree would stay.
    assert_eq!(trial(&|_| true).items, 3);
    let blobs = trial(&|item| item.kind == ItemKind::Blob);
    assert_eq!((blobs.items, blobs.bytes, blobs.left), (2, 2000, 0));
    assert_eq!(store.list().unwrap().len(), 4, "a trial removes nothing");
    store.prune(trees + 1000).unwrap();
    assert!(store.blob(&new).unwrap().is_none(), "used longest ago");
    assert!(store.blob(&old).unwrap().is_some(), "used again since");
    store.prune(0).unwrap();
    assert_eq!(fs_err::read(lease.path().join("file")).unwrap().len(), 9000);
    assert!(store.tree(&key(4)).unwrap().is_none());
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_partial_is_held_by_one_goes_on_where_it_stood_and_becomes_a_blob() {
    let (dir, store) = open();
    let other = Store::open(dir.path()).unwrap();
    let mut partial = store.try_partial(&key(1)).unwrap().unwrap();
    partial.file().write_all(b"ab").unwrap();
    assert!(other.try_partial(&key(1)).unwrap().is_none());
    assert!(other.try_lock(&key(1)).unwrap().is_none());
    drop(partial);

    let mut partial = other.try_partial(&key(1)).unwrap().unwrap();
    assert_eq!(partial.bytes().unwrap(), 2);
    partial.file().seek(SeekFrom::End(0)).unwrap();
    partial.file().write_all(b"c").unwrap();
    assert_eq!(store.list().unwrap()[0].kind, ItemKind::Partial);
    let (digest, _) = store.put_blob(&b"abc"[..], None).unwrap();
    let (path, lock) = partial.into_blob(&digest).unwrap();
    assert!(store.try_partial(&key(1)).unwrap().is_none());
    drop(lock);
    assert_eq!(fs_err::read(path).unwrap(), b"abc");
    assert_eq!(store.list().unwrap().len(), 1);

    let partial = store.try_partial(&key(1)).unwrap().unwrap();
    assert_eq!(partial.bytes().unwrap(), 0);
    partial.discard().unwrap();
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_newer_store_is_refused() {
    let (dir, store) = open();
    drop(store);
    fs_err::write(dir.path().join("version"), "99\n").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("format 99"), "{error}");
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn victim() {
    let Some(root) = std::env::var_os("ND_STORE_TEST_ROOT") else {
        return;
    };
    let store = Store::open(std::path::PathBuf::from(root)).unwrap();
    let mut blob = store.new_blob().unwrap();
    blob.write_all(&[7; 5000]).unwrap();
    let tree = store.new_tree().unwrap();
    fs_err::write(tree.path().join("half"), "x").unwrap();
    let _lock = store.lock(&key(9)).unwrap();
    println!("ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn what_a_killed_process_leaves_is_removed_and_its_locks_are_free() {
    let (dir, store) = open();
    #[expect(clippy::disallowed_methods, reason = "a test needs a process to kill")]
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::victim", "--nocapture"])
        .env("ND_STORE_TEST_ROOT", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines
            .map_while(Result::ok)
            .any(|line| line.contains("ready"))
    );
    let sessions = || {
        let names = fs_err::read_dir(dir.path().join("tmp")).unwrap();
        names
            .filter(|n| n.as_ref().unwrap().path().is_dir())
            .count()
    };
    // The work of the living is left alone.
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(sessions(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(Store::open(dir.path()).unwrap());
    assert_eq!(sessions(), 1);
    drop(store.lock(&key(9)).unwrap());
    assert!(store.list().unwrap().is_empty());
    drop(store);
    assert_eq!(fs_err::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}
