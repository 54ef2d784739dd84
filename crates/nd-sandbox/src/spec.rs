//! What is to run, in what, and how: data that the engine takes.

use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Recorder;

/// An open directory or file that several processes may be given.
///
/// In the engine: a descriptor of [`Engine::fds`](crate::Engine::fds), or one opened there. Paths of
/// images never go through text; directories of the host arrive open, because the engine may not
/// reach them by name.
pub type Handle = Arc<OwnedFd>;

/// Where a process runs.
#[derive(Debug, Clone)]
pub enum Root {
    /// Over the lowers, with what it changes kept in `upper`.
    Overlay {
        /// Directories below, the topmost first.
        lowers: Vec<Handle>,
        /// Takes the changes. Both this and `work` should be opened below one directory that was
        /// handed over: overlayfs wants them in one mount.
        upper: Handle,
        /// An empty directory that overlayfs needs for itself; a new one for each process, because
        /// the overlay is mounted `volatile`.
        work: Handle,
    },
    /// Over the lowers, with what it changes thrown away when it ends.
    Ephemeral {
        /// Directories below, the topmost first.
        lowers: Vec<Handle>,
        /// An empty directory for the changes; memory when there is none. What the process leaves
        /// in it is the caller's to remove.
        scratch: Option<Handle>,
    },
    /// The lowers alone; nothing can be written outside of mounts.
    ReadOnly {
        /// Directories, the topmost first.
        lowers: Vec<Handle>,
    },
}

/// Who a process is inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// What a mount shows.
#[derive(Debug, Clone)]
pub enum Source {
    /// This directory or file.
    Handle(Handle),
    /// This path of the host, opened by the engine: for what everybody may read.
    Path(PathBuf),
    /// A file of these bytes, in memory. Only its owner inside can read it when `mode` says so.
    Bytes {
        /// Its content.
        content: Vec<u8>,
        /// Its permission bits.
        mode: u32,
        /// User and group inside that it belongs to.
        owner: (u32, u32),
    },
    /// An empty directory in memory, gone when the process ends. It can be written whatever
    /// [`Mount::access`] says.
    Memory {
        /// Its permission bits.
        mode: u32,
    },
}

/// Whether a mount can be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// It cannot.
    #[default]
    ReadOnly,
    /// As far as permissions go.
    ReadWrite,
}

/// Something of the host shown inside.
#[derive(Debug, Clone)]
pub struct Mount {
    /// What.
    pub source: Source,
    /// Where: an absolute path of bytes in the image. Symlinks are followed inside the image. A
    /// missing mount point is made, and removed again after the process.
    pub target: Vec<u8>,
    /// Whether it can be written.
    pub access: Access,
}

/// Which network a process sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// That of the host, with the host's `resolv.conf`.
    #[default]
    Host,
    /// A loopback interface of its own and nothing else.
    None,
}

/// What sees to it that limits are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// The best of the following that this user can have on this machine.
    #[default]
    Best,
    /// A control group of version 2.
    CgroupV2,
    /// A control group of version 1 for each of memory and processes.
    CgroupV1,
    /// Limits of each process, and looking at what they use several times a second.
    Processes,
}

impl std::fmt::Display for Enforcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Best => "the best there is",
            Self::CgroupV2 => "cgroup v2",
            Self::CgroupV1 => "cgroup v1",
            Self::Processes => "process limits and polling",
        })
    }
}

/// How much a process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it may run; everything it started is killed then.
    pub time: Option<Duration>,
    /// How many processes and threads it may have at once, for each user inside, or in all where a
    /// control group counts them. The default is far more than a build needs and far less than what
    /// stops a machine.
    pub processes: Option<u64>,
    /// Bytes of memory that it and all it started may use at once; everything is killed above.
    pub memory: Option<u64>,
    /// Bytes that stay free on the file system that takes its changes; everything is killed before.
    pub reserve: Option<u64>,
    /// What sees to memory and processes.
    pub enforcement: Enforcement,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: None,
            processes: Some(16_384),
            memory: None,
            reserve: None,
            enforcement: Enforcement::Best,
        }
    }
}

/// What a process reads from standard input.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This open file, pipe or terminal.
    Handle(Handle),
}

/// Where the output of a process goes.
#[derive(Debug, Clone, Default)]
pub enum Output {
    /// To the caller of [`run`](crate::run), line by line.
    #[default]
    Lines,
    /// To the caller of [`run`](crate::run), as it comes.
    Bytes,
    /// To these open files or terminals, untouched.
    Handles {
        /// Standard output.
        stdout: Handle,
        /// Standard error.
        stderr: Handle,
    },
}

/// Whether a process belongs to the caller's terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Session {
    /// A session of its own: no terminal, and Ctrl-C reaches the caller alone.
    #[default]
    Own,
    /// The caller's session, for a shell that a person types into.
    Callers,
    /// A session of its own whose terminal is the standard input that it is given, for a shell on
    /// a terminal that was made for it: nothing it does there reaches the caller's.
    Terminal,
}

/// A process to run in a root file system.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// In what.
    pub root: Root,
    /// Program and arguments. A program without a slash is looked for on the `PATH` of `env`.
    pub argv: Vec<Vec<u8>>,
    /// All its variables; nothing is inherited.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it starts; must exist in the image.
    pub cwd: Vec<u8>,
    /// Who it is.
    pub user: User,
    /// What of the host it sees, in the order in which it is mounted.
    pub mounts: Vec<Mount>,
    /// Which network it sees.
    pub network: Network,
    /// Name of the machine inside.
    pub hostname: String,
    /// How much it may take.
    pub limits: Limits,
    /// What it reads.
    pub stdin: Stdin,
    /// Where its output goes.
    pub output: Output,
    /// Whose terminal it has.
    pub session: Session,
    /// Takes down which paths it looks at, if anybody wants to know; it runs slower then.
    pub recorder: Option<Recorder>,
}

impl ProcessSpec {
    /// A process as root inside, in `/`, without variables, mounts or input, on the host's network.
    pub fn new<T: Into<Vec<u8>>>(root: Root, argv: impl IntoIterator<Item = T>) -> Self {
        Self {
            root,
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: b"/".to_vec(),
            user: User::default(),
            mounts: Vec::new(),
            network: Network::default(),
            hostname: "localhost".into(),
            limits: Limits::default(),
            stdin: Stdin::default(),
            output: Output::default(),
            session: Session::default(),
            recorder: None,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took longer than [`Limits::time`] and was killed.
    TimedOut,
    /// It used more than [`Limits::memory`] and was killed.
    OutOfMemory,
    /// It would have left less than [`Limits::reserve`] on the disk and was killed.
    DiskFull,
    /// The caller asked to stop; it was killed.
    Cancelled,
}

impl Exit {
    /// Whether it ended with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("its time limit"),
            Self::OutOfMemory => f.write_str("its memory limit"),
            Self::DiskFull => f.write_str("a full disk"),
            Self::Cancelled => f.write_str("cancellation"),
        }
    }
}
