//! What a person at a terminal meets: shells on terminals of their own, and Ctrl-C.

#![expect(
    clippy::panic,
    reason = "helpers of tests fail as the tests do, with what was said"
)]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::{build::Fixture, looking::holds};

impl Fixture {
    /// Starts the command on a terminal of its own, whose near end it gives.
    fn on_terminal(&self, words: &[&str]) -> (Child, OwnedFd) {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let name = ptsname(&near, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        let plain = self.command(words);
        let mut command = std::process::Command::new("setsid");
        // A leader of a session whose terminal this is, as a shell's child would have it.
        command.args(["--ctty", env!("CARGO_BIN_EXE_neurocontainers")]);
        command.args(plain.get_args());
        command.env_clear();
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.current_dir(plain.get_current_dir().unwrap());
        let stream = || Stdio::from(far.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        (command.spawn().unwrap(), near)
    }
}

/// Reads from a terminal until a text comes; gives all that came.
fn wait_for(near: &OwnedFd, wanted: &str, said: &mut String) {
    let started = Instant::now();
    let mut file = File::from(near.try_clone().unwrap());
    let mut buffer = [0; 4096];
    while !said.contains(wanted) {
        assert!(
            started.elapsed() < Duration::from_secs(600),
            "no `{wanted}`: {said}"
        );
        match file.read(&mut buffer) {
            Ok(0) => panic!("the end before `{wanted}`: {said}"),
            Ok(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => panic!("{error} before `{wanted}`: {said}"),
        }
    }
}

/// Reads to the end; Linux says `EIO` there.
fn rest(near: &OwnedFd, said: &mut String) {
    let mut bytes = Vec::new();
    let _ = File::from(near.try_clone().unwrap()).read_to_end(&mut bytes);
    said.push_str(&String::from_utf8_lossy(&bytes));
}

fn type_in(near: &OwnedFd, text: &str) {
    let mut file = File::from(near.as_fd().try_clone_to_owned().unwrap());
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_shell_on_a_terminal_has_one_of_its_own() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let base = fixture.base.to_str().unwrap();
    let (mut child, near) = fixture.on_terminal(&["shell", "demo", "--base", base]);
    let mut said = String::new();
    // The prompt of a shell that believes in its terminal.
    wait_for(&near, "# ", &mut said);
    type_in(
        &near,
        "echo $DEMO_HOME; : < /dev/tty && echo has-a-terminal; sleep 60\n",
    );
    wait_for(&near, "\nhas-a-terminal", &mut said);
    // Ctrl-C is for the program in there.
    std::thread::sleep(Duration::from_millis(300));
    type_in(&near, "\x03");
    type_in(&near, "exit 5\n");
    rest(&near, &mut said);
    assert_eq!(child.wait().unwrap().code(), Some(5), "{said}");
    assert!(said.contains("/opt/demo"), "{said}");
}

#[test]
fn a_shell_opens_where_a_step_failed() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.edit(
        "recipes/demo/build.yaml",
        "        - chmod 755 /opt/demo/demo",
        "        - echo half > /opt/half; exit 9",
    );
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--base", base, "--shell-on-error"];
    let (mut child, near) = fixture.on_terminal(&words);
    let mut said = String::new();
    wait_for(&near, "a shell in what it left", &mut said);
    wait_for(&near, "# ", &mut said);
    type_in(&near, "echo left=$(cat /opt/half); exit\n");
    wait_for(&near, "left=half", &mut said);
    rest(&near, &mut said);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    assert!(
        said.contains("error:") && said.contains("exit status 9"),
        "{said}"
    );
    // Without a terminal there is no shell, and no waiting for one.
    let said = fixture.look(&words[..2], &[]);
    assert_eq!(said.code, 1);
    let said = fixture.look(&["build", "demo", "--shell-on-error"], &[]);
    assert!(
        said.code == 1 && said.err.contains("no terminal"),
        "{}",
        said.err
    );
}

#[test]
fn ctrl_c_ends_a_build_cleanly_and_the_next_one_goes_on() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let recipe = "recipes/demo/build.yaml";
    let slow = "    - run:\n        - test -e /tmp/quick || { echo now-it-waits; sleep 300; }\n";
    fixture.edit(recipe, "    - copy:", &format!("{slow}    - copy:"));
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--base", base, "--no-test"];
    let (mut child, near) = fixture.on_terminal(&words);
    let mut said = String::new();
    wait_for(&near, "| now-it-waits", &mut said);
    type_in(&near, "\x03");
    rest(&near, &mut said);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    assert!(
        said.contains("stopping") && said.contains("steps are kept"),
        "{said}"
    );
    nothing_runs(&fixture);

    // The same by SIGTERM.
    let (mut child, near) = fixture.on_terminal(&words);
    let mut said = String::new();
    wait_for(&near, "| now-it-waits", &mut said);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    rest(&near, &mut said);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    nothing_runs(&fixture);

    fixture.edit(recipe, "test -e /tmp/quick ||", "true ||");
    let summary = fixture.build(&["--no-test"]);
    let steps = summary["steps"].as_array().unwrap();
    assert_eq!(steps[0]["cached"], true, "{steps:?}");
    assert!(steps.iter().any(|step| step["cached"] == false));
}

#[test]
fn a_second_ctrl_c_kills_and_leaves_nothing_running() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    // A program that keeps its last wish long: what is waited for in vain.
    let recipe = "recipes/demo/build.yaml";
    let slow = "    - run:\n        - echo now-it-waits; sleep 300\n";
    fixture.edit(recipe, "    - copy:", &format!("{slow}    - copy:"));
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--base", base, "--no-test"];
    let (mut first, near) = fixture.on_terminal(&words);
    let mut said = String::new();
    wait_for(&near, "| now-it-waits", &mut said);
    // A second build waits for the first, and stops waiting when asked to.
    let (mut second, other) = fixture.on_terminal(&words);
    let mut heard = String::new();
    wait_for(&other, "waiting for another build", &mut heard);
    type_in(&other, "\x03");
    rest(&other, &mut heard);
    assert_eq!(second.wait().unwrap().code(), Some(130), "{heard}");
    // Stopped, it cannot end by itself; two signals wait for it, and the second is its end.
    let pid = rustix::process::Pid::from_child(&first);
    let send = |signal| rustix::process::kill_process(pid, signal).unwrap();
    send(rustix::process::Signal::STOP);
    send(rustix::process::Signal::INT);
    send(rustix::process::Signal::TERM);
    send(rustix::process::Signal::CONT);
    rest(&near, &mut said);
    let status = first.wait().unwrap();
    let by = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(
        by.is_some() || status.code() == Some(130),
        "{status:?} {said}"
    );
    nothing_runs(&fixture);
}

/// No process of the fixture is there any more, and nothing is mounted or left in its store.
fn nothing_runs(fixture: &Fixture) {
    let root = fixture.env.root().to_str().unwrap().to_owned();
    let ours = |pid: &Path| {
        let environ = fs_err::read(pid.join("environ")).unwrap_or_default();
        let command = fs_err::read(pid.join("cmdline")).unwrap_or_default();
        holds(&environ, root.as_bytes()) || holds(&command, b"now-it-waits")
    };
    let own = std::process::id().to_string();
    let started = Instant::now();
    loop {
        let all = fs_err::read_dir("/proc").unwrap().flatten();
        let left: Vec<_> = all
            .filter(|entry| {
                entry.file_name().to_str().is_some_and(|name| {
                    name != own && name.bytes().all(|byte| byte.is_ascii_digit())
                })
            })
            .filter(|entry| ours(&entry.path()))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&root), "{mounts}");
}
