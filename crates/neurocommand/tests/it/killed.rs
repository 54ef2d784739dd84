//! `kill -9` at any moment of `sync` and `rollback`: what users see is whole, and the next run completes.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nd_modulefile::Dialect;
use nd_testkit::TestEnv;
use transparent_singularity::{Depth, Finding, Site, verify};

use crate::{
    site::{SITE, fine, lock, store, there},
    support::files_below,
};

/// Moments at which a run is killed: the first before it did anything, the others anywhere in it.
pub(crate) struct Moments {
    /// Microseconds that a run usually takes.
    usual: u64,
    random: u64,
    first: bool,
}

impl Moments {
    /// Of runs that take so long where nothing else is going on.
    pub(crate) fn within(usual: Duration) -> Self {
        Self {
            usual: u64::try_from(usual.as_micros()).unwrap().max(1),
            random: 42,
            first: true,
        }
    }

    /// Kills; more where the environment asks for it.
    pub(crate) fn rounds() -> u32 {
        let asked = std::env::var_os("ND_SLOW_TESTS").is_some();
        if asked { 100 } else { 10 }
    }

    pub(crate) fn next(&mut self) -> Duration {
        if std::mem::take(&mut self.first) {
            return Duration::ZERO;
        }
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros((self.random >> 33) % self.usual)
    }
}

/// What the site holds by one lock, and by the other.
const ONE: [&str; 3] = ["a_1_20240101", "b_2.0_20240101", "d_1_20240101"];
const TWO: [&str; 3] = ["a_1_20240202", "c_3_20240101", "d_1_20240101"];

/// Runs the program and kills it after a while; says whether it was too late for that.
pub(crate) fn killed(env: &TestEnv, words: &[&str], after: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_neurocommand"))
        .args(words)
        .current_dir(env.work())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", env.root().join("home"))
        .env("ND_CACHE_DIR", env.cache())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// Every module leads to a whole container, and what both locks name never goes away.
fn what_is_seen_is_whole(env: &TestEnv) {
    let site = Site::new(env.work().join("site"));
    let records: Vec<_> = site.all_records().unwrap();
    let records: Vec<_> = records.into_iter().map(Result::unwrap).collect();
    let mut seen = files_below(&site.modules());
    seen.retain(|path| !path.contains("/.") && !path.starts_with('.'));
    for path in &seen {
        let text = fs_err::read_to_string(site.modules().join(path)).unwrap();
        let folder = nd_modulefile::read(&text, Dialect::of_file(path)).folder;
        let folder = PathBuf::from(folder.unwrap());
        let led = records.iter().find(|one| site.folder(one) == folder);
        assert!(led.is_some(), "{path} leads nowhere: {text}");
        let record = led.unwrap();
        let mut found = verify(&site, record, Depth::Full);
        // Modules of the two languages change one after the other; each leads to a whole build. A store
        // does not vouch for bytes, the lock does in the end.
        found.retain(|one| {
            !matches!(
                one,
                Finding::Unverified(_) | Finding::ModuleElsewhere(_) | Finding::NoModule(_)
            )
        });
        assert_eq!(found, [], "{path}");
    }
    for common in ["a/1.lua", "a/1", "d/1.lua", "d/1"] {
        assert!(seen.iter().any(|path| path == common), "{seen:?}");
    }
}

#[test]
fn a_site_is_whole_at_any_moment_of_a_change_and_the_next_run_completes_it() {
    let env = TestEnv::new().unwrap();
    let mut images = [ONE, TWO].concat();
    images.dedup();
    let Some(_store) = store(&env, &images) else {
        return;
    };
    lock(&env, "one.lock", &ONE);
    lock(&env, "two.lock", &TWO);
    fine(&env, &["sync", "one.lock"]);
    let began = Instant::now();
    fine(&env, &["sync", "two.lock"]);
    let mut moments = Moments::within(began.elapsed());
    for round in 0..Moments::rounds() {
        let after = moments.next();
        let (from, to, file) = if round % 2 == 0 {
            (TWO, ONE, "one.lock")
        } else {
            (ONE, TWO, "two.lock")
        };
        let was_early = !killed(&env, &[&["sync", file], &SITE[..]].concat(), after);
        what_is_seen_is_whole(&env);
        match (round % 3, was_early) {
            // Somebody changes their mind, and is killed on the way back, too.
            (2, true) => {
                killed(&env, &[&["rollback"], &SITE[..]].concat(), after);
                what_is_seen_is_whole(&env);
                // Killed before anything was noted, or on the way back: either way to a whole state.
                fine(&env, &["sync", file]);
            }
            // On with it.
            (1, _) | (2, false) => drop(fine(&env, &["sync", file])),
            _ => {
                fine(&env, &["sync", file]);
                fine(&env, &["rollback"]);
                assert_eq!(there(&env), from);
                fine(&env, &["sync", file]);
            }
        }
        assert_eq!(there(&env), to);
        what_is_seen_is_whole(&env);
    }
    // Nothing of the killed ones stays.
    let left = files_below(&env.work().join("site/.state"));
    let staged = |path: &&String| path.contains("staging/") || path.contains(".tmp");
    assert_eq!(left.iter().find(staged), None, "{left:?}");
}
