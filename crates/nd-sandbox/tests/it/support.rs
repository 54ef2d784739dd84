//! A small image, a role that runs what a test asks for, and what a test hears from it.

use std::{
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nd_host::{Environment, SystemPrograms};
use nd_sandbox::{
    Access, Enforcement, Engine, EngineOptions, EngineProcess, Exit, Handle, IdMode, Limits, Mount,
    Network, ProcessSpec, Role, Root, SandboxError, Source, Stream, User, run_limited,
};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// A test.
pub(crate) type Test = (&'static str, fn());

/// Whether tests can run here; if not, why.
pub(crate) fn usable() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root may choose a range of ids without further programs");
    }
    if nd_testkit::peer("busybox").is_none() {
        return Err("the image of the tests is made of `busybox`");
    }
    Ok(())
}

pub(crate) fn ids() -> IdMode {
    let environment = Environment::of_process().unwrap();
    IdMode::choose(&environment, &SystemPrograms::new(&environment))
}

/// What a test runs, as data that reaches the engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) root: RootKind,
    pub(crate) uid: u32,
    pub(crate) own_network: bool,
    pub(crate) hostname: String,
    pub(crate) limit_ms: Option<u64>,
    pub(crate) processes: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) reserve: Option<u64>,
    pub(crate) enforcement: Option<Enforcement>,
    pub(crate) mounts: Vec<JobMount>,
    /// How many directories are below, the first descriptors of the engine.
    pub(crate) lowers: usize,
    /// How often it runs.
    pub(crate) times: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RootKind {
    #[default]
    Overlay,
    Ephemeral,
    ReadOnly,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobMount {
    pub(crate) source: JobSource,
    pub(crate) target: String,
    pub(crate) writable: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JobSource {
    Path(PathBuf),
    /// A position in the descriptors after those of the root.
    Fd(usize),
    Bytes(Vec<u8>, u32),
    Memory(u32),
}

/// What the role says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Line(bool, Vec<u8>),
    /// How it ended, and what saw to its limits.
    Exit(Result<SaidExit, String>, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SaidExit {
    Code(i32),
    Signal(i32),
    TimedOut,
    OutOfMemory,
    DiskFull,
    Cancelled,
}

/// Runs jobs.
pub(crate) const ROLE: Role = Role {
    name: "test",
    main: role,
};

fn role(engine: Engine) -> u8 {
    let job: Job = serde_json::from_slice(&engine.request).unwrap();
    let times = job.times.max(1);
    let sender = engine.sender();
    let cancel = engine.cancel().clone();
    let handles: Vec<Handle> = engine.fds.into_iter().map(Arc::new).collect();
    let spec = spec(&job, &handles);
    for _ in 0..times {
        let ran = run_limited(
            &spec,
            &mut |stream, line| {
                let said = Said::Line(stream == Stream::Stderr, line.to_vec());
                sender.send(&serde_json::to_vec(&said).unwrap());
            },
            &cancel,
        );
        let enforcement = match &ran {
            Ok(ran) => ran.enforcement.to_string(),
            Err(_) => String::new(),
        };
        let exit = match ran.map(|ran| ran.exit) {
            Ok(Exit::Code(code)) => Ok(SaidExit::Code(code)),
            Ok(Exit::Signal(signal)) => Ok(SaidExit::Signal(signal)),
            Ok(Exit::TimedOut) => Ok(SaidExit::TimedOut),
            Ok(Exit::OutOfMemory) => Ok(SaidExit::OutOfMemory),
            Ok(Exit::DiskFull) => Ok(SaidExit::DiskFull),
            Ok(Exit::Cancelled) => Ok(SaidExit::Cancelled),
            Err(error) => Err(nd_report::with_causes(&error)),
        };
        let said = Said::Exit(exit, enforcement);
        sender.send(&serde_json::to_vec(&said).unwrap());
    }
    7
}

fn spec(job: &Job, handles: &[Handle]) -> ProcessSpec {
    let lowers = handles[..job.lowers].to_vec();
    let rest = &handles[job.lowers..];
    let (root, rest) = match job.root {
        RootKind::Overlay => (
            Root::Overlay {
                lowers,
                upper: Arc::clone(&rest[0]),
                work: Arc::clone(&rest[1]),
            },
            &rest[2..],
        ),
        RootKind::Ephemeral => (
            Root::Ephemeral {
                lowers,
                scratch: None,
            },
            rest,
        ),
        RootKind::ReadOnly => (Root::ReadOnly { lowers }, rest),
    };
    let mut spec = ProcessSpec::new(root, job.argv.iter().map(|a| a.clone().into_bytes()));
    spec.env = job
        .env
        .iter()
        .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()))
        .collect();
    if !job.cwd.is_empty() {
        spec.cwd = job.cwd.clone().into_bytes();
    }
    spec.user = User {
        uid: job.uid,
        gid: job.uid,
        groups: Vec::new(),
    };
    if job.own_network {
        spec.network = Network::None;
    }
    if !job.hostname.is_empty() {
        spec.hostname.clone_from(&job.hostname);
    }
    spec.limits = limits(job);
    spec.mounts = job
        .mounts
        .iter()
        .map(|mount| Mount {
            source: match &mount.source {
                JobSource::Path(path) => Source::Path(path.clone()),
                JobSource::Fd(index) => Source::Handle(Arc::clone(&rest[*index])),
                JobSource::Bytes(content, mode) => Source::Bytes {
                    content: content.clone(),
                    mode: *mode,
                    owner: (0, 0),
                },
                JobSource::Memory(mode) => Source::Memory { mode: *mode },
            },
            target: mount.target.clone().into_bytes(),
            access: if mount.writable {
                Access::ReadWrite
            } else {
                Access::ReadOnly
            },
        })
        .collect();
    spec
}

fn limits(job: &Job) -> Limits {
    let usual = Limits::default();
    Limits {
        time: job.limit_ms.map(Duration::from_millis),
        processes: job.processes.or(usual.processes),
        memory: job.memory,
        reserve: job.reserve,
        enforcement: job.enforcement.unwrap_or(usual.enforcement),
    }
}

/// An image of busybox in a folder that nobody but root may enter, and a place for changes.
pub(crate) struct Image {
    folder: TempDir,
    works: AtomicU32,
}

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self {
            folder: tempfile::Builder::new()
                .prefix("nd-image")
                .tempdir()
                .unwrap(),
            works: AtomicU32::new(0),
        };
        let base = image.base();
        for name in ["bin", "etc", "tmp", "root", "usr", "var/lib"] {
            fs_err::create_dir_all(base.join(name)).unwrap();
        }
        let busybox = nd_testkit::peer("busybox").unwrap();
        nd_testkit::copy_program(busybox, base.join("bin/busybox"));
        for tool in [
            "sh", "true", "cat", "echo", "id", "ls", "mkdir", "mount", "umount", "mknod", "sleep",
            "touch", "rm", "mv", "ln", "wc", "seq", "head", "hostname", "ip", "readlink", "yes",
            "env", "pwd", "stat", "chown", "su", "printf", "grep", "ps", "kill", "test", "rmdir",
            "chmod", "nc", "dd", "tr", "chroot", "unshare", "setsid", "tty",
        ] {
            symlink("busybox", base.join("bin").join(tool)).unwrap();
        }
        fs_err::write(
            base.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n",
        )
        .unwrap();
        fs_err::write(base.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
        // Programs of the host that need libraries find them when `/usr` is mounted.
        for link in ["lib", "lib64"] {
            symlink(format!("usr/{link}"), base.join(link)).unwrap();
        }
        fs_err::create_dir(image.upper()).unwrap();
        image.give();
        image
    }

    /// Gives everything to the root inside.
    pub(crate) fn give(&self) {
        if let Some((uid, gid)) = ids().owner() {
            let mut pending = vec![self.base(), self.upper()];
            while let Some(path) = pending.pop() {
                std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
                if path.is_dir() && !path.is_symlink() {
                    pending.extend(
                        fs_err::read_dir(&path)
                            .unwrap()
                            .map(|entry| entry.unwrap().path()),
                    );
                }
            }
        }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.folder.path().join("upper")
    }

    /// A folder of the host beside the image.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs_err::create_dir_all(&path).unwrap();
        path
    }

    /// Starts a job in an engine of its own.
    pub(crate) fn start(&self, mut job: Job, more: &[&Path]) -> Running {
        job.lowers = 1;
        let mut fds = vec![open(&self.base())];
        if job.root == RootKind::Overlay {
            fds.push(open(&self.upper()));
            // An overlay that did not promise to be on disk takes no work directory twice.
            let works = self.works.fetch_add(1, Ordering::Relaxed);
            let work = self.beside(&format!("work{works}"));
            own(&work);
            fds.push(open(&work));
        }
        fds.extend(more.iter().map(|path| open(path)));
        start(&job, fds)
    }

    /// Runs a shell script as root inside, over the image.
    pub(crate) fn sh(&self, script: &str) -> Outcome {
        self.start(sh(script), &[]).finish()
    }

    /// Starts a shell script over further layers, the last of them the topmost.
    pub(crate) fn start_over(&self, script: &str, layers: &[&Path]) -> Running {
        let mut job = sh(script);
        job.root = RootKind::Ephemeral;
        job.lowers = layers.len() + 1;
        let mut fds: Vec<_> = layers.iter().rev().map(|path| open(path)).collect();
        fds.push(open(&self.base()));
        start(&job, fds)
    }

    /// Everything in the upper directory, sorted.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut pending = vec![self.upper()];
        while let Some(folder) = pending.pop() {
            for entry in fs_err::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let below = path.strip_prefix(self.upper()).unwrap();
                out.push(below.to_str().unwrap().to_owned());
                if path.is_dir() && !path.is_symlink() {
                    pending.push(path);
                }
            }
        }
        out.sort();
        out
    }
}

