//! The mounts of SIF files that wait for the next command.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use nd_launcher::{Form, VERBOSE_VARIABLE};
use rustix::process::{Pid, Signal, kill_process};

use crate::{fixture::Fixture, room::on_room, user::User};

/// A SIF file of an ordinary user.
pub(crate) struct Site {
    pub(crate) fixture: Fixture,
    pub(crate) user: User,
}

/// Seconds for which a mount is kept where it has to be there still, however busy the machine is; its holder ends with
/// the shell that its commands belong to.
const LONG: u32 = 3600;

impl Drop for Site {
    fn drop(&mut self) {
        for pid in self.processes().0 {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// One shell of the user, whose commands are in one mount namespace.
pub(crate) struct Shell {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Site {
    /// With mounts that are kept for so many seconds.
    pub(crate) fn new(keep: u32) -> Option<Self> {
        let fixture = Fixture::real(Form::Sif)?;
        let user = User::new(&fixture)?;
        fixture.policy(&format!("runtime native\nkeep {keep}\n"));
        Some(Self { fixture, user })
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.fixture.folder.join("abc_1.0_20240131.simg")
    }

    /// What a script prints in the image, without a runtime.
    pub(crate) fn run(&self, script: &str) -> String {
        let (text, said) = self.said(script);
        assert_eq!(said, "", "{text}");
        text
    }

    pub(crate) fn said(&self, script: &str) -> (String, String) {
        let mut command = self.user.wrapper(&self.fixture, "sh");
        command.args(["-c", script]).env(VERBOSE_VARIABLE, "1");
        let ran = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(ran.stdout), text(ran.stderr))
    }

    pub(crate) fn shell(&self) -> Shell {
        let mut child = self
            .user
            .program(&self.fixture, "sh")
            .env(VERBOSE_VARIABLE, "1")
            .env("wrapper", self.fixture.folder.join("sh"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Shell { child, lines }
    }

    /// Starts a command that waits, and has begun.
    pub(crate) fn fifo(&self, shell: &mut Shell) -> Waiting {
        let pipe = self.fixture.path("work/pipe");
        let _ = fs_err::remove_file(&pipe);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU | rustix::fs::Mode::ROTH | rustix::fs::Mode::WOTH,
            0,
        )
        .unwrap();
        fs_err::set_permissions(&pipe, PermissionsExt::from_mode(0o666)).unwrap();
        let script = "echo begun; read -r _ < pipe; busybox true && echo ended";
        let begun = shell.ask(&format!("\"$wrapper\" -c '{script}' &"));
        assert_eq!(begun, "begun");
        Waiting { pipe }
    }

    /// Files of the places, by what they end with.
    pub(crate) fn places(&self, suffix: &str) -> Vec<PathBuf> {
        let folder = self.fixture.path("run/neurodesk");
        let Ok(entries) = fs_err::read_dir(folder) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().path());
        let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == suffix);
        names.filter(ends).collect()
    }

    /// The holders, and the servers of their mounts.
    fn processes(&self) -> (Vec<Pid>, Vec<Pid>) {
        let (mut holders, mut servers) = (Vec::new(), Vec::new());
        let folder = self.fixture.path("run/neurodesk");
        for entry in fs_err::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let Ok(words) = fs_err::read(path.join("cmdline")) else {
                continue;
            };
            let here = fs_err::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
            if here && words.starts_with(b"nd-holder\0keep\0") {
                let words: Vec<&str> = std::str::from_utf8(&words).unwrap().split('\0').collect();
                let pid = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
                servers.push(pid(words[3]));
                holders.push(pid(path.file_name().unwrap().to_str().unwrap()));
            }
        }
        (holders, servers)
    }

    /// The servers of the image, whoever keeps their mounts.
    fn servers(&self) -> Vec<Pid> {
        let image = self.image();
        let serves = |path: &Path| {
            let files = fs_err::read_dir(path.join("fd")).into_iter().flatten();
            let files: Vec<PathBuf> = files
                .filter_map(|entry| fs_err::read_link(entry.ok()?.path()).ok())
                .collect();
            files.contains(&image) && files.iter().any(|file| file == Path::new("/dev/fuse"))
        };
        let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
        (fs_err::read_dir("/proc").unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| serves(path))
            .filter_map(|path| Pid::from_raw(number(path)?))
            .collect()
    }
}

/// A command that waits for a line at a pipe.
pub(crate) struct Waiting {
    pipe: PathBuf,
}

impl Waiting {
    /// Lets it end; the line that it prints then.
    pub(crate) fn end(self, shell: &mut Shell) -> String {
        fs_err::write(self.pipe, "\n").unwrap();
        shell.lines.next().unwrap().unwrap()
    }
}

impl Shell {
    /// The one line that a command prints; messages of the launcher are part of it.
    fn ask(&mut self, command: &str) -> String {
        let line = format!("{{ {command}\n}} 2>&1 < /dev/null\n");
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        self.lines.next().unwrap().unwrap()
    }
}

/// Longer than anything takes that comes at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    fs_err::read_to_string(Path::new(&path)).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn the_next_command_joins() {
    let Some(site) = Site::new(LONG) else { return };
    let mut shell = site.shell();
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo one'"), "one");
    let (holders, servers) = site.processes();
    assert_eq!((holders.len(), servers.len()), (1, 1));
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo two'"), "two");
    assert_eq!(site.processes(), (holders.clone(), servers.clone()));
    // Nothing of the command that started them is in them.
    for pid in holders.iter().chain(&servers) {
        let path = format!("/proc/{}", pid.as_raw_nonzero());
        assert_eq!(fs_err::read(format!("{path}/environ")).unwrap(), b"");
        for entry in fs_err::read_dir(format!("{path}/fd")).unwrap() {
            let target = fs_err::read_link(entry.unwrap().path()).unwrap();
            let target = target.to_str().unwrap().to_owned();
            let own = [
                "/dev/null",
                "/dev/fuse",
                "socket:",
                "user:",
                "mnt:",
                "anon_inode:",
            ];
            let own = own.iter().any(|own| target.starts_with(own));
            assert!(own || Path::new(&target) == site.image(), "{target}");
        }
    }
}

