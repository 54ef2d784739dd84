//! Binds whose source goes between the decision and the mount: an error with a place, or what Apptainer does, and
//! never something else in its place.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use nd_launcher::{Form, VERBOSE_VARIABLE};

use crate::{
    fixture::{Fixture, program},
    native::Pair,
    user::User,
};

/// A source that is there for the process that decides, whose number this is, and not for the one that mounts.
const OWN: &str = "/proc/self/task";

#[test]
fn what_only_the_deciding_process_has_is_told_by_its_place() {
    for form in [Form::Folder, Form::Sif] {
        let Some(pair) = Pair::new(form) else { return };
        let run = |target: &str| {
            // The shell's number is the launcher's.
            let script = format!(
                "echo \"runtime native\nkeep 0\nbind {OWN}/$$:{target}\" > \"$1\"; exec \"$0\" -c 'ls {target}; echo started'"
            );
            pair.fixture.policy("");
            let policy = pair.fixture.folder.join("policy");
            fs_err::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .unwrap();
            let ran = pair
                .user
                .program(&pair.fixture, "/bin/sh")
                .args(["-c", &script])
                .arg(pair.fixture.folder.join("sh"))
                .arg(policy)
                .env(VERBOSE_VARIABLE, "1")
                .output()
                .unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (ran.status.code(), text(ran.stdout), text(ran.stderr))
        };
        // A mount point that is there, and one that has to be made.
        for (target, place) in [
            ("/mnt", "failed to mount `/mnt`: No such file"),
            (
                "/srv/x",
                "failed to find `/srv/x` in the image: No such file",
            ),
        ] {
            let (status, text, said) = run(target);
            assert!(said.contains(place), "{form:?} {target}: {said}");
            // Apptainer does not find it either.
            assert_eq!(text, "", "{form:?} {target}: {said}");
            assert_eq!(status, Some(255), "{form:?} {target}: {said}");
        }
    }
}

/// A container whose server does something first: the launcher has decided what is mounted then, and has mounted
/// nothing.
struct Slow {
    fixture: Fixture,
    user: User,
    /// The real server.
    server: PathBuf,
    programs: PathBuf,
}

impl Slow {
    fn new() -> Option<Self> {
        let fixture = Fixture::real(Form::Sif)?;
        let user = User::new(&fixture)?;
        let apptainer = nd_testkit::peer("apptainer")?;
        let server = apptainer.with_file_name("squashfuse_ll");
        let programs = fixture.path("programs");
        fs_err::create_dir(&programs).unwrap();
        Some(Self {
            fixture,
            user,
            server,
            programs,
        })
    }

    /// What a command prints and says when `meanwhile` is done in the folder `work` between plan and mount.
    fn seen(&self, policy: &str, meanwhile: &str, lines: &str) -> (String, String) {
        self.seen_in(&self.fixture.path("work"), policy, meanwhile, lines)
    }

    fn seen_in(&self, cwd: &Path, policy: &str, meanwhile: &str, lines: &str) -> (String, String) {
        let work = self.fixture.path("work");
        program(
            &self.programs.join("squashfuse_ll"),
            &format!(
                "#!/bin/sh\nPATH=/usr/bin:/bin\ncd '{}' || exit 9\n{meanwhile}\ncd / && exec '{}' \"$@\"\n",
                work.display(),
                self.server.display()
            ),
        );
        self.fixture.policy(&format!(
            "runtime native\nkeep 0\n{}",
            policy.replace("WORK", work.to_str().unwrap())
        ));
        let mut wrapper = self.user.wrapper(&self.fixture, "sh");
        let path = std::env::join_paths(
            std::iter::once(self.programs.clone()).chain(std::env::split_paths(&path_of(&wrapper))),
        )
        .unwrap();
        wrapper
            .args(["-c", lines])
            .env("PATH", path)
            .env(VERBOSE_VARIABLE, "1")
            .current_dir(cwd);
        let ran = wrapper.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(ran.stdout), text(ran.stderr))
    }
}

