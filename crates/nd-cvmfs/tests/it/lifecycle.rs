//! From an empty repository to copies of it.

use std::collections::BTreeMap;

use nd_cvmfs::{
    Action, Algorithm, Begin, Change, Depth, Directory, Keep, PublishError, Publisher, PutOptions,
    ReplicateOptions, Repository, Revision, Source as _, StorageError, Target, collect, diff,
    find_revision, replicate, roll_back,
};
use nd_report::Cancel;

use crate::fixture::{Fixture, files, keys, look, name, now, path, small_tree};

#[test]
fn a_tree_is_published_changed_rolled_back_collected_and_copied() {
    for algorithm in [Algorithm::Sha1, Algorithm::Shake128] {
        let mut fixture = Fixture::with(algorithm);
        assert_eq!(fixture.findings(), [""; 0]);
        let source = fixture.folder.path().join("tree");
        small_tree(&source);

        let first = fixture.publish_folder("containers/one/one.simg", &source);
        assert!(first.changed && first.objects.new > 4, "{first:?}");
        assert_eq!(fixture.findings(), [""; 0]);
        let before = files(&fixture.storage, b"");
        assert_eq!(
            before[&b"/containers/one/one.simg/share/doc/a b.txt"[..]],
            b"words\n"
        );

        // The same content elsewhere costs no object, the same tree in its place a revision.
        let second = fixture.publish_folder("containers/two", &source);
        let revision = second.manifest.revision;
        assert_eq!((first.manifest.revision, revision), (2, 3));
        assert_eq!(second.objects.read_bytes, 0);
        assert_eq!(fixture.findings(), [""; 0]);

        fs_err::write(source.join("share/same"), b"other words\n").unwrap();
        fs_err::remove_file(source.join("etc/empty")).unwrap();
        fixture.publish_folder("containers/two", &source);
        assert_eq!(fixture.findings(), [""; 0]);
        let changed = files(&fixture.storage, b"/containers/two");
        assert_eq!(
            changed[&b"/containers/two/share/same"[..]],
            b"other words\n"
        );

        let name = name();
        let old = {
            let repository = Repository::open(&fixture.storage).unwrap();
            let tag = find_revision(&repository, &Target::Number(3)).unwrap();
            let old = repository.at(tag.root, tag.revision, tag.size);
            let changes: BTreeMap<String, Change> = diff(&old, &repository)
                .unwrap()
                .into_iter()
                .map(|one| (String::from_utf8(one.path).unwrap(), one.change))
                .collect();
            assert_eq!(changes["/containers/two/etc/empty"], Change::Removed);
            assert_eq!(changes["/containers/two/share/same"], Change::Content);
            assert!(!changes.contains_key("/containers/one/one.simg/share/same"));
            tag
        };
        let back = roll_back(
            fixture.begin(&name),
            &Target::Number(3),
            &Revision::default(),
        )
        .unwrap();
        assert_eq!(back.manifest.revision, 5);
        assert_ne!(back.manifest.root_catalog, old.root);
        assert_eq!(fixture.findings(), [""; 0]);
        let again = files(&fixture.storage, b"/containers/two");
        assert_eq!(again[&b"/containers/two/share/same"[..]], b"words\n");

        let mut publisher = Publisher::begin(fixture.begin(&name)).unwrap();
        publisher.remove(&path("containers/two")).unwrap();
        let tag = Revision {
            tag: Some("release/1".parse().unwrap()),
            ..Revision::default()
        };
        publisher.commit(&tag).unwrap();
        assert_eq!(fixture.findings(), [""; 0]);
        assert_eq!(files(&fixture.storage, b""), before);

        let copy = Directory::new(fixture.folder.path().join("copy"));
        let public = [keys().public.clone().unwrap()];
        let options = ReplicateOptions {
            keys: &public,
            name: Some(&name),
            now: now(),
            parallel: None,
        };
        let cancel = Cancel::default();
        let copied = replicate(&fixture.storage, &copy, &options, &cancel).unwrap();
        assert!(copied.copied > 5 && copied.revision == 6, "{copied:?}");
        assert!(look(&copy, Depth::Full).is_good());
        assert_eq!(files(&copy, b""), before);
        let nothing = replicate(&fixture.storage, &copy, &options, &cancel).unwrap();
        assert_eq!(nothing.copied, 0);

        let keep = Keep { seconds: -1 };
        let planned = collect(fixture.begin(&name), keep, Action::Plan, &cancel).unwrap();
        let done = collect(fixture.begin(&name), keep, Action::Apply, &cancel).unwrap();
        assert_eq!(planned, done);
        assert!(done.deleted > 3 && done.dropped_roots >= 3, "{done:?}");
        assert_eq!(fixture.findings(), [""; 0]);
        assert_eq!(files(&fixture.storage, b""), before);
        let none = collect(fixture.begin(&name), keep, Action::Apply, &cancel).unwrap();
        // The reference log and the manifest changed, so did nothing else.
        assert_eq!((none.deleted, none.dropped_roots), (0, 0));
    }
}

