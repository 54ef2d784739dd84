//! Beside `cvmfs_server` on one host: its locks, taken by the program that it takes them with, and its
//! state files.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use nd_cvmfs::{Begin, Directory, KeyFolder, Publisher, RepositoryName};
use nd_testkit::peer;

use crate::life::{Life, NAME};

/// Holds a lock as a script does, until dropped.
struct Locked(Child);

impl Locked {
    fn new(flock: &Path, file: &Path) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test ends a program that it started"
        )]
        let mut command = std::process::Command::new(flock);
        // The shell has the lock, and ends with the pipe that it reads.
        let mut child = command
            .arg(file)
            .args(["sh", "-c", "echo locked; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "locked\n");
        Self(child)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn the_locks_and_state_files_of_cvmfs_server_are_respected_and_kept() {
    let Some(flock) = peer("flock") else {
        return;
    };
    let life = Life::new();
    life.put("tree/file", "content");
    let spool = life.env.work().join("spool");
    fs_err::create_dir(&spool).unwrap();
    let at = [
        "--repository",
        NAME,
        "--storage",
        "storage",
        "--spool",
        "spool",
    ];
    let publish = [&["publish", "tree", "--at", "tree"][..], &at].concat();
    let all = [
        publish.clone(),
        [&["remove", "tree"][..], &at].concat(),
        [&["gc"][..], &at].concat(),
        [&["rollback"][..], &at].concat(),
        [&["resign"][..], &at].concat(),
    ];
    let refused = |text: &str| {
        for words in &all {
            life.fails(words, 5, text);
        }
        // Whoever only reads is not kept out.
        assert_eq!(life.verify()["revision"], 1);
    };
    for (lock, text) in [
        ("is_publishing.lock", "`cvmfs_server` publishes"),
        ("is_collecting.lock", "`cvmfs_server` collects"),
    ] {
        let held = Locked::new(&flock, &spool.join(lock));
        refused(text);
        drop(held);
    }
    // Their files stay after a kill and say nothing; these ones do.
    for (flag, text) in [
        ("in_transaction.lock", "a transaction is open"),
        ("checkout", "another revision is checked out"),
    ] {
        let flag = spool.join(flag);
        fs_err::write(&flag, "").unwrap();
        refused(text);
        assert_eq!(fs_err::read(&flag).unwrap(), b"");
        fs_err::remove_file(flag).unwrap();
    }

    assert_eq!(life.run(&publish)["revision"], 2);
    let flag = spool.join("in_transaction.lock");
    assert!(!flag.exists());
    let log = life.place.read(".cvmfsreflog");
    let sum = nd_cvmfs::Algorithm::Sha1.hash(&log).to_string();
    let written = fs_err::read_to_string(spool.join("reflog.chksum")).unwrap();
    assert_eq!(written, sum);

    // While we publish, they see what they look for.
    let name: RepositoryName = NAME.parse().unwrap();
    let keys = life.env.root().join("home/.local/share/cvmfs-sync/keys");
    let keys = KeyFolder::new(keys.join(NAME), name.clone())
        .load()
        .unwrap();
    let storage = Directory::new(life.storage()).with_spool(&spool);
    let publisher = Publisher::begin(Begin {
        storage: &storage,
        keys: &keys,
        name: &name,
        now: jiff::Timestamp::now(),
    })
    .unwrap();
    let free = |lock: &str| {
        let mut command = life.env.command(&flock);
        let words = ["--nonblock", lock, "true"];
        command
            .args(words)
            .current_dir(&spool)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(flag.exists());
    assert!(!free("is_publishing.lock") && !free("is_collecting.lock"));
    drop(publisher);
    assert!(!flag.exists());
    assert!(free("is_publishing.lock") && free("is_collecting.lock"));
}
