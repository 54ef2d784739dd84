//! Who ends whom, and that nothing is left.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nd_sandbox::SandboxError;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Image, Test, eventually, processes_with, sh};

pub(crate) const TESTS: &[Test] = &[
    ("lifetime::a_time_limit_ends_everything", time_limit),
    ("lifetime::a_fork_storm_dies_whole", fork_storm),
    ("lifetime::cancelling_ends_everything", cancel),
    (
        "lifetime::a_killed_engine_takes_its_step_along",
        killed_engine,
    ),
    ("lifetime::a_killed_init_takes_its_step_along", killed_init),
    (
        "lifetime::a_killed_caller_takes_everything_along",
        killed_caller,
    ),
    (
        "lifetime::the_thread_that_started_an_engine_may_end",
        threads,
    ),
    ("lifetime::an_engine_serves_many_steps", many_steps),
    ("lifetime::a_program_that_is_not_there_is_an_error", missing),
];

/// A word that no other process has.
fn word(name: &str) -> String {
    format!("nd-test-{name}-{}", std::process::id())
}

/// A script that leaves processes in every way: its own, in the background, in other sessions.
fn stubborn(word: &str) -> String {
    format!(
        "sleep 1000 & setsid sh -c 'sleep 1000; : {word}' & (trap '' TERM INT HUP; sleep 1000; : {word}) & \
         echo ready; sleep 1000; : {word}"
    )
}

fn time_limit() {
    let image = Image::new();
    let word = word("limit");
    // Where nothing had begun, which happens on a busy machine, nothing was ended either.
    for limit in [700, 7_000, 70_000] {
        let begin = Instant::now();
        let mut job = sh(&stubborn(&word));
        job.limit_ms = Some(limit);
        let outcome = image.start(job, &[]).finish();
        assert_eq!(
            outcome.exit.as_deref(),
            Ok("TimedOut"),
            "{}",
            outcome.shown()
        );
        assert!(begin.elapsed() >= Duration::from_millis(limit));
        assert!(begin.elapsed() < Duration::from_secs(500));
        assert_eq!(processes_with(&word), [0; 0]);
        if outcome.out == [b"ready"] {
            return;
        }
    }
    panic!("no step began in 70 s");
}

fn fork_storm() {
    let image = Image::new();
    let word = word("storm");
    let mut job = sh(&format!(
        "f() {{ f | f & }}; (f; : {word}); exec sleep 1000"
    ));
    job.limit_ms = Some(1000);
    job.processes = Some(200);
    let outcome = image.start(job, &[]).finish();
    assert_eq!(
        outcome.exit.as_deref(),
        Ok("TimedOut"),
        "{}",
        outcome.shown()
    );
    assert_eq!(processes_with(&word), [0; 0]);
}

fn cancel() {
    let image = Image::new();
    let word = word("cancel");
    let mut running = image.start(sh(&stubborn(&word)), &[]);
    assert_eq!(running.line(), "ready");
    assert!(!processes_with(&word).is_empty());
    running.engine.cancel();
    let outcome = running.finish();
    assert_eq!(outcome.exit.as_deref(), Ok("Cancelled"));
    assert_eq!(processes_with(&word), [0; 0]);
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn killed_engine() {
    let image = Image::new();
    let word = word("engine");
    let mut running = image.start(sh(&stubborn(&word)), &[]);
    assert_eq!(running.line(), "ready");
    kill(running.engine.id());
    let error = running.lost();
    assert!(
        matches!(
            error,
            SandboxError::Died {
                process: "engine",
                ..
            }
        ),
        "{error}"
    );
    eventually("the step goes on", || processes_with(&word).is_empty());
    assert_eq!(image.sh("true").text(), "");
}

fn killed_init() {
    let image = Image::new();
    let word = word("init");
    let mut running = image.start(sh(&stubborn(&word)), &[]);
    assert_eq!(running.line(), "ready");
    // The parent of the step's shell.
    let init = processes_with(&word)
        .into_iter()
        .map(parent)
        .find(|&pid| parent(pid) == running.engine.id())
        .unwrap();
    kill(init);
    let outcome = running.finish();
    assert_eq!(
        outcome.exit.unwrap_err(),
        "the sandbox's init ended unexpectedly (signal 9)"
    );
    assert_eq!(processes_with(&word), [0; 0]);
}

fn parent(pid: u32) -> u32 {
    // A process may end while we look; 0 is nobody's parent that is asked for.
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(1))
        .and_then(|ppid| ppid.parse().ok())
        .unwrap_or(0)
}

fn killed_caller() {
    let word = word("caller");
    let mut caller = Command::new(std::env::current_exe().unwrap())
        .args(["be-a-caller", &word])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(caller.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let engine: u32 = lines.next().unwrap().unwrap().parse().unwrap();
    assert!(!processes_with(&word).is_empty());
    caller.kill().unwrap();
    caller.wait().unwrap();
    eventually("something goes on", || {
        processes_with(&word).is_empty()
            && !std::path::Path::new(&format!("/proc/{engine}")).exists()
    });
}

/// What this program does when it is started as a caller that gets killed.
pub(crate) fn be_a_caller(word: &str) {
    let image = Image::new();
    let mut running = image.start(sh(&stubborn(word)), &[]);
    println!("{}\n{}", running.line(), running.engine.id());
    running.finish();
}

fn threads() {
    let image = Image::new();
    let mut running = std::thread::scope(|scope| {
        scope
            .spawn(|| image.start(sh("echo one; sleep 0.3; echo two"), &[]))
            .join()
            .unwrap()
    });
    assert_eq!(running.line(), "one");
    assert_eq!(running.finish().text(), "one\ntwo");
}

fn many_steps() {
    let image = Image::new();
    let mut job = sh("echo $$; exit 5");
    job.times = 20;
    job.root = crate::support::RootKind::Ephemeral;
    let running = image.start(job, &[]);
    let exits = running.finish_all();
    assert_eq!(exits.len(), 20);
    assert!(
        exits.iter().all(|exit| exit.as_deref() == Ok("Code(5)")),
        "{exits:?}"
    );
}

fn missing() {
    let image = Image::new();
    for (program, message) in [
        (
            "no-such-program",
            "cannot run `no-such-program` in the image: No such file",
        ),
        (
            "/etc/passwd",
            "cannot run `/etc/passwd` in the image: Permission denied",
        ),
        ("/etc", "cannot run `/etc` in the image: Permission denied"),
    ] {
        let mut job = sh("");
        job.argv = vec![program.into()];
        let error = image.start(job, &[]).finish().exit.unwrap_err();
        assert!(error.starts_with(message), "{error}");
    }
    let mut job = sh("true");
    job.cwd = "/no/such".into();
    let error = image.start(job, &[]).finish().exit.unwrap_err();
    assert!(
        error.starts_with("failed to enter the working directory"),
        "{error}"
    );
}