#[test]
fn nothing_changed_is_no_revision_and_a_taken_tag_is_refused() {
    let fixture = Fixture::new();
    let name = name();
    let begin = || Publisher::begin(fixture.begin(&name)).unwrap();
    let same = begin().commit(&Revision::default()).unwrap();
    assert!(!same.changed);
    let tag = Revision {
        tag: Some("one".parse().unwrap()),
        ..Revision::default()
    };
    assert_eq!(begin().commit(&tag).unwrap().manifest.revision, 2);
    assert!(matches!(
        begin().commit(&tag),
        Err(PublishError::TagExists(_))
    ));
    let low = Revision {
        number: Some(2),
        tag: Some("two".parse().unwrap()),
        ..Revision::default()
    };
    assert!(matches!(
        begin().commit(&low),
        Err(PublishError::Revision {
            wanted: 2,
            current: 2
        })
    ));
    assert!(matches!(
        begin().remove(&path("none/such")),
        Err(PublishError::NotFound(_))
    ));
    assert!(matches!(
        begin().remove(&path(".cvmfs/snapshots")),
        Err(PublishError::Reserved(_))
    ));
    assert_eq!(fixture.findings(), [""; 0]);
}

#[test]
fn two_publishers_are_never_at_work_together() {
    let fixture = Fixture::new();
    let name = name();
    let first = Publisher::begin(fixture.begin(&name)).unwrap();
    let second = Publisher::begin(fixture.begin(&name));
    assert!(matches!(
        second,
        Err(PublishError::Storage(StorageError::Busy(_)))
    ));
    drop(first);
    Publisher::begin(fixture.begin(&name)).unwrap();
}

#[test]
fn many_edits_are_one_revision_and_small_files_need_no_catalogue() {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    fixture.publish_folder("containers/old", &source);
    let catalogs = fixture.verify(Depth::Existence).catalogs;

    let name = name();
    let modules = fixture.folder.path().join("modules");
    fs_err::create_dir_all(modules.join("tool")).unwrap();
    fs_err::write(modules.join("tool/1.0.lua"), b"help()").unwrap();
    fs_err::write(modules.join("index"), b"tool\n").unwrap();
    let (index, mut contents) = nd_oci::read_directory(&modules).unwrap();
    let begin = Begin {
        storage: &fixture.storage,
        keys: keys(),
        name: &name,
        now: now(),
    };
    let mut publisher = Publisher::begin(begin).unwrap();
    let (objects, cancel) = (nd_cvmfs::ObjectOptions::default(), Cancel::default());
    (publisher.store(&index, &mut contents, &mut fixture.known, &objects, &cancel)).unwrap();
    publisher.put_into(Some(&path("modules")), &index).unwrap();
    publisher
        .put(&path("modules/copy"), &index, &PutOptions::default())
        .unwrap();
    publisher.remove(&path("containers/old")).unwrap();
    let published = publisher.commit(&Revision::default()).unwrap();
    assert_eq!(published.manifest.revision, 3);
    assert_eq!(fixture.findings(), [""; 0]);
    assert_eq!(fixture.verify(Depth::Existence).catalogs, catalogs - 1);
    let found: Vec<Vec<u8>> = files(&fixture.storage, b"").into_keys().collect();
    assert_eq!(
        found,
        [
            &b"/modules/copy/index"[..],
            b"/modules/copy/tool/1.0.lua",
            b"/modules/index",
            b"/modules/tool/1.0.lua"
        ]
    );
}

