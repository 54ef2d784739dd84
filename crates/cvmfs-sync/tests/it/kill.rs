//! `kill -9` at any moment, and a full disk at any: the repository holds the old or the new revision, and
//! the next run completes.

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
fn killed(life: &Life, words: &[&str], after: Duration) -> bool {
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

#[test]
fn a_full_disk_is_said_and_costs_nothing() {
    let life = Life::new();
    tree(&life, 1);
    life.put("small/file", "content");
    life.write(&["publish", "small", "--at", "small"]);
    life.put("more/file", "more");
    let program = env!("CARGO_BIN_EXE_cvmfs-sync");
    let at = format!("--repository {} --storage storage", crate::life::NAME);
    // The storage as it is, on a disk of 2 MiB that grows afterwards; the tree has 5 MB.
    let script = format!(
        "cp -a storage old && mount -t tmpfs -o size=2m none storage && cp -a old/. storage\n\
         mkdir copy && mount -t tmpfs -o size=40k none copy\n\
         {program} publish tree --at tree {at}; echo publish $?\n\
         {program} verify --full storage >/dev/null; echo verify $?\n\
         {program} gc --keep-hours 0 {at} >/dev/null; echo gc $?\n\
         {program} publish more --at more {at} >/dev/null; echo small $?\n\
         {program} replicate storage copy; echo replicate $?\n\
         mount -o remount,size=64m storage; mount -o remount,size=64m copy\n\
         {program} publish tree --at tree {at} >/dev/null; echo publish $?\n\
         {program} replicate storage copy >/dev/null; echo replicate $?\n\
         {program} verify --full storage >/dev/null; echo verify $?\n\
         {program} verify --full copy >/dev/null; echo verify $?\n"
    );
    let mut command = life.env.command("unshare");
    let words = ["--user", "--map-root-user", "--mount", "sh", "-c", &script];
    let output = command.args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ends = String::from_utf8_lossy(&output.stdout);
    let ends: Vec<&str> = ends.lines().collect();
    let expected = "publish 7, verify 0, gc 0, small 0, replicate 7, publish 0, replicate 0, verify 0, verify 0";
    let expected: Vec<&str> = expected.split(", ").collect();
    assert_eq!(ends, expected, "{said}");
}
