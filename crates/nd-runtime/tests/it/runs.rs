//! What a command gets, and what is heard of it.

use std::time::{Duration, Instant};

use nd_runtime::{Access, Bind, Input, RunSpec, Runtime, RuntimeError, Stream};

use crate::image::Image;

/// A test.
type Test = (&'static str, fn());

pub(crate) const TESTS: &[Test] = &[
    ("a_command_is_heard_to_the_byte", heard),
    (
        "one_engine_runs_many_commands_and_keeps_none_of_their_writes",
        many,
    ),
    ("users_homes_and_variables_are_those_of_the_image", users),
    ("limits_and_cancellation_end_commands", limits),
    ("programs_that_cannot_run_have_the_codes_of_a_shell", codes),
    ("sandbox_and_apptainer_agree", agree),
];

fn run(runtime: &dyn Runtime, script: &str) -> nd_runtime::RunOutput {
    runtime
        .run(&RunSpec::new(["sh", "-c", script]), &mut |_, _| {})
        .unwrap()
}

fn heard() {
    let image = Image::new();
    let runtime = image.sandbox(None);
    let mut lines = Vec::new();
    let mut spec = RunSpec::new(["sh", "-c", "cat; printf 'no newline'; echo err >&2; exit 3"]);
    spec.input = Input::Bytes(b"one\ntwo\r\n\xff".to_vec());
    let output = runtime
        .run(&spec, &mut |stream, line| {
            lines.push((stream, line.to_vec()));
        })
        .unwrap();
    assert_eq!(output.status, 3);
    assert_eq!(output.stdout, b"one\ntwo\r\n\xffno newline");
    assert_eq!(output.stderr, b"err\n");
    let out: Vec<_> = lines
        .iter()
        .filter(|(stream, _)| *stream == Stream::Stdout)
        .map(|(_, line)| line.as_slice())
        .collect();
    assert_eq!(out, [&b"one"[..], b"two", b"\xffno newline"]);
    assert_eq!(runtime.name(), "sandbox (range)");
}

fn many() {
    let image = Image::new();
    let runtime = image.sandbox(None);
    let shared = image.shared();
    for number in 0..10 {
        let mut spec = RunSpec::new([
            "sh",
            "-c",
            "ls /etc/mine 2>/dev/null; touch /etc/mine; pwd; echo $N >> log",
        ]);
        spec.env = vec![("N".into(), number.to_string().into())];
        spec.cwd = Some("/data/here".into());
        spec.binds = vec![Bind {
            host: shared.clone(),
            inside: "/data/here".into(),
            access: Access::ReadWrite,
        }];
        let output = runtime.run(&spec, &mut |_, _| {}).unwrap();
        assert_eq!(output.stdout, b"/data/here\n", "{output:?}");
    }
    let log = fs_err::read_to_string(shared.join("log")).unwrap();
    assert_eq!(log.lines().count(), 10);
    assert!(!image.folder.path().join("above/etc/mine").exists());
}

fn users() {
    let image = Image::new();
    let script = "id -u; id -g; echo $HOME $FROM_IMAGE; pwd";
    for (user, expected) in [
        (None, "0\n0\n/root yes\n/\n"),
        (Some("ann"), "1000\n1000\n/home/ann yes\n/\n"),
        (Some("12:34"), "12\n34\n/ yes\n/\n"),
    ] {
        let output = run(&image.sandbox(user), script);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    let error = image
        .sandbox(Some("eve"))
        .run(&RunSpec::new(["true"]), &mut |_, _| {})
        .unwrap_err();
    assert_eq!(error.to_string(), "the image has no user or group `eve`");
}

fn limits() {
    let image = Image::new();
    let runtime = image.sandbox(None);
    let begin = Instant::now();
    let mut spec = RunSpec::new(["sh", "-c", "echo started; sleep 1000"]);
    spec.timeout = Some(Duration::from_secs(2));
    let output = runtime.run(&spec, &mut |_, _| {}).unwrap();
    assert!(output.timed_out);
    assert_eq!(
        (output.status, output.stdout.as_slice()),
        (137, &b"started\n"[..])
    );
    spec.timeout = None;
    let cancel = spec.cancel.clone();
    let error = runtime.run(&spec, &mut |_, _| cancel.cancel()).unwrap_err();
    assert!(matches!(error, RuntimeError::Cancelled), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(500));
    // The next command gets an engine of its own.
    assert_eq!(run(&runtime, "echo again").stdout, b"again\n");
}

fn codes() {
    let image = Image::new();
    let runtime = image.sandbox(None);
    for (program, status) in [
        ("no-such-program", 127),
        ("/etc/broken", 126),
        ("/etc", 126),
    ] {
        let output = runtime
            .run(&RunSpec::new([program]), &mut |_, _| {})
            .unwrap();
        assert_eq!(output.status, status, "{program}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(run(&runtime, "kill -9 $$").status, 137);
}

fn agree() {
    let image = Image::new();
    let Some(apptainer) = image.apptainer() else {
        return;
    };
    let shared = image.shared();
    fs_err::write(shared.join("file"), "text").unwrap();
    let mut spec = RunSpec::new([
        "sh",
        "-c",
        "cat /data/file -; echo \" $A\"; pwd; echo err >&2; exit 5",
    ]);
    spec.env = vec![("A".into(), "x,y=z w".into())];
    spec.cwd = Some("/tmp".into());
    spec.input = Input::Bytes(b" input".to_vec());
    spec.binds = vec![Bind {
        host: shared,
        inside: "/data".into(),
        access: Access::ReadOnly,
    }];
    let ours = image.sandbox(None).run(&spec, &mut |_, _| {}).unwrap();
    let theirs = apptainer.run(&spec, &mut |_, _| {}).unwrap();
    assert_eq!(ours.status, theirs.status, "{theirs:?}");
    assert_eq!(ours.stdout, theirs.stdout, "{theirs:?}");
    assert!(theirs.stderr.ends_with(&ours.stderr), "{theirs:?}");
    assert!(apptainer.name().starts_with("apptainer version "));
}
