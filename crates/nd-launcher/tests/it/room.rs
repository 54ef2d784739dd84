//! Machines on which nothing can be written to `/run` and `/tmp`.

use std::{ffi::OsStr, process::Command};

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

#[test]
fn commands_start_where_nothing_can_be_written() {
    if !rustix::process::getuid().is_root() {
        return;
    }
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
            let (root, run) = (fixture.path(""), fixture.path("run"));
            let words = [root.as_os_str(), run.as_os_str(), OsStr::new(options)];
            let ran = on_machine(&fixture, ROOM, &words, &wrapper)
                .output()
                .unwrap();
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
