//! Machines on which nothing can be written to `/run` and `/tmp`, without FUSE, with mounts that come later, and with
//! control groups.

use std::{ffi::OsStr, path::Path, process::Command};

use nd_launcher::{Form, VERBOSE_VARIABLE};

use crate::{fixture::Fixture, user::User};

/// Programs of the machine instead of the peers', which are for another C library.
const BEGIN: &str = "set -e; path=$PATH; PATH=/usr/bin:/bin:/sbin; ";
/// The command, with the peers.
const END: &str = "\nPATH=$path; exec \"$@\"\n";

/// Another `/tmp` and folder of sockets, in which only what the test needs is kept; then a command.
/// Words: the fixture, that folder, and options of the last mount.
const ROOM: &str = r#"fixture=$1 run=$2 options=$3; shift 3
held=$(mktemp -d /var/tmp/held.XXXXXX)
mount --bind "$fixture" "$held"
mount -t tmpfs -o mode=1777,nr_inodes=200 none /tmp
mkdir -p "$fixture"
mount --move "$held" "$fixture"
rmdir "$held"
mount -t tmpfs -o mode=1777,nr_inodes=200 none "$run"
if [ "$options" = full ]; then
    for at in /tmp "$run"; do i=0; while (: > "$at/$i") 2> /dev/null; do i=$((i + 1)); done; done
else
    mount -o "remount,$options" none /tmp
    mount -o "remount,$options" none "$run"
fi
"#;

/// The command of a user, on a machine that a script of root furnishes: in a mount namespace of its own, with
/// words that it takes from its arguments.
#[expect(
    clippy::disallowed_methods,
    reason = "this is what starts programs in tests"
)]
pub(crate) fn on_machine(
    fixture: &Fixture,
    script: &str,
    words: &[&OsStr],
    command: &Command,
) -> Command {
    let mut outer = Command::new("unshare");
    outer
        .args(["--mount", "--propagation", "slave", "sh", "-c"])
        .arg(format!("{BEGIN}{script}{END}"))
        .arg("sh")
        .args(words)
        .arg(command.get_program())
        .args(command.get_args());
    fixture.furnish(&mut outer);
    outer
        .env("XDG_RUNTIME_DIR", fixture.path("run"))
        .env(VERBOSE_VARIABLE, "1");
    outer
}

/// The command where `/tmp` and the folder of sockets are new ones, `rw`, `ro` or `full`.
pub(crate) fn on_room(fixture: &Fixture, options: &str, command: &Command) -> Command {
    let (root, run) = (fixture.path(""), fixture.path("run"));
    let words = [root.as_os_str(), run.as_os_str(), OsStr::new(options)];
    on_machine(fixture, ROOM, &words, command)
}

#[test]
fn commands_start_where_nothing_can_be_written() {
    for form in [Form::Folder, Form::Sif] {
        let Some(fixture) = Fixture::real(form) else {
            return;
        };
        let Some(user) = User::new(&fixture) else {
            return;
        };
        fixture.policy("runtime native\nkeep 60\n");
        for options in ["ro", "full"] {
            let mut wrapper = user.wrapper(&fixture, "sh");
            wrapper.args([
                "-c",
                "cat /etc/passwd | wc -l; (: > /tmp/x) 2> /dev/null || echo not written",
            ]);
            let ran = on_room(&fixture, options, &wrapper).output().unwrap();
            let text = String::from_utf8_lossy(&ran.stdout);
            let said = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(text, "2\nnot written\n", "{form:?} {options}: {said}");
            assert_eq!(said, "", "{form:?} {options}");
        }
        // Nothing stays that could be joined.
        let places = fixture.path("run/neurodesk");
        assert!(!places.exists());
    }
}

/// What a command prints and says on such a machine; `None` where this process cannot furnish one.
fn seen(
    form: Form,
    policy: &str,
    script: &str,
    words: &[&str],
    lines: &str,
) -> Option<(String, String)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let fixture = Fixture::real(form)?;
    let user = User::new(&fixture)?;
    user.make_folder(&fixture.path("later"));
    fixture.policy(&policy.replace("LATER", fixture.path("later").to_str()?));
    let mut wrapper = user.wrapper(&fixture, "sh");
    let later = fixture.path("later");
    wrapper.args(["-c", lines, "sh"]).arg(&later);
    let words: Vec<&OsStr> = std::iter::once(later.as_os_str())
        .chain(words.iter().map(OsStr::new))
        .collect();
    let ran = on_machine(&fixture, script, &words, &wrapper)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some((text(ran.stdout), text(ran.stderr)))
}

#[test]
fn without_fuse_files_are_left_to_apptainer_and_folders_start() {
    let off = "shift; mount --bind /dev/null /dev/fuse";
    let policy = "runtime native\nkeep 0\n";
    for (form, left) in [(Form::Folder, false), (Form::Sif, true)] {
        let Some((text, said)) = seen(form, policy, off, &[], "echo started") else {
            return;
        };
        assert_eq!(
            said.contains("apptainer`: failed to mount the image"),
            left,
            "{said}"
        );
        // It unpacks the image, where it may.
        assert!(left || text == "started\n", "{text}");
    }
}

