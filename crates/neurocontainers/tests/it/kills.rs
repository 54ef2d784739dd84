//! Builds that are killed or stopped at any moment: nothing of them goes on, nothing half done has a
//! name, and the next build ends as if nothing had been.

use std::{
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nd_names::Sha256;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    people::{Kind, Person, Place, slow, summary},
    support::{BUSYBOX, busybox_layout, recipe},
};

/// Steps that leave processes behind and write many files; `word` is in what they run.
fn steps(word: &str) -> String {
    let step = |n: u32| {
        format!(
            "    - run:\n        - mkdir -p /opt/{n}\n        - (sleep 30; echo {word}) &\n        - for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do echo $i$j > /opt/{n}/$i$j; done; done\n        - sleep 0.1\n"
        )
    };
    let steps: String = (0..4).map(step).collect();
    recipe(BUSYBOX, &steps, "path: [/opt]")
}

fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Somebody whose builds are disturbed.
struct Victim {
    person: Person,
    word: String,
    program: PathBuf,
    /// What is built, and what else is said to the command.
    words: Vec<String>,
}

impl Victim {
    fn new(place: &Place, kind: Kind, base: &Path) -> Self {
        // Tests run side by side: what one looks for must not be found in another's builds.
        static VICTIMS: AtomicU32 = AtomicU32::new(0);
        let number = VICTIMS.fetch_add(1, Ordering::Relaxed);
        let word = format!("nd-kill-{}-{kind:?}-{number}-", std::process::id());
        Self {
            person: place.person(kind, &steps(&word), ""),
            program: place.folder.path().join("neurocontainers"),
            word,
            words: ["demo", "--base", base.to_str().unwrap()]
                .map(Into::into)
                .into(),
        }
    }

    fn start(&self) -> Child {
        let mut command = self.person.command(&["build", "--json", "--no-test"]);
        command.args(&self.words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn out(&self) -> PathBuf {
        let build = self.person.home.join("repo/build");
        build.join(&self.words[0]).join("out")
    }

    fn forget(&self) {
        for folder in [".cache", "repo/build"] {
            let folder = self.person.home.join(folder);
            if folder.exists() {
                fs_err::remove_dir_all(folder).unwrap();
            }
        }
    }

    fn build(&self) -> Value {
        summary(&self.start().wait_with_output().unwrap())
    }

    /// Processes of a build of this user: those that run our program for it, and its steps.
    fn processes(&self) -> Vec<String> {
        let program = fs_err::metadata(&self.program).unwrap();
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc").unwrap().flatten() {
            // Processes come and go while we look.
            let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
            let same = |meta: std::fs::Metadata| {
                (meta.dev(), meta.ino()) == (program.dev(), program.ino())
            };
            let ours = fs_err::metadata(entry.path().join("exe")).is_ok_and(same);
            let text = String::from_utf8_lossy(&line).replace('\0', " ");
            if ours || text.contains(&self.word) {
                found.push(text);
            }
        }
        found
    }

    /// Nothing runs, nothing is mounted, and what has a name is whole.
    fn nothing_left(&self, when: &str) {
        let begin = Instant::now();
        while !self.processes().is_empty() {
            let waited = begin.elapsed() < Duration::from_secs(120);
            assert!(waited, "{when}: {:?}", self.processes());
            std::thread::sleep(Duration::from_millis(5));
        }
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
        let home = self.person.home.to_str().unwrap();
        assert!(!mounts.contains(home), "{when}: {mounts}");
        for blob in files(&self.person.home.join(".cache"), "blobs") {
            let digest = Sha256::of(fs_err::read(&blob).unwrap()).hex();
            assert_eq!(
                blob.file_name().unwrap().to_str(),
                Some(&digest[..]),
                "{when}"
            );
        }
        let out = self.out();
        if let Ok(entries) = fs_err::read_dir(&out) {
            for entry in entries {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|end| end == "simg") {
                    let head = fs_err::read(&path).unwrap();
                    assert_eq!(&head[32..42], b"SIF_MAGIC\0", "{when}");
                }
            }
        }
    }

    /// The next build is that of an undisturbed one, and clears up.
    fn ends_like(&self, expected: &Value, when: &str) {
        let built = self.build();
        for key in ["image_digest", "tree_full_digest"] {
            assert_eq!(built[key], expected[key], "{when}");
        }
        assert_eq!(built["sif"]["digest"], expected["sif"]["digest"], "{when}");
        let tmp = self.person.store().join("tmp");
        let left: Vec<_> = fs_err::read_dir(&tmp)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert!(left.is_empty(), "{when}: {left:?}");
        let out = fs_err::read_dir(self.out()).unwrap();
        let hidden = out
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| {
                name.starts_with('.') && Path::new(name).extension().is_none_or(|end| end != "lock")
            });
        assert_eq!(hidden.collect::<Vec<_>>(), Vec::<String>::new(), "{when}");
    }
}

