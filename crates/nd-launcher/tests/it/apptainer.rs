//! The binary with the real Apptainer: what the command sees is what the user has.

use std::{
    io::{Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{fs::symlink, process::ExitStatusExt as _},
    },
    process::{Child, Stdio},
};

use nd_launcher::Form;

use crate::fixture::{Fixture, output, program};

#[test]
fn a_command_of_a_sif_behaves_as_a_native_one() {
    let Some(fixture) = Fixture::real(Form::Sif) else {
        return;
    };
    // Arguments and `argv[0]`: busybox does what its own name says.
    let odd = ["", "a b", "$(id)", "'\"\\", "--", "line\nbreak"];
    let text = output(fixture.wrapper("args").args(odd));
    assert_eq!(text, odd.map(|word| format!("{word}\0")).concat());
    // Standard input as a whole, and through `xargs`.
    let mut child = fixture
        .wrapper("wc")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&vec![b'x'; 1 << 20])
        .unwrap();
    assert_eq!(read(&mut child).trim(), "1048576");
    let mut xargs = fixture.program("sh");
    xargs
        .args([
            "-c",
            "printf 'a\\nb c\\n' | xargs -d '\\n' -n 1 \"$1\"",
            "sh",
        ])
        .arg(fixture.folder.join("args"));
    assert_eq!(output(&mut xargs), "a\0b c\0");
    // Statuses and signals.
    for (script, code, signal) in [
        ("exit 7", Some(7), None),
        ("kill -TERM $$", None, Some(15)),
        ("kill -KILL $$", None, Some(9)),
    ] {
        let status = fixture.wrapper("sh").args(["-c", script]).status().unwrap();
        assert!(
            status.code() == code && status.signal() == signal
                || status.code() == signal.map(|signal| 128 + signal),
            "{script}: {status}"
        );
    }
    // A reader that ends early ends the writer.
    let mut pipe = fixture.program("sh");
    pipe.args([
        "-c",
        "\"$1\" -c 'while echo y; do :; done' | head -n 1",
        "sh",
    ])
    .arg(fixture.folder.join("sh"));
    assert_eq!(output(&mut pipe), "y\n");
}

#[test]
fn a_signal_reaches_the_command() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    let mut child = fixture
        .wrapper("sh")
        .args([
            "-c",
            "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(
        (rest.as_str(), child.wait().unwrap().code()),
        ("caught\n", Some(3))
    );
}

#[test]
fn the_working_directory_is_there_whatever_its_name() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    // Outside of `/tmp`, which the runtime binds anyway.
    let outside = tempfile::tempdir_in("/var").unwrap();
    for name in ["plain", "a b", "a:b,c", "back\\slash", "ünï"] {
        let folder = outside.path().join(name);
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join("here"), name).unwrap();
        let run = |command: &str, arguments: &[&str]| {
            output(
                fixture
                    .wrapper(command)
                    .args(arguments)
                    .current_dir(&folder),
            )
        };
        assert_eq!(run("pwd", &[]).trim_end(), folder.to_str().unwrap());
        assert_eq!(run("cat", &["here"]), name);
    }
    let link = outside.path().join("link");
    symlink(outside.path().join("plain"), &link).unwrap();
    let mut wrapper = fixture.wrapper("sh");
    wrapper
        .args(["-c", "pwd; cat here; echo new > made"])
        .current_dir(&link)
        .env("PWD", &link);
    let physical = outside.path().join("plain");
    assert_eq!(
        output(&mut wrapper),
        format!("{}\nplain", physical.display())
    );
    assert_eq!(
        fs_err::read_to_string(physical.join("made")).unwrap(),
        "new\n"
    );
}

