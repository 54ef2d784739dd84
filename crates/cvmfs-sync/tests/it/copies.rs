//! Copies in a bucket: whole, cut at any request and completed, over a store that fails; the manifest
//! comes last.

use std::collections::BTreeSet;

use nd_cvmfs::{Directory, MANIFEST, ReplicateError, ReplicateOptions, Storage, replicate};
use nd_report::Cancel;
use nd_testkit::ObjectStore;
use serde_json::Value;

use crate::{
    between::{Between, Manner},
    bucket::start,
    life::Life,
    place::{BUCKET, storage_at, variables},
};

/// A repository in a folder, and a store for copies of it.
struct Copies {
    life: Life,
    store: ObjectStore,
}

impl Copies {
    fn new() -> Option<Self> {
        let store = ObjectStore::start()?;
        store.bucket(BUCKET);
        let life = Life::new();
        for n in 0..6 {
            life.put(&format!("tree/{n}"), format!("number {n}"));
        }
        life.write(&[
            "publish", "tree", "--at", "a/tree", "--nested", "always", "--tag", "one",
        ]);
        life.put("tree/0", "another");
        life.write(&["publish", "tree", "--at", "a/tree", "--nested", "always"]);
        Some(Self { life, store })
    }

    fn between(&self, manner: Manner) -> Between {
        Between::new(self.store.address(), manner)
    }

