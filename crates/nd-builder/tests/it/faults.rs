//! Steps that fail, builds that are stopped and killed, bases that lie.

use std::{path::PathBuf, process::Stdio, time::Duration};

use nd_builder::{BuildError, StepExit};
use nd_instructions::Op;

use crate::support::*;

pub(crate) fn a_failing_step_says_where_and_what() {
    let lab = Lab::new();
    let error = lab.try_build(vec![
        run("echo fine > /fine"),
        run("for i in $(seq 30); do echo line $i; done; echo oops >&2; exit 7"),
    ]);
    let error = error.unwrap_err();
    let BuildError::Script { step, exit, tail } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*exit, StepExit::Code(7));
    assert_eq!(step.origin.as_ref().unwrap().line, 11);
    assert_eq!(tail.len(), 20);
    assert!(
        tail.contains(&"oops".to_owned()) && tail.contains(&"line 30".to_owned()),
        "{tail:?}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("recipes/x/build.yaml:11: run for i in")
            && text.ends_with("exit status 7"),
        "{text}"
    );
    let said = lab.said.lines();
    assert!(
        said.contains(&"say line 1".to_owned()) && said.contains(&"end Failed".to_owned()),
        "{said:?}"
    );
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());

    let error = lab.try_build(vec![run("kill -9 $$")]).unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Script {
                exit: StepExit::Signal(9) | StepExit::Code(137),
                ..
            }
        ),
        "{error:?}"
    );
    // No shell in the image.
    let mut empty = Lab::new();
    empty.base.layers.clear();
    let error = empty.try_build(vec![run("true")]).unwrap_err();
    assert!(
        with_causes(&error).contains("/bin/sh"),
        "{}",
        with_causes(&error)
    );
    assert_eq!(empty.left_over(), Vec::<PathBuf>::new());
}

pub(crate) fn a_step_can_be_cancelled_and_timed_out() {
    let mut lab = Lab::new();
    lab.limits.time = Some(Duration::from_secs(1));
    let error = lab
        .try_build(vec![run("echo x > /x; sleep 100")])
        .unwrap_err();
    assert!(
        matches!(
            error,
            BuildError::Script {
                exit: StepExit::TimedOut,
                ..
            }
        ),
        "{error:?}"
    );
    lab.limits.time = None;
    let begun = std::time::Instant::now();
    let error = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            lab.try_build(vec![run("echo started; sleep 1000")])
                .unwrap_err()
        });
        let started = || lab.said.lines().contains(&"say started".to_owned());
        while !(started() || work.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        lab.cancel.cancel();
        work.join().unwrap()
    });
    assert!(matches!(error, BuildError::Cancelled), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(500));
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}

const CHILD: &str = "nd-build-child";

/// Whether this process is to build and to be killed.
pub(crate) fn is_child() -> bool {
    std::env::args().nth(1).as_deref() == Some(CHILD)
}

/// Builds into the store of the second argument.
pub(crate) fn child() {
    let store = std::env::args().nth(2).unwrap();
    let lab = Lab::at(tempfile::tempdir().unwrap(), store.as_ref());
    for layer in lab.build(steps()).layers {
        println!("{}", layer.diff_id);
    }
}

fn steps() -> Vec<Op> {
    (0..4)
        .map(|n| {
            run(&format!(
                "for i in $(seq 300); do echo {n}.$i > /tmp/{n}.$i; done; sleep 0.1"
            ))
        })
        .collect()
}

pub(crate) fn a_killed_build_goes_on_where_it_was() {
    let expected = Lab::new().build(steps()).layers;
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("store");
    let mut done = 0;
    for delay in [20, 60, 110, 170, 240, 320, 410, 60, 500] {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test kills a process of its own"
        )]
        let mut child = std::process::Command::new("/proc/self/exe")
            .args([CHILD.as_ref(), store.as_os_str()])
            // What is killed removes nothing.
            .env("TMPDIR", root.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        // What has a name is whole: steps that are recorded are not done again.
        let records = fs_err::read_dir(store.join("records/step-zstd")).map_or(0, Iterator::count);
        assert!(records >= done, "after {delay} ms");
        done = records;
    }
    let lab = Lab::at(tempfile::tempdir().unwrap(), &store);
    let built = lab.build(steps());
    assert_eq!(built.layers, expected);
    assert_eq!(built.steps.iter().filter(|step| step.cached).count(), done);
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}

pub(crate) fn an_ordinary_user_makes_the_same_layers() {
    use std::os::unix::process::CommandExt as _;
    // No such user, and so no range of ids.
    const NOBODY: u32 = 54_321;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let expected: Vec<_> = Lab::new().build(steps()).layers;
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(root.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // Where this program lies may be closed to others.
    let program = root.path().join("it");
    nd_testkit::copy_program(std::env::current_exe().unwrap(), &program);
    #[expect(
        clippy::disallowed_methods,
        reason = "the test is somebody else for once"
    )]
    let output = std::process::Command::new(&program)
        .args([CHILD.as_ref(), root.path().join("store").as_os_str()])
        .env_clear()
        .envs([("TMPDIR", root.path()), ("HOME", root.path())])
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("does not let this user make user namespaces") {
        println!("skipped: ordinary users may not make user namespaces here");
        return;
    }
    let found = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<_> = expected.iter().map(|l| l.diff_id.to_string()).collect();
    assert_eq!(found.lines().collect::<Vec<_>>(), expected, "{errors}");
}

pub(crate) fn a_base_that_is_not_what_it_says_is_refused() {
    let mut lab = Lab::new();
    let honest = lab.base.layers[0];
    lab.base.layers[0].diff_id = nd_names::Sha256::from_bytes([7; 32]);
    let error = lab.try_build(vec![run("true")]).unwrap_err();
    assert!(matches!(error, BuildError::Layer { .. }), "{error:?}");
    lab.base.layers[0] = honest;
    fs_err::remove_file(lab.store.blob_path(&honest.digest)).unwrap();
    let error = lab.try_build(vec![run("true")]).unwrap_err();
    assert!(matches!(error, BuildError::NoBlob { .. }), "{error:?}");
    assert_eq!(lab.left_over(), Vec::<PathBuf>::new());
}
