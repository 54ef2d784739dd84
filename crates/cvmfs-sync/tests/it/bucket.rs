//! A repository in a bucket: who may write, kills, and stores that fail or that heed no condition.

use std::process::{Child, Stdio};

use cvmfs_sync::BucketStorage;
use nd_cvmfs::{
    Begin, Keys, MANIFEST, PublishError, Publisher, RepositoryName, Revision, Storage as _,
    StorageError,
};

use crate::{
    between::{Between, Manner},
    kill::{Numbers, tree},
    life::{Life, NAME},
    place::{Place, storage},
};

fn address(life: &Life) -> String {
    match &life.place {
        Place::Bucket(store) => store.address().to_owned(),
        Place::Folder(_) => unreachable!("the test made a bucket"),
    }
}

struct Held {
    keys: Keys,
    name: RepositoryName,
    storage: BucketStorage,
}

impl Held {
    /// What this process needs to publish to the repository of a test itself.
    fn new(life: &Life) -> Self {
        let (name, keys) = life.keys();
        Self {
            keys,
            name,
            storage: storage(&address(life)),
        }
    }

    fn begin(&self) -> Result<Publisher<'_>, PublishError> {
        Publisher::begin(Begin {
            storage: &self.storage,
            keys: &self.keys,
            name: &self.name,
            now: jiff::Timestamp::now(),
        })
    }
}

fn tagged(name: &str) -> Revision {
    Revision {
        tag: Some(name.parse().unwrap()),
        ..Revision::default()
    }
}

#[test]
fn one_publisher_at_a_time_and_whoever_lost_the_lock_publishes_nothing() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    life.put("tree/file", "content");
    let publish = ["publish", "tree", "--at", "tree"];
    let at = ["--repository", NAME, "--storage", &life.at];
    let held = Held::new(&life);
    let first = held.begin().unwrap();
    for words in [&publish[..], &["gc"]] {
        life.fails(&[words, &at].concat(), 5, "another `cvmfs-sync` changes it");
    }
    first.commit(&tagged("one")).unwrap();
    assert_eq!(life.write(&publish)["revision"], 3);

    // Somebody takes the lock away, as after a holder that slept for long.
    let second = held.begin().unwrap();
    life.place
        .write("data/txn/cvmfs-sync.lock", b"elsewhere\n1 2\nx\n");
    let refused = second.commit(&tagged("two")).unwrap_err();
    assert!(
        matches!(&refused, PublishError::Storage(StorageError::Busy(_))),
        "{refused}"
    );
    assert_eq!(life.verify()["revision"], 3);
    // The lock of the other one stays his, until it is old.
    life.fails(&[&publish[..], &at].concat(), 5, "killed within the last");
}

#[test]
fn a_manifest_that_was_changed_meanwhile_is_not_replaced() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    let storage = storage(&address(&life));
    let before = storage.manifest().unwrap().unwrap();
    life.put("tree/file", "content");
    life.write(&["publish", "tree", "--at", "tree"]);
    let after = life.place.read(MANIFEST);
    for old in [None, Some(&before)] {
        let refused = storage.switch_manifest(old, &before.bytes);
        assert!(matches!(refused, Err(StorageError::Conflict)));
    }
    assert_eq!(life.place.read(MANIFEST), after);
    // What is there already was switched by an attempt whose answer was lost.
    storage.switch_manifest(Some(&before), &after).unwrap();
}

/// Starts the program with these variables besides.
pub(crate) fn start(
    life: &Life,
    words: &[&str],
    variables: impl IntoIterator<Item = (&'static str, String)>,
) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test runs programs beside each other"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"));
    command
        .args(words)
        .env_clear()
        .env("HOME", life.env.root().join("home"))
        .env("ND_CACHE_DIR", life.env.cache())
        .envs(variables)
        .current_dir(life.env.work())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn two_at_once_end_one_upon_the_other_or_refused() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    let mut published = 0;
    for round in 0..3 {
        let mut running = Vec::new();
        for side in ["left", "right"] {
            life.put(&format!("{side}/file"), format!("{side} {round}"));
            let words = ["publish", side, "--at", side, "--repository", NAME];
            let words = [&words[..], &["--storage", &life.at]].concat();
            running.push(start(&life, &words, life.place.variables()));
        }
        for mut child in running {
            match child.wait().unwrap().code() {
                Some(0) => published += 1,
                code => assert_eq!(code, Some(5), "busy"),
            }
        }
        let verified = life.verify();
        assert_eq!(verified["revision"], 1 + published, "{verified}");
    }
    assert!(published >= 3, "{published}");
    for side in ["left", "right"] {
        life.write(&["publish", side, "--at", side]);
        let words = ["cat", &life.at, &format!("{side}/file")];
        let read = life.command(&words).output().unwrap();
        assert_eq!(read.stdout, format!("{side} 2").as_bytes());
    }
}