fn start(job: &Job, fds: Vec<OwnedFd>) -> Running {
    let request = serde_json::to_vec(job).unwrap();
    let limits = limits(job);
    let options = EngineOptions {
        limits: Some(&limits),
        ..EngineOptions::default()
    };
    let engine = EngineProcess::start_with("test", ids(), &request, fds, &options).unwrap();
    Running {
        engine,
        lines: Vec::new(),
    }
}

/// Gives one path to the root inside.
fn own(path: &Path) {
    if let Some((uid, gid)) = ids().owner() {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
    }
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// A shell script as root inside.
pub(crate) fn sh(script: &str) -> Job {
    Job {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".into(), "/bin:/usr/bin".into())],
        ..Job::default()
    }
}

/// The same with the programs and libraries of the host.
pub(crate) fn with_host_programs(mut job: Job) -> Job {
    job.mounts.push(JobMount {
        source: JobSource::Path("/usr".into()),
        target: "/usr".into(),
        writable: false,
    });
    job
}

/// A job that may still run.
pub(crate) struct Running {
    pub(crate) engine: EngineProcess,
    pub(crate) lines: Vec<(bool, Vec<u8>)>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Result<String, String>,
    /// What saw to its limits.
    pub(crate) enforcement: String,
    /// What it wrote to standard output.
    pub(crate) out: Vec<Vec<u8>>,
    /// What it wrote to standard error.
    pub(crate) err: Vec<Vec<u8>>,
}

impl Running {
    /// Waits for one more line of output.
    pub(crate) fn line(&mut self) -> String {
        match self.hear().unwrap().expect("the job ended") {
            Said::Line(error, line) => {
                let text = String::from_utf8_lossy(&line).into_owned();
                self.lines.push((error, line));
                text
            }
            Said::Exit(exit, _) => panic!("the job ended: {exit:?} {:?}", self.lines),
        }
    }

    fn hear(&mut self) -> Result<Option<Said>, SandboxError> {
        Ok(self
            .engine
            .next_message()?
            .map(|message| serde_json::from_slice(&message).unwrap()))
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Outcome {
        loop {
            match self.hear().unwrap().expect("an exit") {
                Said::Line(error, line) => self.lines.push((error, line)),
                Said::Exit(exit, enforcement) => {
                    let pick = |which| {
                        self.lines
                            .iter()
                            .filter(|(error, _)| *error == which)
                            .map(|(_, line)| line.clone())
                            .collect()
                    };
                    let outcome = Outcome {
                        exit: exit.map(|exit| format!("{exit:?}")),
                        enforcement,
                        out: pick(false),
                        err: pick(true),
                    };
                    assert_eq!(self.engine.wait().unwrap(), 7);
                    return outcome;
                }
            }
        }
    }

    /// Waits for the ends of every run of the job.
    pub(crate) fn finish_all(mut self) -> Vec<Result<String, String>> {
        let mut exits = Vec::new();
        while let Some(said) = self.hear().unwrap() {
            if let Said::Exit(exit, _) = said {
                exits.push(exit.map(|exit| format!("{exit:?}")));
            }
        }
        exits
    }

    /// Waits until the engine is lost.
    pub(crate) fn lost(mut self) -> SandboxError {
        loop {
            match self.hear() {
                Ok(Some(Said::Line(..))) => {}
                Ok(other) => panic!("ended well: {other:?}"),
                Err(error) => return error,
            }
        }
    }
}

impl Outcome {
    /// The standard output of a job that must have succeeded.
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.exit.as_deref(), Ok("Code(0)"), "{}", self.shown());
        lines(&self.out)
    }

    /// Everything it said, for messages.
    pub(crate) fn shown(&self) -> String {
        format!(
            "{:?}\n{}\n{}",
            self.exit,
            lines(&self.out),
            lines(&self.err)
        )
    }
}

fn lines(lines: &[Vec<u8>]) -> String {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    lines.join("\n")
}

/// The processes of the machine whose command line has `word`.
pub(crate) fn processes_with(word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // Processes come and go while we look.
        let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != std::process::id() && String::from_utf8_lossy(&line).contains(word) {
            found.push(pid);
        }
    }
    found
}

/// Waits until `done`, and fails with `what` when that takes longer than any machine is slow.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
