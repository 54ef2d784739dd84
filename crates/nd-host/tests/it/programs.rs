//! Programs that succeed, fail, hang, read and leave children behind.

use std::time::{Duration, Instant};

use nd_host::{
    Environment, Input, Invocation, Outcome, ProgramError, Programs as _, Stream, SystemPrograms,
};
use nd_report::Cancel;

fn programs() -> SystemPrograms {
    SystemPrograms::new(&Environment::of_process().unwrap())
}

fn shell(script: &str) -> Invocation {
    Invocation::new("sh").arg("-c").arg(script)
}

#[test]
fn both_outputs_come_line_by_line_and_a_failure_tells_the_last_of_them() {
    let mut lines = Vec::new();
    let finished = programs()
        .run(
            &shell("echo out; for i in $(seq 30); do echo err $i >&2; done; printf half; exit 3"),
            &mut |stream, line| lines.push((stream, line.to_vec())),
            &Cancel::default(),
        )
        .unwrap();
    assert_eq!(finished.outcome, Outcome::Code(3));
    assert_eq!(finished.stdout, b"out\nhalf");
    let out: Vec<_> = lines
        .iter()
        .filter(|(stream, _)| *stream == Stream::Stdout)
        .map(|(_, line)| line.as_slice())
        .collect();
    assert_eq!(out, [&b"out"[..], b"half"]);
    let error = finished.success().unwrap_err().to_string();
    assert!(error.ends_with("\n  err 30"), "{error}");
    assert_eq!(error.lines().count(), 21);
}

#[test]
fn a_program_reads_what_it_is_given_with_the_variables_it_is_given() {
    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let finished = programs()
        .check(
            &shell("cat; printf %s \"$A-$HOME\"")
                .empty_environment()
                .env("A", "b")
                .input(Input::Bytes(input.clone())),
        )
        .unwrap();
    assert!(finished.stdout.starts_with(&input));
    assert_eq!(&finished.stdout[input.len()..], b"b-");
    // One that does not read it is no failure.
    let deaf = programs().check(&shell("exec true").input(Input::Bytes(vec![0; 1 << 20])));
    assert!(deaf.is_ok());
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_its_children() {
    let begin = Instant::now();
    let mut child = String::new();
    let error = programs()
        .run(
            &shell("sleep 60 & echo $!; echo waiting >&2; wait").limit(Duration::from_secs(2)),
            &mut |stream, line| {
                if stream == Stream::Stdout {
                    child = String::from_utf8(line.to_vec()).unwrap();
                }
            },
            &Cancel::default(),
        )
        .unwrap_err();
    assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
    assert!(error.to_string().ends_with("\n  waiting"), "{error}");
    // Dying takes a moment, and the orphan is reaped by whoever adopts it; a zombie runs no more.
    let stat = format!("/proc/{child}/stat");
    while fs_err::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
        assert!(begin.elapsed() < Duration::from_secs(50), "still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_that_holds_the_output_open_is_not_waited_for() {
    let begin = Instant::now();
    let finished = programs().check(&shell("sleep 300 & echo $!")).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(250));
    let child = finished.text().parse().unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_wish_to_stop_is_heard() {
    let cancel = Cancel::default();
    let error = programs()
        .run(
            &shell("echo now; exec sleep 60"),
            &mut |_, _| cancel.cancel(),
            &cancel,
        )
        .unwrap_err();
    assert!(matches!(error, ProgramError::Cancelled { .. }), "{error}");
}

#[test]
fn a_missing_program_is_named() {
    let error = programs()
        .check(&Invocation::new("nd-no-such-program"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "program `nd-no-such-program` is not installed"
    );
    assert_eq!(programs().find("sh").unwrap().file_name().unwrap(), "sh");
}