#[test]
fn a_kill_leaves_the_old_or_the_new_revision_in_a_bucket_too() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    let at = ["--repository", NAME, "--storage", &life.at];
    let publish = [&["publish", "tree", "--at", "t"][..], &at].concat();
    let gc = [&["gc", "--keep-hours", "0"][..], &at].concat();
    tree(&life, 0);
    let well = Between::new(&address(&life), Manner::Well);
    let whole = start(&life, &publish, well.variables());
    well.kills(whole, usize::MAX);
    let usual = well.requests().len() as u64;
    let rounds = match std::env::var_os("ND_SLOW_TESTS") {
        Some(_) => 20,
        None => 2,
    };
    let mut numbers = Numbers(7);
    let mut early = 0;
    for round in 1..=rounds {
        tree(&life, round);
        for words in [&publish, &gc] {
            let before = life.verify()["revision"].as_u64().unwrap();
            let after = usize::try_from(numbers.below(usual)).unwrap();
            let between = Between::new(&address(&life), Manner::Silent(after));
            let program = start(&life, words, between.variables());
            early += u32::from(between.kills(program, after));
            let verified = life.verify();
            let revision = verified["revision"].as_u64().unwrap();
            assert!(
                verified["good"] == true && (before..=before + 1).contains(&revision),
                "{words:?} after {after} requests: {verified}"
            );
        }
        // Whoever was killed on this machine keeps nobody out.
        for words in [&publish, &gc] {
            life.run(words);
        }
        assert_eq!(life.verify()["good"], true);
    }
    assert!(early > 0);
}

/// A request may fail as often as it is tried, when others come between; then the whole run is tried
/// again, and until then nothing is worse than it was.
fn succeeds_at_last(life: &Life, words: &[&str], variables: &[(&'static str, String)]) {
    let done = (0..20).any(|_| {
        let mut command = life.command(words);
        let output = command.envs(variables.iter().cloned()).output().unwrap();
        if output.status.success() {
            return true;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("503"), "{said}");
        assert_eq!(life.verify()["good"], true, "{said}");
        false
    });
    assert!(done, "{words:?} never succeeds");
}

#[test]
fn a_store_that_fails_every_third_request_loses_nothing() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    for n in 0..4 {
        life.put(&format!("tree/{n}"), format!("number {n}"));
    }
    let shaky = Between::new(&address(&life), Manner::Fails).variables();
    let at = ["--repository", NAME, "--storage", &life.at];
    for words in [
        &["publish", "tree", "--at", "tree"][..],
        &["gc", "--keep-hours", "0"],
    ] {
        succeeds_at_last(&life, &[words, &at].concat(), &shaky);
        assert_eq!(life.verify()["good"], true, "{words:?}");
    }
    assert_eq!(life.verify()["revision"], 2);
}

#[test]
fn what_is_collected_goes_by_one_request_where_the_store_can() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    let odd = "<DeleteResult><Deleted><Key>other</Key></Deleted><Error><Key>x</Key>\
        <Code>InternalError</Code></Error></DeleteResult>";
    // How the store answers, how often it is asked, and whether objects go one by one.
    for (manner, asked, alone) in [
        (Manner::Well, 1, false),
        (Manner::Removal(501, ""), 1, true),
        (
            Manner::Removal(403, "<Error><Code>AccessDenied</Code></Error>"),
            1,
            true,
        ),
        (Manner::Removal(200, "no document"), 1, true),
        (Manner::Removal(200, odd), 1, true),
    ] {
        for n in 0..5 {
            life.put(&format!("tree/{n}"), format!("{manner:?} {n}"));
        }
        life.write(&["publish", "tree", "--at", "tree"]);
        life.write(&["remove", "tree"]);
        // The revision before the current one has a tag.
        life.put("other/file", format!("{manner:?}"));
        life.write(&["publish", "other", "--at", "other"]);
        let planned = life.write(&["gc", "--keep-hours", "0", "--dry-run"]);
        let between = Between::new(&address(&life), manner);
        let words = ["gc", "--keep-hours", "0", "--repository", NAME, "--storage"];
        let mut command = life.command(&[&words[..], &[&life.at]].concat());
        command.envs(between.variables()).assert().success();
        let requests = between.requests();
        let count = |is: &dyn Fn(&str) -> bool| requests.iter().filter(|one| is(one)).count();
        let many = count(&|one| one.starts_with("POST") && one.contains("?delete"));
        let single = count(&|one| one.starts_with("DELETE") && !one.contains("/data/txn/"));
        let deleted = planned["deleted_objects"].as_u64().unwrap() as usize;
        assert!(deleted >= 5, "{planned}");
        let expected = if alone { deleted } else { 0 };
        assert_eq!(
            (many, single),
            (asked, expected),
            "{manner:?}: {requests:?}"
        );
        let left = life.write(&["gc", "--keep-hours", "0", "--dry-run"]);
        assert_eq!(left["deleted_objects"], 0, "{manner:?}");
        assert_eq!(life.verify()["good"], true);
    }
}

#[test]
fn a_store_that_heeds_no_condition_is_refused() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    life.put("tree/file", "content");
    let words = ["publish", "tree", "--at", "tree", "--repository", NAME];
    let mut command = life.command(&[&words[..], &["--storage", &life.at]].concat());
    let heedless = Between::new(&address(&life), Manner::Heedless);
    let output = command.envs(heedless.variables()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("heeds no"),
        "{said}"
    );
    assert_eq!(life.verify()["revision"], 1);
}
