//! `kill -9` at any moment of `apply`: nothing half-published is seen, and the next run completes.

use std::time::{Duration, Instant};

use super::case::{Case, KINDS, Kind};

/// Kills for each publisher; more where the environment asks for it.
fn rounds() -> u32 {
    let asked = std::env::var_os("ND_SLOW_TESTS").is_some();
    if asked { 100 } else { 10 }
}

const STEMS: [&str; 3] = ["a_1.0_20240101", "b_1.0_20240101", "c_1.0_20240101"];

fn log(stems: &[&str]) -> String {
    let lines = stems.iter().map(|stem| format!("{stem} categories:x,\n"));
    lines.collect::<Vec<_>>().concat()
}

/// Starts `apply`, and kills it after a while; says whether it was too late for that.
fn killed(case: &Case, log: &str, more: &[&str], after: Duration) -> bool {
    fs_err::write(case.env.work().join("log.txt"), log).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test kills a program that it started"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"));
    let mut child = command
        .args(case.words())
        .args(["--catalogue", "log.txt"])
        .args(more)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", case.env.root().join("home"))
        .env("ND_CACHE_DIR", case.env.cache())
        .current_dir(case.env.work())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// Every container that users see is whole, with its module, or gone.
fn seen_is_whole(case: &Case) {
    for stem in STEMS {
        let read = |path: &str| case.read(&format!("containers/{stem}/{path}"));
        let Some(commands) = read("commands.txt") else {
            continue;
        };
        assert_eq!(commands, b"show\n");
        let wrapper = String::from_utf8(read("show").unwrap()).unwrap();
        let image = read(&format!("{stem}.simg/opt/tool/bin/show"));
        let disabled = wrapper.contains("was disabled");
        assert_eq!(image.is_none(), disabled, "{:?} {stem}", case.kind);
        if let Some(image) = image {
            let data = read(&format!("{stem}.simg/opt/tool/data")).unwrap();
            assert_eq!(data.len() % 5000, 0);
            assert!(image.starts_with(b"#!/bin/sh\necho "));
            let tool = &stem[..1];
            let module = case
                .read(&format!("neurodesk-modules/x/{tool}/1.0.lua"))
                .unwrap();
            assert!(String::from_utf8(module).unwrap().contains(stem));
        }
    }
}

/// Waits for what a killed run has started and nobody ended.
fn settled(case: &Case) {
    use std::os::unix::ffi::OsStrExt as _;
    let program = case.host.program.as_os_str().as_bytes();
    let is_started = |process: std::io::Result<fs_err::DirEntry>| {
        let words = fs_err::read(process.unwrap().path().join("cmdline"));
        words.is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == program))
    };
    while fs_err::read_dir("/proc").unwrap().any(is_started) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_kill_is_made_good_by_the_next_run() {
    for kind in KINDS {
        let case = Case::new(kind);
        for stem in STEMS {
            case.image(stem, stem);
        }
        let (all, fewer) = (log(&STEMS), log(&STEMS[..2]));
        let began = Instant::now();
        case.apply(&all, &[]);
        let mut longest = began.elapsed().as_micros() as u64;
        let mut early = 0;
        let mut random = 42u64;
        for round in 0..rounds() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let after = Duration::from_micros((random >> 33) % longest);
            // Taken away, or published anew.
            let (log, more): (&str, &[&str]) = match round % 3 {
                0 => (&fewer, &[]),
                1 => (&all, &[]),
                _ => (&all, &["--refresh", STEMS[0], "--refresh", STEMS[1]]),
            };
            case.image(STEMS[0], &format!("round{}", round % 10));
            if killed(&case, log, more, after) {
                // Runs are quicker than the first was.
                longest = (after.as_micros() as u64).max(1);
            } else {
                early += 1;
            }
            settled(&case);
            seen_is_whole(&case);
            case.apply(log, &[]);
            case.holds(log);
            seen_is_whole(&case);
        }
        assert!(early > 0, "{kind:?}");
        if kind == Kind::Directory {
            // Nothing of the killed runs stays: as many trees as the kept revisions lead to.
            let site = case.env.work().join("site");
            let count = |name: &str| fs_err::read_dir(site.join(name)).unwrap().count();
            assert!(count("revisions") <= 3);
            assert!(count("trees") <= 3 * STEMS.len(), "{}", count("trees"));
        }
    }
}