#[test]
fn the_locks_of_the_official_server_are_respected() {
    let fixture = Fixture::new();
    let spool = fixture.folder.path().join("spool");
    fs_err::create_dir(&spool).unwrap();
    let storage = Directory::new(fixture.root()).with_spool(&spool);
    let name = name();
    let begin = Begin {
        storage: &storage,
        keys: keys(),
        name: &name,
        now: now(),
    };
    let flag = spool.join("in_transaction.lock");
    fs_err::write(&flag, b"").unwrap();
    assert!(matches!(
        Publisher::begin(begin),
        Err(PublishError::Storage(StorageError::Busy(text))) if text.contains("transaction")
    ));
    assert!(flag.exists());
    fs_err::remove_file(&flag).unwrap();

    let other = nd_host::FileLock::exclusive(&spool.join("is_publishing.lock")).unwrap();
    assert!(matches!(
        Publisher::begin(begin),
        Err(PublishError::Storage(StorageError::Busy(_)))
    ));
    drop(other);

    let publisher = Publisher::begin(begin).unwrap();
    assert!(flag.exists());
    let tag = Revision {
        tag: Some("one".parse().unwrap()),
        ..Revision::default()
    };
    let published = publisher.commit(&tag).unwrap();
    assert!(!flag.exists());
    let sum = fs_err::read_to_string(spool.join("reflog.chksum")).unwrap();
    assert_eq!(
        Some(sum),
        published.manifest.reflog.map(|hash| hash.to_string())
    );

    // What a killed run of ours left behind is no obstacle.
    fs_err::write(&flag, b"cvmfs-sync\n").unwrap();
    drop(Publisher::begin(begin).unwrap());
    assert!(!flag.exists());
    assert!(storage.size(".cvmfspublished").unwrap().is_some());
}

#[test]
fn an_original_that_was_interrupted_is_copied_as_it_is_and_a_damaged_one_is_refused() {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    let root = fixture.root();
    let (manifest, reflog) = (root.join(".cvmfspublished"), root.join(".cvmfsreflog"));
    let before = fs_err::read(&manifest).unwrap();
    fixture.publish_folder("one", &source);
    let log = fs_err::read(&reflog).unwrap();

    // Killed between the reference log and the manifest that names it.
    fs_err::write(&manifest, &before).unwrap();
    let pending = format!("{}\n", Algorithm::Sha1.hash(&log));
    fs_err::write(root.join("data/txn/pending"), pending).unwrap();
    assert_eq!(fixture.findings(), [""; 0]);
    let copy = Directory::new(fixture.folder.path().join("copy"));
    let public = [keys().public.clone().unwrap()];
    let options = ReplicateOptions {
        keys: &public,
        name: None,
        now: now(),
        parallel: None,
    };
    let run = || replicate(&fixture.storage, &copy, &options, &Cancel::default());
    assert_eq!(run().unwrap().revision, 1);
    assert!(look(&copy, Depth::Full).is_good());

    fs_err::write(&reflog, b"damaged").unwrap();
    let refused = run().unwrap_err();
    assert!(refused.to_string().contains("reference log"), "{refused}");
    fs_err::write(&reflog, log).unwrap();
    fixture.publish_folder("two", &source);
    let run = || replicate(&fixture.storage, &copy, &options, &Cancel::default());
    assert_eq!(run().unwrap().revision, 2);
    assert!(look(&copy, Depth::Full).notes.is_empty());
}