#[test]
fn the_last_command_ends_the_mount() {
    let Some(site) = Site::new(1) else { return };
    let mut shell = site.shell();
    // It is not disturbed by the holder's end.
    let waiting = site.fifo(&mut shell);
    until("the holder ends", || site.processes().0.is_empty());
    let servers = site.servers();
    assert_eq!(servers.len(), 1);
    assert_eq!(waiting.end(&mut shell), "ended");
    until("the server ends", || !is_running(servers[0]));
    until("nothing is left", || {
        ["socket", "lock", "new"]
            .iter()
            .all(|suffix| site.places(suffix).is_empty())
    });
}

#[test]
fn whatever_is_killed_the_next_command_starts() {
    let Some(site) = Site::new(LONG) else { return };
    let mut shell = site.shell();
    let waiting = site.fifo(&mut shell);
    let (holders, servers) = site.processes();
    kill_process(holders[0], Signal::KILL).unwrap();
    until("the holder ends", || !is_running(holders[0]));
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo again'"), "again");
    let (_, now) = site.processes();
    assert_ne!(now, servers);
    assert_eq!(waiting.end(&mut shell), "ended");
    until("the first server ends", || !is_running(servers[0]));

    // What printed its line may not have ended yet, and would die of a page that nobody serves.
    assert_eq!(shell.ask("echo over"), "over");
    kill_process(now[0], Signal::KILL).unwrap();
    until("the holder ends with it", || {
        site.places("socket").is_empty()
    });
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo anew'"), "anew");
}

