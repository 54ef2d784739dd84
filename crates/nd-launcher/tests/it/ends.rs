//! How commands end, and what a terminal does to them: without a runtime as with Apptainer.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::{Child, Command},
    time::Instant,
};

use nd_launcher::Form;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::native::Pair;

/// Ends of all kinds, as a shell of the host sees them.
const ENDS: &str = r#"for lines in 'exit 0' 'exit 42' 'exit 255' 'kill -TERM $$' 'kill -KILL $$' 'kill -SEGV $$' \
    'kill -USR1 $$' 'echo text' 'cat' 'pwd -P' 'echo out; echo err >&2'; do
    "$0" -c "$lines" < /dev/null; echo "$lines: $?"
done 2>&1
"$0" -c 'i=0; while [ $i -lt 9999 ]; do echo line $i; i=$((i + 1)); done' | head -n 1
printf 'a\nb\n' | { "$0" -c 'read -r line; echo "first $line"'; cat; }
"$0" -c "ulimit -c; ulimit -n; umask" 2>&1
(umask 077; ulimit -n 77; "$0" -c "ulimit -n; umask"; "$0" -c 'exit 9' 9> /dev/null; echo $?)
"$0" no-such-file 2> /dev/null; echo $?"#;

/// Those in which Apptainer differs from any other program: it opens standard streams that are closed, and gives
/// signals that the caller ignores their own effect.
const CLOSED: &str = r#"for lines in 'echo text' 'cat' 'pwd -P' 'echo out; echo err >&2'; do
    "$0" -c "$lines" < /dev/null >&-; echo "$lines, closed: $?"
    "$0" -c "$lines" <&- ; echo "$lines, without input: $?"
done 2>&1
(trap '' USR1 INT; "$0" -c 'kill -USR1 $$; echo alive'); echo $?"#;

#[test]
fn ends_are_those_of_apptainer() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let ran = |policy: &str, program: &Path, script: &str| {
        pair.fixture.policy(policy);
        let mut shell = pair.user.program(&pair.fixture, "sh");
        let ran = shell.args(["-c", script]).arg(program).output().unwrap();
        String::from_utf8(ran.stdout).unwrap()
    };
    let wrapper = pair.fixture.folder.join("sh");
    // The same program without a container.
    let plain = pair.fixture.folder.join("abc_1.0_20240131.simg/bin/sh");
    let native = ran("runtime native\n", &wrapper, ENDS);
    assert_eq!(native, ran("runtime apptainer\n", &wrapper, ENDS));
    assert_eq!(native, ran("", &plain, ENDS));
    assert!(native.contains("\nkill -TERM $$: 143\n"), "{native}");
    assert_eq!(
        ran("runtime native\n", &wrapper, CLOSED),
        ran("", &plain, CLOSED)
    );
}

/// A program with a terminal of its own.
struct Terminal {
    ours: OwnedFd,
    child: Child,
    seen: String,
}

impl Terminal {
    fn new(mut command: Command) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
            .into_parts()
            .0;
        let size = Winsize {
            ws_row: 33,
            ws_col: 77,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let child = command
            .stdin(theirs.try_clone().unwrap())
            .stdout(theirs.try_clone().unwrap())
            .stderr(theirs)
            .spawn()
            .unwrap();
        Self {
            ours,
            child,
            seen: String::new(),
        }
    }

    /// Waits until it has printed this; what it printed before is forgotten.
    fn wait(&mut self, text: &str) {
        let begin = Instant::now();
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(
                begin.elapsed() < crate::warm::PATIENCE,
                "{text}: {}",
                self.seen
            );
            let fd = self.ours.as_fd();
            let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
            if poll(&mut polled, Some(&second)).unwrap() > 0 {
                let mut part = [0; 512];
                let count = rustix::io::read(&self.ours, &mut part).unwrap_or(0);
                self.seen.push_str(&String::from_utf8_lossy(&part[..count]));
            }
        }
    }

    fn press(&mut self, keys: &str) {
        rustix::io::write(&self.ours, keys.as_bytes()).unwrap();
    }
}

#[test]
fn a_terminal_is_the_commands() {
    for form in [Form::Folder, Form::Sif] {
        let Some(pair) = Pair::new(form) else { return };
        for policy in ["runtime native\nkeep 1\n", "runtime apptainer\n"] {
            pair.fixture.policy(policy);
            // A shell with job control on a terminal of its own session.
            let script = r#"set -m; "$0" -c 'stty size; [ -t 0 ] && [ -t 1 ] && echo ready; read -r line; echo "got $line"'
                echo "stopped $?"; fg > /dev/null; echo "ended $?"
                "$0" -c 'trap "echo interrupted; exit 5" INT; echo waiting; while :; do sleep 0.1; done'; echo "status $?""#;
            let mut command = pair.user.program(&pair.fixture, "setsid");
            command.args(["--ctty", "--wait", "bash", "-c", script]);
            command.arg(pair.fixture.folder.join("sh"));
            let mut terminal = Terminal::new(command);
            terminal.wait("33 77\r\n");
            terminal.wait("ready\r\n");
            terminal.press("\x1a");
            // By the terminal's signal, or by that with which Apptainer stops itself.
            terminal.wait("stopped 14");
            terminal.press("hello\n");
            terminal.wait("got hello");
            terminal.wait("ended 0");
            terminal.wait("waiting");
            terminal.press("\x03");
            terminal.wait("interrupted");
            terminal.wait("status 5");
            assert!(
                terminal.child.wait().unwrap().success(),
                "{form:?} {policy}"
            );
        }
    }
}
