//! Collections that are interrupted, and those of copies.

use std::io::{self, Read};

use nd_cvmfs::{
    Action, Begin, Depth, Directory, Guard, Keep, PublishError, Publisher, ReplicateError,
    ReplicateOptions, Replicated, Revision, Source, Storage, StorageError, Target, Version,
    collect, replicate, roll_back,
};
use nd_report::Cancel;

use crate::fixture::{Fixture, keys, look, name, now, path, small_tree};

/// A storage in which a collection ends early: of the objects that go, the catalogues stay.
struct Interrupted<'s>(&'s Directory);

impl Source for Interrupted<'_> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError> {
        self.0.open(path)
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.0.size(path)
    }
}

impl Storage for Interrupted<'_> {
    fn prepare(&self) -> Result<(), StorageError> {
        self.0.prepare()
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.put(path, bytes)
    }

    fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.0.remove(path)
    }

    fn remove_all(&self, paths: &[String]) -> Result<(), StorageError> {
        let (stay, go): (Vec<String>, Vec<String>) =
            (paths.iter().cloned()).partition(|path| path.ends_with('C'));
        self.0.remove_all(&go)?;
        assert!(!stay.is_empty() && !go.is_empty());
        Err(StorageError::io("data", io::ErrorKind::TimedOut.into()))
    }

    fn list(&self, each: &mut dyn FnMut(&str, u64)) -> Result<(), StorageError> {
        self.0.list(each)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.0.sync()
    }

    fn lock(&self) -> Result<Box<dyn Guard>, StorageError> {
        self.0.lock()
    }

    fn manifest(&self) -> Result<Option<Version>, StorageError> {
        self.0.manifest()
    }

    fn switch_manifest(&self, old: Option<&Version>, new: &[u8]) -> Result<(), StorageError> {
        self.0.switch_manifest(old, new)
    }
}

/// A repository whose revision 2 has a tree.
fn with_tree() -> Fixture {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("source");
    small_tree(&source);
    fixture.publish_folder("one", &source);
    fixture
}

/// Two revisions later the tree is gone, and no tag leads to it.
fn without_tree(fixture: &Fixture) {
    let name = name();
    for gone in ["one/bin", "one"] {
        let mut publisher = Publisher::begin(fixture.begin(&name)).unwrap();
        publisher.remove(&path(gone)).unwrap();
        publisher.commit(&Revision::default()).unwrap();
    }
}

fn copied(fixture: &Fixture, copy: &Directory) -> Result<Replicated, ReplicateError> {
    let public = [keys().public.clone().unwrap()];
    let options = ReplicateOptions {
        keys: &public,
        name: None,
        now: now(),
        parallel: None,
    };
    replicate(&fixture.storage, copy, &options, &Cancel::default())
}

fn collected(storage: &dyn Storage, seconds: i64) -> Result<u64, PublishError> {
    let begin = Begin {
        storage,
        keys: keys(),
        name: &name(),
        now: now(),
    };
    let done = collect(begin, Keep { seconds }, Action::Apply, &Cancel::default());
    done.map(|done| done.deleted)
}

#[test]
fn a_revision_of_which_objects_may_be_gone_does_not_come_back() {
    let fixture = with_tree();
    without_tree(&fixture);
    let name = name();
    collected(&Interrupted(&fixture.storage), -1).unwrap_err();
    let back = |number| {
        let target = Target::Number(number);
        roll_back(fixture.begin(&name), &target, &Revision::default())
    };
    let refused = back(2).unwrap_err();
    assert!(matches!(refused, PublishError::NoTag(_)), "{refused}");
    assert_eq!(fixture.findings(), [""; 0]);
    assert!(collected(&fixture.storage, -1).unwrap() > 0);
    assert_eq!(fixture.findings(), [""; 0]);
}

#[test]
fn a_copy_whose_collection_was_interrupted_gets_all_objects_again() {
    let fixture = with_tree();
    let copy = Directory::new(fixture.folder.path().join("copy"));
    copied(&fixture, &copy).unwrap();
    without_tree(&fixture);
    copied(&fixture, &copy).unwrap();
    collected(&Interrupted(&copy), -1).unwrap_err();
    // The catalogue of the tree comes back, and is there still.
    let (name, target) = (name(), Target::Number(2));
    roll_back(fixture.begin(&name), &target, &Revision::default()).unwrap();
    assert_eq!(copied(&fixture, &copy).unwrap().revision, 5);
    assert!(look(&copy, Depth::Full).is_good());
    collected(&copy, -1).unwrap();
    assert!(look(&copy, Depth::Full).is_good());
}

#[test]
fn a_copy_is_collected_though_it_never_had_the_revisions_between() {
    let fixture = with_tree();
    without_tree(&fixture);
    let copy = Directory::new(fixture.folder.path().join("copy"));
    copied(&fixture, &copy).unwrap();
    // Nothing is old enough to go.
    assert_eq!(collected(&copy, 3600).unwrap(), 0);
    assert!(look(&copy, Depth::Full).is_good());
}