#[test]
fn an_image_that_is_replaced_is_another_one() {
    let Some(site) = Site::new(LONG) else { return };
    let Some(other) = Fixture::real(Form::Sif) else {
        return;
    };
    let mut shell = site.shell();
    let waiting = site.fifo(&mut shell);
    // The same content, but another file: a server of its own.
    fs_err::rename(other.folder.join("abc_1.0_20240131.simg"), site.image()).unwrap();
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo new'"), "new");
    assert_eq!(site.processes().1.len(), 2);
    assert_eq!(waiting.end(&mut shell), "ended");
}

#[test]
fn without_keeping_nothing_stays() {
    let Some(site) = Site::new(0) else { return };
    assert_eq!(site.run("echo one"), "one\n");
    assert_eq!(site.processes().0.len(), 0);
    for suffix in ["socket", "lock", "new"] {
        assert_eq!(site.places(suffix), Vec::<PathBuf>::new());
    }
}

#[test]
fn the_holder_ends_with_what_its_commands_belong_to() {
    let Some(site) = Site::new(LONG) else { return };
    // Root's process above the shell, as what starts a job's steps, or a login.
    let mut shell = site.shell();
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo one'"), "one");
    let (holders, servers) = site.processes();
    drop(shell.child.stdin.take());
    shell.child.wait().unwrap();
    until("the holder ends", || !is_running(holders[0]));
    until("the server ends", || !is_running(servers[0]));
    until("nothing is left", || site.places("lock").is_empty());
    assert_eq!(site.places("socket").len(), 0);
}

#[test]
fn jobs_do_not_share() {
    let Some(site) = Site::new(LONG) else { return };
    let mut shell = site.shell();
    for (job, count) in [("1", 1), ("1", 1), ("2", 2)] {
        let command = format!("SLURM_JOB_ID={job} \"$wrapper\" -c 'echo one'");
        assert_eq!(shell.ask(&command), "one");
        assert_eq!(site.processes().0.len(), count);
    }
}

fn slow() -> bool {
    std::env::var_os("ND_SLOW_TESTS").is_some()
}