#[test]
fn without_namespaces_starts_are_left_to_the_runtime() {
    let Some(fixture) = Fixture::real(Form::Folder) else {
        return;
    };
    let Some(user) = User::new(&fixture) else {
        return;
    };
    // A runtime that needs none, as one with a set-id bit, by what it is called with.
    let runtime = fixture.path("programs/apptainer");
    fs_err::create_dir(fixture.path("programs")).unwrap();
    crate::fixture::program(&runtime, "#!/bin/sh\necho \"called to $2\"\n");
    // What would show a file as a folder is not even started.
    crate::fixture::program(
        &fixture.path("programs/squashfuse_ll"),
        "#!/bin/sh\necho served >&2\n",
    );
    fixture.policy(&format!(
        "runtime native\nkeep 0\nsearch {0}\n",
        fixture.path("programs").display()
    ));
    // The machine is that of a user namespace, in which nobody may make another one.
    let script = "exec unshare -U --map-current-user --keep-caps sh -c \
                  'echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" -c \"echo started\"' \"$0\"";
    for form in [Form::Folder, Form::Sif] {
        if form == Form::Sif {
            let Some(other) = Fixture::real(form) else {
                return;
            };
            let image = fixture.folder.join("abc_1.0_20240131.simg");
            fs_err::rename(&image, fixture.path("image")).unwrap();
            fs_err::copy(other.folder.join("abc_1.0_20240131.simg"), image).unwrap();
            let launch = nd_launcher::LaunchFile::new("abc", "abc_1.0_20240131.simg", form);
            fixture.write(&launch);
        }
        let ran = user
            .program(&fixture, "/bin/sh")
            .args(["-c", script])
            .arg(fixture.folder.join("sh"))
            .env("PATH", "/usr/bin:/bin")
            .env(VERBOSE_VARIABLE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(
            String::from_utf8_lossy(&ran.stdout),
            "called to exec\n",
            "{said}"
        );
        let place = format!(
            "left to `{}`: failed to make a user namespace",
            runtime.display()
        );
        assert!(said.contains(&place), "{form:?}: {said}");
        assert!(!said.contains("served"), "{form:?}: {said}");
    }
}

#[test]
fn mounts_of_the_host_that_come_later_appear() {
    // As autofs and CVMFS mount what somebody looks at.
    let later = r#"mkdir "$1/x"; mount --bind "$1" "$1"; mount --make-rshared "$1"
(until [ -e "$1/begun" ]; do sleep 0.05; done; mount -t tmpfs none "$1/x"; : > "$1/x/file") & shift"#;
    let lines = r#": > "$1/begun"; i=0
        until [ -e "$1/x/file" ] || [ $i = 1800 ]; do sleep 0.1; i=$((i + 1)); done; ls "$1/x""#;
    let policy = "runtime native\nkeep 0\nbind LATER\n";
    for form in [Form::Folder, Form::Sif] {
        let Some(seen) = seen(form, policy, later, &[], lines) else {
            return;
        };
        assert_eq!(seen, ("file\n".to_owned(), String::new()), "{form:?}");
    }
}

#[test]
fn what_a_batch_system_kills_is_all_of_a_command() {
    let places = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    let Some(group) = places
        .iter()
        .map(|place| Path::new(place).join(format!("neurodesk-test-{}", std::process::id())))
        .find(|group| fs_err::create_dir(group).is_ok())
    else {
        println!("skipped: no control group can be made");
        return;
    };
    let join = "shift; echo $$ > \"$1/cgroup.procs\"; shift";
    let words = [group.to_str().unwrap()];
    // Who else is in the group, as the command sees it.
    let lines = r#"for process in /proc/[0-9]*; do
        grep -q neurodesk-test- "$process/cgroup" 2> /dev/null && busybox tr '\0' ' ' < "$process/cmdline"
    done; echo started"#;
    let policy = "runtime native\nkeep 600\n";
    let seen = seen(Form::Sif, policy, join, &words, lines);
    // The holder waits for the next command, in the group, until what it was started from has ended.
    let procs = group.join("cgroup.procs");
    let pids = || -> Vec<i32> {
        let text = fs_err::read_to_string(&procs).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    for pid in pids() {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    let begin = std::time::Instant::now();
    while !pids().is_empty() || fs_err::remove_dir(&group).is_err() {
        assert!(begin.elapsed() < crate::warm::PATIENCE, "{:?}", pids());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    if let Some((text, said)) = seen {
        for who in ["nd-holder keep 600", "/squashfuse_ll -f", "started\n"] {
            assert!(text.contains(who), "{text}");
        }
        assert_eq!(said, "");
    }
}