    /// Makes or completes the copy `name`.
    fn replicate(&self, name: &str, over: &Between) -> Value {
        let word = word(name);
        let mut command = self
            .life
            .command(&["replicate", "storage", &word, "--json"]);
        let output = command.envs(over.variables()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes a copy and kills the program after so many requests, if it has not ended by then. What it
    /// asked for, as far as the store heard of it.
    fn cut(&self, name: &str, limit: usize) -> Vec<String> {
        let between = self.between(Manner::Silent(limit));
        let words = ["replicate", "storage", &word(name)];
        between.kills(start(&self.life, &words, between.variables()), limit);
        let mut requests = between.requests();
        requests.truncate(limit);
        requests
    }

    /// The revision of a copy, every object of which is proved; `None` before it has a manifest.
    fn revision(&self, name: &str) -> Option<u64> {
        let storage = storage_at(self.store.address(), name);
        storage.manifest().unwrap()?;
        let word = word(name);
        let mut command = self.life.command(&["verify", "--full", &word, "--json"]);
        let output = command.envs(variables(self.store.address())).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let verified: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(verified["good"], true, "{verified}{said}");
        verified["revision"].as_u64()
    }
}

fn word(name: &str) -> String {
    format!("s3://{BUCKET}/{name}")
}

/// Names and sizes of all objects.
fn objects(storage: &dyn Storage) -> BTreeSet<(String, u64)> {
    let mut all = BTreeSet::new();
    let each = &mut |path: &str, size| all.extend([(path.to_owned(), size)]);
    storage.list(each).unwrap();
    all.retain(|(path, _)| !path.starts_with("data/txn/"));
    all
}

/// The objects that requests wrote.
fn written(requests: &[String]) -> BTreeSet<&str> {
    let is_object = |one: &&str| one.starts_with("PUT ") && one.contains("/data/");
    let all = requests.iter().map(String::as_str).filter(is_object);
    all.filter(|one| !one.contains("/data/txn/")).collect()
}

fn number(value: &Value, key: &str) -> usize {
    usize::try_from(value[key].as_u64().unwrap()).unwrap()
}

#[test]
fn a_copy_in_a_bucket_is_whole_and_its_manifest_comes_last() {
    let Some(copies) = Copies::new() else {
        return;
    };
    let well = copies.between(Manner::Well);
    let first = copies.replicate("copy", &well);
    let requests = well.requests();
    let at = |end: &str| {
        let is = |one: &String| one.starts_with("PUT ") && one.ends_with(end);
        requests.iter().rposition(is).unwrap()
    };
    let manifest = at(MANIFEST);
    let objects_written = written(&requests);
    assert_eq!(number(&first, "copied_objects"), objects_written.len());
    for one in objects_written
        .into_iter()
        .chain(["/.cvmfsreflog", "/.cvmfswhitelist"])
    {
        assert!(
            at(one.trim_start_matches("PUT ")) < manifest,
            "{one}: {requests:?}"
        );
    }
    assert!(at("/.cvmfs_last_snapshot") > manifest);
    let original = objects(&Directory::new(copies.life.storage()));
    let storage = storage_at(copies.store.address(), "copy");
    // Of the original's revisions those that are current or tagged.
    assert!(objects(&storage).is_subset(&original));
    assert_eq!(copies.revision("copy"), Some(3));

    // What is there is not read again, and what is new comes.
    let again = copies.replicate("copy", &well);
    assert_eq!(number(&again, "copied_objects"), 0);
    copies.life.put("tree/1", "new");
    copies.life.write(&["publish", "tree", "--at", "a/tree"]);
    copies.replicate("copy", &well);
    assert_eq!(copies.revision("copy"), Some(4));
    // Nobody is kept out afterwards.
    assert!(storage.lock().is_ok());
}

#[test]
fn a_copy_that_was_cut_is_completed_and_never_shows_half_of_itself() {
    let Some(copies) = Copies::new() else {
        return;
    };
    let well = copies.between(Manner::Well);
    let whole = copies.replicate("whole", &well);
    let all = well.requests().len();
    let step = match std::env::var_os("ND_SLOW_TESTS") {
        Some(_) => 1,
        None => all / 5,
    };
    for limit in (1..all).step_by(step) {
        let name = format!("cut{limit}");
        let requests = copies.cut(&name, limit);
        let revision = copies.revision(&name);
        assert!(matches!(revision, None | Some(3)), "{limit}: {revision:?}");
        let rest = copies.replicate(&name, &well);
        let expected = number(&whole, "copied_objects") - written(&requests).len();
        assert_eq!(
            number(&rest, "copied_objects"),
            expected,
            "{limit}: {requests:?}"
        );
        assert_eq!(copies.revision(&name), Some(3), "{limit}");
    }

    // The same of a copy that is brought up to date.
    let mut revision = 3;
    for (round, limit) in (1..all).step_by(step).enumerate() {
        copies.life.put("tree/1", format!("round {round}"));
        copies
            .life
            .put(&format!("tree/new{round}"), format!("new {round}"));
        let published = copies.life.write(&["publish", "tree", "--at", "a/tree"]);
        let newest = published["revision"].as_u64().unwrap();
        copies.cut("whole", limit);
        let found = copies.revision("whole").unwrap();
        assert!(found == revision || found == newest, "{limit}: {found}");
        revision = found;
    }
    let last = copies.replicate("whole", &well);
    assert_eq!(copies.revision("whole"), last["revision"].as_u64());
}

#[test]
fn a_store_that_fails_every_third_request_gets_a_whole_copy() {
    let Some(copies) = Copies::new() else {
        return;
    };
    let shaky = copies.between(Manner::Fails);
    let (name, keys) = copies.life.keys();
    let options = ReplicateOptions {
        keys: &[keys.public.unwrap()],
        name: Some(&name),
        now: jiff::Timestamp::now(),
        parallel: None,
    };
    let source = Directory::new(copies.life.storage());
    let storage = storage_at(shaky.address(), "copy");
    // A request may fail as often as it is tried, when others come between.
    let done = (0..20).any(|_| {
        let done = replicate(&source, &storage, &options, &Cancel::default());
        let revision = copies.revision("copy");
        match done {
            Ok(_) => assert_eq!(revision, Some(3)),
            Err(ReplicateError::Storage(_)) => assert!(matches!(revision, None | Some(3))),
            Err(error) => panic!("{error}"),
        }
        revision.is_some()
    });
    assert!(done);
}
