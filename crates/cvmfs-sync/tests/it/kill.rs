//! `kill -9` at any moment: the repository holds the old or the new revision, and the next run
//! completes.

use std::time::{Duration, Instant};

use crate::life::Life;

/// Kills; more where the environment asks for it.
fn rounds() -> u32 {
    let asked = std::env::var_os("ND_SLOW_TESTS").is_some();
    if asked { 100 } else { 10 }
}

/// A number from a generator that is the same in each run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// Runs a command and kills it after a while; says whether it was too late for that.
pub(crate) fn killed(life: &Life, words: &[&str], after: Duration) -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test kills a program that it started"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"));
    let mut child = command
        .args(words)
        .env_clear()
        .env("HOME", life.env.root().join("home"))
        .env("ND_CACHE_DIR", life.env.cache())
        .envs(life.place.variables())
        .current_dir(life.env.work())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

pub(crate) fn tree(life: &Life, round: u32) {
    let mut numbers = Numbers(u64::from(round) + 1);
    for n in 0..50u32 {
        let mut bytes = vec![0u8; 100 << 10];
        for part in bytes.chunks_mut(8) {
            let word = numbers.below(1 << 31).to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        life.put(&format!("tree/{}/{n}", n % 7), bytes);
    }
}

#[test]
fn a_kill_leaves_the_old_or_the_new_revision() {
    let life = Life::new();
    let repository = ["--repository", crate::life::NAME, "--storage", "storage"];
    let publish = [
        &["publish", "tree", "--at", "t", "--nested", "always"][..],
        &repository,
    ]
    .concat();
    let gc = [&["gc", "--keep-hours", "0"][..], &repository].concat();
    let replicate = vec!["replicate", "storage", "copy"];
    tree(&life, 0);
    let started = Instant::now();
    life.run(&publish);
    life.run(&replicate);
    let usual = started.elapsed().as_micros() as u64 / 2;
    let mut numbers = Numbers(42);
    let (mut early, mut late) = (0, 0);
    for round in 1..=rounds() {
        tree(&life, round);
        for words in [&publish, &replicate, &gc] {
            let before = life.verify()["revision"].as_u64().unwrap();
            let after = Duration::from_micros(numbers.below(usual));
            if killed(&life, words, after) {
                late += 1;
            } else {
                early += 1;
            }
            let verified = life.verify();
            assert_eq!(
                verified["good"], true,
                "{words:?} after {after:?}: {verified}"
            );
            let revision = verified["revision"].as_u64().unwrap();
            assert!(revision == before || revision == before + 1, "{verified}");
            if life.env.work().join("copy/.cvmfspublished").exists() {
                assert_eq!(life.run(&["verify", "--full", "copy"])["good"], true);
            }
        }
        for words in [&publish, &replicate, &gc] {
            life.run(words);
        }
        assert_eq!(life.verify()["good"], true);
        assert_eq!(life.run(&["verify", "--full", "copy"])["good"], true);
    }
    assert!(early > 0, "{early} {late}");
    // Nothing of the killed ones stays.
    let left: Vec<_> = fs_err::read_dir(life.storage().join("data/txn"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, ["cvmfs-sync.lock"]);
}
