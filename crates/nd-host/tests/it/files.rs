//! Files and folders that appear whole, and locks.

use std::{fs::File, io::Write as _, os::unix::fs::PermissionsExt as _};

use nd_host::{AtomicFile, AtomicFolder, FileLock, remove_abandoned, write_atomic};

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    write_atomic(&target, b"old").unwrap();
    let mut file = AtomicFile::create(&target).unwrap();
    file.write_all(b"new").unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), b"old");
    assert_eq!(remove_abandoned(folder.path()).unwrap(), 0, "in use");
    file.commit().unwrap();
    assert_eq!(fs_err::read(&target).unwrap(), b"new");
    let mode = fs_err::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);

    drop(AtomicFile::create(&target).unwrap());
    // What a killed writer leaves: the name, but no lock.
    File::create(folder.path().join(".file.abc.nd-part")).unwrap();
    File::create(folder.path().join("file.nd-part")).unwrap();
    assert_eq!(remove_abandoned(folder.path()).unwrap(), 1);
    let mut names: Vec<_> = fs_err::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["file", "file.nd-part"]);

    let longest = folder.path().join("n".repeat(255));
    write_atomic(&longest, b"x").unwrap();
    assert!(AtomicFile::create(folder.path().join("no/such/folder")).is_err());
}

#[test]
fn a_folder_appears_whole_and_what_a_killed_writer_left_of_one_goes() {
    let around = tempfile::tempdir().unwrap();
    let target = around.path().join("folder");
    let names = || -> Vec<_> {
        let entries = fs_err::read_dir(around.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let write = |text: &str| {
        let folder = AtomicFolder::create(&target).unwrap();
        fs_err::write(folder.path().join("file"), text).unwrap();
        folder
    };
    let read = || fs_err::read_to_string(target.join("file")).unwrap();
    write("first").rename().unwrap();
    let second = write("second");
    assert_eq!(remove_abandoned(around.path()).unwrap(), 0, "in use");
    assert_eq!(read(), "first");
    second.replace().unwrap();
    assert_eq!(read(), "second");
    assert!(write("third").rename().is_err(), "something has the name");
    drop(write("fourth"));
    assert_eq!(names(), ["folder"]);
    // What a killed writer leaves: the file without a lock, and its folder.
    File::create(around.path().join(".folder.abc.nd-part")).unwrap();
    fs_err::create_dir_all(around.path().join(".folder.abc.nd-part.d/new/deep")).unwrap();
    assert_eq!(remove_abandoned(around.path()).unwrap(), 1);
    assert_eq!(names(), ["folder"]);
    assert_eq!(read(), "second");
}

#[test]
fn a_lock_is_held_by_one_or_by_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = FileLock::exclusive(&path).unwrap();
    assert!(FileLock::try_exclusive(&path).unwrap().is_none());
    drop(held);
    let _one = FileLock::shared(&path).unwrap();
    let _two = FileLock::shared(&path).unwrap();
    assert!(FileLock::try_exclusive(&path).unwrap().is_none());
}