fn path_of(command: &Command) -> std::ffi::OsString {
    let mut variables = command.get_envs();
    let path = variables.find(|(name, _)| *name == "PATH");
    path.and_then(|(_, value)| value).unwrap().to_owned()
}

#[test]
fn what_goes_before_it_is_mounted_is_told_and_left_out() {
    let Some(slow) = Slow::new() else { return };
    let lines = "ls /mnt; echo started";
    let bound = slow.fixture.path("work/bound");
    let fresh = || {
        for name in ["bound", "away"] {
            let _ = fs_err::remove_dir_all(slow.fixture.path("work").join(name));
        }
        let _ = fs_err::remove_file(&bound);
        slow.user.make_folder(&bound);
        fs_err::write(bound.join("inside"), "").unwrap();
    };
    let policy = "bind WORK/bound:/mnt:ro\n";
    fresh();
    let seen = slow.seen(policy, ":", lines);
    assert_eq!(seen, ("inside\nstarted\n".to_owned(), String::new()));
    // Nothing is there: said by both, and Apptainer starts without it as it does where nothing ever was.
    for meanwhile in ["mv bound away", "mv bound away; ln -s nowhere bound"] {
        fresh();
        let (text, said) = slow.seen(policy, meanwhile, lines);
        assert_eq!(text, "started\n", "{meanwhile}: {said}");
        for part in [
            "failed to mount `/mnt`: No such file",
            "left out of the container",
        ] {
            assert!(said.contains(part), "{meanwhile}: {said}");
        }
        assert!(said.contains(bound.to_str().unwrap()), "{said}");
    }
    // What has the name now is what the name stands for.
    fresh();
    let moved = "mv bound away; ln -s away bound";
    assert_eq!(slow.seen(policy, moved, lines), seen);
    // No folder any more: neither of them starts anything.
    fresh();
    let (text, said) = slow.seen(policy, "mv bound away; : > bound", lines);
    assert_eq!(text, "", "{said}");
    assert!(
        said.contains("failed to mount `/mnt`: Invalid argument"),
        "{said}"
    );
}

#[test]
fn a_working_directory_that_goes_is_told_and_none_is_taken_instead() {
    let Some(slow) = Slow::new() else { return };
    slow.user.make_folder(&slow.fixture.path("work/here"));
    let inner = slow.fixture.path("work/here");
    let (text, said) = slow.seen_in(&inner, "", "mv here away", "pwd");
    assert_eq!(text, "", "{said}");
    let place = format!("failed to enter `{}`: No such file", inner.display());
    assert!(said.contains(&place), "{said}");
}

#[test]
fn a_source_that_comes_and_goes_is_there_or_told() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let (bound, away) = (pair.fixture.path("work/bound"), pair.fixture.path("away"));
    pair.user.make_folder(&bound);
    fs_err::write(bound.join("inside"), "").unwrap();
    let policy = format!("runtime native\nbind {}:/mnt\n", bound.display());
    let rounds = if std::env::var_os("ND_SLOW_TESTS").is_some() {
        2000
    } else {
        50
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                fs_err::rename(&bound, &away).unwrap();
                fs_err::rename(&away, &bound).unwrap();
            }
        });
        let _over = Over(&over);
        for _ in 0..rounds {
            let seen = pair.seen(&policy, &|command| {
                command.args(["-c", "ls /mnt; echo started"]);
            });
            match &*seen.text {
                "inside\nstarted\n" => {}
                // Without it, or not at all: by what is said, and with its place.
                "started\n" | "" => {
                    assert!(seen.said.contains(bound.to_str().unwrap()), "{seen:?}");
                    let started = !seen.text.is_empty();
                    assert_eq!(seen.status == Some(0), started, "{seen:?}");
                }
                _ => panic!("{seen:?}"),
            }
        }
    });
}

/// Ends the other thread, also when this one fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