#[test]
fn only_allowed_variables_reach_the_command() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    fixture.policy("pass SLURM_*\nenv SITE=a,b=c\n");
    let text = output(fixture.wrapper("env").envs([
        ("DISPLAY", ":1,2"),
        ("SLURM_JOB_ID", "7"),
        ("APPTAINERENV_SUBJECTS_DIR", "/s"),
        ("SINGULARITYENV_OTHER", "o"),
        ("R_LIBS", "/r"),
        ("PYTHONPATH", "/p"),
        ("LD_LIBRARY_PATH", "/nowhere"),
    ]));
    for line in [
        "DISPLAY=:1,2",
        "SLURM_JOB_ID=7",
        "SUBJECTS_DIR=/s",
        "OTHER=o",
        "SITE=a,b=c",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    for name in ["R_LIBS", "PYTHONPATH", "=/nowhere"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}

#[test]
fn binds_and_temporary_folders_are_there() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    for name in ["one", "two", "scratch"] {
        fs_err::create_dir(fixture.path(name)).unwrap();
        fs_err::write(fixture.path(name).join("file"), name).unwrap();
    }
    let outside = tempfile::tempdir_in("/var").unwrap();
    let ran = fixture
        .wrapper("sh")
        .args([
            "-c",
            "cat /mnt/one/file /mnt/two/file /tmp/file; echo x > /tmp/new",
        ])
        .current_dir(outside.path())
        .env(
            "APPTAINER_BIND",
            format!("{}:/mnt/one:ro,/gone", fixture.path("one").display()),
        )
        .env(
            "SINGULARITY_BINDPATH",
            format!("{}:/mnt/two", fixture.path("two").display()),
        )
        .env("TMPDIR", fixture.path("scratch"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "onetwoscratch");
    assert_eq!(
        String::from_utf8(ran.stderr).unwrap(),
        "neurodesk: warning: left out of the container because they do not exist: `/gone`\n"
    );
    assert!(ran.status.success());
    assert!(fixture.path("scratch/new").exists());
}

#[test]
fn a_terminal_stays_a_terminal() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let size = rustix::termios::Winsize {
        ws_row: 33,
        ws_col: 77,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&ours, size).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let theirs = OwnedFd::from(theirs.into_file());
    let status = fixture
        .wrapper("sh")
        .args(["-c", "test -t 0 && test -t 1 && test -t 2 && stty size"])
        .stdin(theirs.try_clone().unwrap())
        .stdout(theirs.try_clone().unwrap())
        .stderr(theirs)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let mut bytes = [0; 64];
    let count = rustix::io::read(&ours, &mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"33 77\r\n");
}

#[test]
fn a_wrapper_runs_inside_another_containers_wrapper() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    // The kernel lets no root in a container make a further one, so the inner runtime only tells
    // what it is called with.
    let inner = fixture.path("inner");
    fs_err::create_dir(&inner).unwrap();
    program(
        &inner.join("apptainer"),
        "#!/bin/sh\nprintf '<%s> ' \"$@\"\n",
    );
    let script = format!(
        "PATH='{}':$PATH; exec '{}' x y",
        inner.display(),
        fixture.folder.join("args").display()
    );
    let ran = fixture
        .wrapper("sh")
        .args(["-c", &script])
        .env(
            "APPTAINER_BIND",
            format!("/lib,/lib64,/usr/lib,{}:/elsewhere", inner.display()),
        )
        .output()
        .unwrap();
    let (text, said) = (
        String::from_utf8(ran.stdout).unwrap(),
        String::from_utf8(ran.stderr).unwrap(),
    );
    assert!(ran.status.success(), "{text}{said}");
    assert!(text.contains("<--bind> </lib> <--bind> </lib64>"), "{text}");
    assert!(text.ends_with("<args> <x> <y> "), "{text}");
}

#[test]
fn a_wrapper_runs_under_mpirun() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    let Some(mpirun) = nd_testkit::peer("mpirun") else {
        return;
    };
    fixture.policy("pass OMPI_*\npass PMIX_*\n");
    let mut command = fixture.program(mpirun);
    command
        .args(["--allow-run-as-root", "--oversubscribe", "-n", "3"])
        .arg(fixture.folder.join("sh"))
        .args([
            "-c",
            "echo rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE",
        ]);
    let ran = command.output().unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["rank 0 of 3", "rank 1 of 3", "rank 2 of 3"],
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// What a child wrote, after its end.
fn read(child: &mut Child) -> String {
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(child.wait().unwrap().success());
    text
}