/// Files of the folders of this name below one, which may not be there.
fn files(root: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(stores) = fs_err::read_dir(root.join("neurodesk")) else {
        return found;
    };
    for store in stores.flatten() {
        if let Ok(entries) = fs_err::read_dir(store.path().join(name)) {
            found.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    found
}

fn kill_at_random(kind: Kind, times: u32) {
    let Some(place) = Place::new() else { return };
    let Some(base) = busybox_layout(place.folder.path()) else {
        return;
    };
    let victim = Victim::new(&place, kind, &base);
    let started = Instant::now();
    let expected = victim.build();
    let mut took = started.elapsed();
    victim.forget();
    let now = std::time::SystemTime::now();
    let mut seed = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let first = seed;
    let mut killed = 0;
    // More than is asked for only until one kill came in time.
    for turn in 0.. {
        if turn >= times && killed > 0 {
            break;
        }
        // What was built stays, so that later kills hit later parts; a build without anything left
        // to do begins anew.
        let delay = took.mul_f64(0.02 + (random(&mut seed) % 1000) as f64 / 1000.0);
        let when = format!("{kind:?}, seed {first}, turn {turn}, after {delay:?} of {took:?}");
        let mut child = victim.start();
        std::thread::sleep(delay);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        victim.nothing_left(&when);
        if status.signal() == Some(9) {
            killed += 1;
        }
        if status.success() {
            // The first build took longer, on a machine that was busier.
            took = took.mul_f64(0.7);
        }
        if status.success() || turn % 5 == 4 {
            victim.ends_like(&expected, &when);
            victim.forget();
        }
    }
    victim.ends_like(&expected, &format!("{kind:?}, seed {first}, at the end"));
}

/// How often each kind of user is killed.
fn times(quick: u32, slow: u32) -> u32 {
    if std::env::var_os("ND_SLOW_TESTS").is_some() {
        slow
    } else {
        quick
    }
}

#[test]
fn a_killed_build_of_root_leaves_nothing_and_goes_on() {
    kill_at_random(Kind::Root, times(4, 18));
}

#[test]
fn a_killed_build_of_a_user_with_a_range_leaves_nothing_and_goes_on() {
    kill_at_random(Kind::Ranged, times(3, 16));
}

#[test]
fn a_killed_build_of_a_user_with_one_id_leaves_nothing_and_goes_on() {
    kill_at_random(Kind::Alone, times(3, 16));
}

/// The real thing, at a moment of its own.
#[test]
fn a_killed_build_of_itksnap_leaves_nothing_and_goes_on() {
    if !slow() {
        return;
    }
    let Some(place) = Place::new() else { return };
    let mut victim = Victim::new(&place, Kind::Alone, Path::new("/"));
    victim.person.take_recipe("itksnap");
    victim.words = vec!["itksnap".into()];
    let started = Instant::now();
    let expected = victim.build();
    let took = started.elapsed();
    victim.forget();
    let mut seed = u64::from(std::process::id());
    for turn in 0..2 {
        let delay = took.mul_f64(0.1 + (random(&mut seed) % 800) as f64 / 1000.0);
        let mut child = victim.start();
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
        victim.nothing_left(&format!("turn {turn}, after {delay:?} of {took:?}"));
    }
    victim.ends_like(&expected, "itksnap");
}

#[test]
fn a_build_that_is_asked_to_stop_says_so_and_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    let Some(base) = busybox_layout(place.folder.path()) else {
        return;
    };
    for kind in [Kind::Root, Kind::Alone] {
        let victim = Victim::new(&place, kind, &base);
        let expected = victim.build();
        for signal in [Signal::TERM, Signal::INT] {
            victim.forget();
            let mut child = victim.start();
            // In the middle of a step.
            while !victim
                .processes()
                .iter()
                .any(|line| line.contains(&victim.word))
            {
                assert!(child.try_wait().unwrap().is_none(), "no step was seen");
                std::thread::sleep(Duration::from_millis(2));
            }
            let pid = i32::try_from(child.id()).unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(130), "{signal:?}: {said}");
            assert!(said.contains("stop"), "{said}");
            victim.nothing_left(&format!("{kind:?}, {signal:?}"));
            victim.ends_like(&expected, &format!("{kind:?}, {signal:?}"));
        }
    }
}

#[test]
fn two_builds_at_once_share_their_work() {
    let Some(place) = Place::new() else { return };
    let Some(base) = busybox_layout(place.folder.path()) else {
        return;
    };
    let victim = Victim::new(&place, Kind::Alone, &base);
    let children: Vec<_> = (0..2).map(|_| victim.start()).collect();
    let built: Vec<_> = children
        .into_iter()
        .map(|child| summary(&child.wait_with_output().unwrap()))
        .collect();
    assert_eq!(built[0]["image_digest"], built[1]["image_digest"]);
    let made = |summary: &Value| {
        let steps = summary["steps"].as_array().unwrap();
        let done = steps.iter().filter(|step| step["cached"] == false);
        done.filter(|step| step["key"] != "").count()
    };
    // No step was done twice.
    let steps = built[0]["steps"].as_array().unwrap();
    let all = steps.iter().filter(|step| step["key"] != "").count();
    assert_eq!(made(&built[0]) + made(&built[1]), all, "{built:#?}");
}