#[test]
fn many_first_starts_at_once_share_one_mount() {
    let Some(site) = Site::new(LONG) else { return };
    let count = if slow() { 1000 } else { 200 };
    let script =
        format!("i=0; while [ $i -lt {count} ]; do \"$0\" -c 'pwd' & i=$((i + 1)); done; wait");
    let ran = site
        .user
        .program(&site.fixture, "sh")
        .args([
            "-c",
            &format!("{script}; ls \"$XDG_RUNTIME_DIR\"/neurodesk/*.socket"),
        ])
        .arg(site.fixture.folder.join("sh"))
        .env(VERBOSE_VARIABLE, "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let text = String::from_utf8(ran.stdout).unwrap();
    let work = site.fixture.path("work");
    let started = text.lines().filter(|line| Path::new(line) == work);
    assert_eq!(started.count(), count);
    // One holder of them all.
    assert_eq!(text.lines().count(), count + 1, "{text}");
    until("nothing is left", || {
        ["socket", "lock", "new"]
            .iter()
            .all(|suffix| site.places(suffix).is_empty())
    });
}

/// Open descriptors of a process, and its memory in kilobytes.
fn size_of(pid: Pid) -> (usize, u64) {
    let path = format!("/proc/{}", pid.as_raw_nonzero());
    let descriptors = fs_err::read_dir(format!("{path}/fd")).unwrap().count();
    let status = fs_err::read_to_string(format!("{path}/status")).unwrap();
    let memory = status.lines().find_map(|line| {
        let rest = line.strip_prefix("VmRSS:")?;
        rest.trim().trim_end_matches(" kB").parse().ok()
    });
    (descriptors, memory.unwrap())
}

#[test]
fn many_starts_in_a_row_let_nothing_grow() {
    let Some(site) = Site::new(LONG) else { return };
    let count = if slow() { 10_000 } else { 100 };
    let mut shell = site.shell();
    let run = |shell: &mut Shell, count: usize| {
        shell.ask(&format!(
            "i=0; while [ $i -lt {count} ]; do \"$wrapper\" -c 'exit 7'; [ $? = 7 ] || echo wrong; i=$((i + 1)); done; echo done"
        ))
    };
    assert_eq!(run(&mut shell, 20), "done");
    let (holders, servers) = site.processes();
    let before = [size_of(holders[0]), size_of(servers[0])];
    assert_eq!(run(&mut shell, count), "done");
    assert_eq!(site.processes(), (holders.clone(), servers.clone()));
    let after = [size_of(holders[0]), size_of(servers[0])];
    assert_eq!(before[0].0, after[0].0);
    for ((before, after), who) in before.iter().zip(after).zip(["holder", "server"]) {
        // The server takes threads with a descriptor each as it likes, and caches fill; neither grows with the
        // number of starts.
        let grown = after.0 > before.0 + 16 || after.1 > before.1 + 2048;
        assert!(!grown, "{who}: {before:?} {after:?}");
    }
}

#[test]
fn files_that_are_no_whole_image_are_left_to_apptainer() {
    let Some(site) = Site::new(1) else { return };
    let whole = fs_err::read(site.image()).unwrap();
    let mut lying = whole.clone();
    // The descriptors' place, in the header.
    lying[96..104].copy_from_slice(&u64::MAX.to_le_bytes());
    for (name, bytes, reason) in [
        ("empty", &[][..], "failed to read the image"),
        ("truncated", &whole[..whole.len() / 2], "failed to"),
        ("header", &whole[..200], "failed to read the image"),
        ("lying", &lying, "failed to read the image"),
    ] {
        fs_err::write(site.image(), bytes).unwrap();
        let (text, said) = site.said("echo started");
        assert_eq!(text, "", "{name}");
        assert!(
            said.contains(&format!("apptainer`: {reason}")),
            "{name}: {said}"
        );
    }
    until("nothing is left of them", || {
        ["socket", "lock", "new"]
            .iter()
            .all(|suffix| site.places(suffix).is_empty())
    });
    fs_err::write(site.image(), &whole).unwrap();
    assert_eq!(site.run("echo started"), "started\n");
}

#[test]
fn sockets_lie_where_nobody_else_comes() {
    let Some(site) = Site::new(LONG) else { return };
    let mut shell = site.shell();
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo one'"), "one");
    let folder = site.fixture.path("run/neurodesk");
    let mode = fs_err::metadata(&folder).unwrap().permissions().mode();
    let sockets = site.places("socket");
    assert_eq!((mode & 0o777, sockets.len()), (0o700, 1));
    // Whoever comes to the socket nevertheless, as root does, gets nothing.
    let asked = std::os::unix::net::UnixStream::connect(&sockets[0]);
    let mut answer = Vec::new();
    let count = std::io::Read::read_to_end(&mut asked.unwrap(), &mut answer);
    assert_eq!((count.unwrap(), answer.len()), (0, 0));
    assert_eq!(shell.ask("\"$wrapper\" -c 'echo still'"), "still");
}

#[test]
fn a_folder_that_others_may_write_to_holds_no_sockets() {
    let Some(site) = Site::new(LONG) else { return };
    // There is another one; and without any, each command has a mount of its own.
    let script = r#"mkdir "$XDG_RUNTIME_DIR/neurodesk"; chmod 777 "$XDG_RUNTIME_DIR/neurodesk"
        "$1" -c 'echo two'; ls "$XDG_RUNTIME_DIR/neurodesk" /tmp/.neurodesk-* | grep -c socket
        ls "$XDG_RUNTIME_DIR/neurodesk" | grep -c socket
        chmod 777 /tmp/.neurodesk-*; rm /tmp/.neurodesk-*/*; "$1" -c 'echo three'; ls /tmp/.neurodesk-* | grep -c ''"#;
    let mut command = site.user.program(&site.fixture, "/bin/sh");
    command.args(["-c", script, "sh"]);
    command.arg(site.fixture.folder.join("sh"));
    // That `/tmp` is this machine's alone.
    let ran = on_room(&site.fixture, "rw", &command).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert_eq!((&*text, &*said), ("two\n1\n0\nthree\n0\n", ""));
}
