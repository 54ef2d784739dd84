//! A repository in a bucket: who may write, kills, and stores that fail or that heed no condition.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cvmfs_sync::BucketStorage;
use nd_cvmfs::{
    Begin, KeyFolder, Keys, MANIFEST, PublishError, Publisher, RepositoryName, Revision,
    Storage as _, StorageError,
};

use crate::{
    kill::{Numbers, killed, tree},
    life::{Life, NAME},
    place::{Place, storage, variables},
};

/// What stands between a program and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Every third request is answered with an error.
    Fails,
    /// No condition of a request reaches the store.
    Heedless,
}

/// Passes requests on to the store at `to`, one for each connection.
fn between(to: &str, manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap(), to.to_owned());
    let count = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (to, count) = (to.clone(), count.clone());
            std::thread::spawn(move || pass(client, &to, manner, &count));
        }
    });
    address.to_string()
}

fn pass(mut client: TcpStream, to: &str, manner: Manner, count: &AtomicUsize) -> Option<()> {
    let mut request = Vec::new();
    let mut portion = vec![0; 64 << 10];
    let end = loop {
        let got = client.read(&mut portion).ok().filter(|got| *got > 0)?;
        request.extend_from_slice(&portion[..got]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let is = |line: &str, name: &str| line.to_ascii_lowercase().starts_with(name);
    let length: usize = (head.lines().find(|line| is(line, "content-length:")))
        .and_then(|line| line.split_once(':')?.1.trim().parse().ok())
        .unwrap_or(0);
    while request.len() < end + 4 + length {
        let got = client.read(&mut portion).ok().filter(|got| *got > 0)?;
        request.extend_from_slice(&portion[..got]);
    }
    if manner == Manner::Fails && count.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
        let answer = "HTTP/1.1 503 Slow Down\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(answer.as_bytes()).ok();
    }
    let kept = head.lines().filter(|line| {
        let conditional = is(line, "if-match:") || is(line, "if-none-match:");
        !(is(line, "connection:") || manner == Manner::Heedless && conditional)
    });
    let kept: Vec<&str> = kept.chain(["Connection: close\r\n\r\n"]).collect();
    let head = kept.join("\r\n");
    let mut store = TcpStream::connect(to).ok()?;
    store.write_all(head.as_bytes()).ok()?;
    store.write_all(&request[end + 4..]).ok()?;
    std::io::copy(&mut store, &mut client).ok()?;
    Some(())
}

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
        let name: RepositoryName = NAME.parse().unwrap();
        let folder = life.env.root().join("home/.local/share/cvmfs-sync/keys");
        Self {
            keys: KeyFolder::new(folder.join(NAME), name.clone())
                .load()
                .unwrap(),
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

/// Starts the program with the place of `life`.
fn start(life: &Life, words: &[&str]) -> Child {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test runs programs beside each other"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"));
    command
        .args(words)
        .args(["--repository", NAME, "--storage", &life.at])
        .env_clear()
        .env("HOME", life.env.root().join("home"))
        .env("ND_CACHE_DIR", life.env.cache())
        .envs(life.place.variables())
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
            running.push(start(&life, &["publish", side, "--at", side]));
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
    let started = std::time::Instant::now();
    life.run(&publish);
    let usual = started.elapsed().as_micros() as u64;
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
            let after = Duration::from_micros(numbers.below(usual));
            early += u32::from(!killed(&life, words, after));
            let verified = life.verify();
            let revision = verified["revision"].as_u64().unwrap();
            assert!(
                verified["good"] == true && (before..=before + 1).contains(&revision),
                "{words:?} after {after:?}: {verified}"
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
    let shaky = variables(&between(&address(&life), Manner::Fails));
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
fn a_store_that_heeds_no_condition_is_refused() {
    let Some(life) = Life::in_bucket() else {
        return;
    };
    life.put("tree/file", "content");
    let words = ["publish", "tree", "--at", "tree", "--repository", NAME];
    let mut command = life.command(&[&words[..], &["--storage", &life.at]].concat());
    let heedless = between(&address(&life), Manner::Heedless);
    let output = command.envs(variables(&heedless)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("heeds no"),
        "{said}"
    );
    assert_eq!(life.verify()["revision"], 1);
}
