//! A start without the runtime: what is mounted where, as a value.

mod account;
mod gpu;
mod root;
mod script;
mod variables;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use self::variables::About;
pub use self::{
    account::Account,
    script::{ShellVariable, ShellVariables, UnknownScript, source_script},
    variables::{EnvironmentScript, NativeEnvironment},
};
use super::{
    Decisions, Note, PlanError, Start, What, decide,
    environment::Environment,
    runtime::{find, find_server},
};
use crate::{Files, Form, Kind, quote::quote};

/// A start without the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativePlan {
    /// The folder that becomes the root, or the SIF file that holds it.
    pub image: PathBuf,
    /// How that becomes a folder.
    pub access: ImageAccess,
    /// What is mounted in it, in this order.
    pub mounts: Vec<NativeMount>,
    /// Whom the image's tables of names get.
    pub account: Account,
    /// Whether the command has root's capabilities; nobody else has any.
    pub keeps_privileges: bool,
    /// The working directory.
    pub cwd: PathBuf,
    /// What is started: a path, or a name that `PATH` finds in the image. It is `argv[0]`.
    pub program: OsString,
    /// Its arguments, without `argv[0]`.
    pub arguments: Vec<OsString>,
    /// The variables, to be completed by the image's scripts.
    pub environment: NativeEnvironment,
    /// What the user should know; one line each.
    pub notes: Vec<Note>,
}

/// Variables by which batch systems name a job and its step.
const JOB: &[&str] = &[
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "JOB_ID",
];

/// How an image becomes a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageAccess {
    /// It is one.
    Folder,
    /// The kernel reads the squashfs of a SIF file, for root.
    Kernel,
    /// A program shows the squashfs of a SIF file as one.
    Sif {
        /// The program, a `squashfuse_ll`.
        server: PathBuf,
        /// Seconds for which the mount waits for the next command.
        keep: u32,
        /// The user's folder for sockets, `XDG_RUNTIME_DIR`.
        runtime: Option<PathBuf>,
        /// What names the job of a batch system that this is part of, and its step; nobody else joins.
        job: OsString,
    },
}

/// A folder or file of the host in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeMount {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it appears.
    pub target: PathBuf,
    /// What it may do there.
    pub kind: MountKind,
}

/// What a mount may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// As on the host: `/dev`, `/proc`, `/sys`.
    System,
    /// The same without what is mounted in it, without devices and set-id bits: root's `/proc` and `/sys`.
    SystemAlone,
    /// No devices, no set-id bits.
    Data,
    /// The same, and nothing is written.
    ReadOnly,
}

impl fmt::Display for NativePlan {
    /// A line for the image, one for each mount, and one for the command as a shell would have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "without a runtime, in `{}`:", self.image.display())?;
        for mount in &self.mounts {
            let kind = match mount.kind {
                MountKind::System => "as on the host",
                MountKind::SystemAlone => "as on the host, alone, nosuid, nodev",
                MountKind::Data => "nosuid, nodev",
                MountKind::ReadOnly => "nosuid, nodev, read-only",
            };
            let (source, target) = (mount.source.display(), mount.target.display());
            writeln!(f, "  {source} at {target} ({kind})")?;
        }
        let mut line = Vec::new();
        for word in std::iter::once(&self.program).chain(&self.arguments) {
            line.push(b' ');
            quote(word, &mut line);
        }
        let line = String::from_utf8_lossy(&line);
        write!(f, "in `{}`:{line}", self.cwd.display())
    }
}

/// Why a start is left to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Root has privileges, and no settings of the runtime say which of them a command keeps.
    Root,
    /// Nothing shows a SIF file as a folder.
    NoServer,
    /// An interactive shell, which the runtime furnishes.
    Shell,
    /// A GPU is offered, and no list of the runtime's says what belongs to it.
    Gpu,
    /// The environment is not clean.
    Environment,
    /// The working directory is gone.
    NoWorkingDirectory,
    /// The home does not exist.
    NoHome(PathBuf),
    /// An option that only the runtime knows.
    Option(OsString),
    /// A bind with options that only the runtime knows, or onto a target of another.
    Bind(OsString),
    /// A variable that the runtime would read.
    Variable(OsString),
    /// A script of the image that is more than assignments.
    Script(OsString),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str(
                "no settings of the runtime say which capabilities of root's a command keeps",
            ),
            Self::NoServer => f.write_str("found no `squashfuse_ll` for the image"),
            Self::Shell => f.write_str("an interactive shell is asked for"),
            Self::Gpu => {
                f.write_str("a GPU is offered, and no list of the runtime's says what that needs")
            }
            Self::Environment => f.write_str("the policy wants no clean environment"),
            Self::NoWorkingDirectory => f.write_str("the working directory does not exist"),
            Self::NoHome(path) => write!(f, "the home `{}` does not exist", path.display()),
            Self::Option(word) => write!(f, "the option `{}` is the runtime's", word.display()),
            Self::Bind(word) => write!(f, "the bind `{}` is the runtime's", word.display()),
            Self::Variable(name) => write!(f, "the variable `{}` is the runtime's", name.display()),
            Self::Script(name) => write!(
                f,
                "`/.singularity.d/env/{}` in the image is more than assignments",
                name.display()
            ),
        }
    }
}

impl std::error::Error for Unfit {}

/// Decides what a start without the runtime is, from the same decisions as [`plan`](crate::plan).
///
/// Understood is a closed list: what the policy, the launch file and the variables of binds say, and
/// the options `--bind`, `--cleanenv`, `--nv` and `--rocm`. The inner error says why it is left to the runtime.
///
/// # Errors
///
/// As [`plan`](crate::plan), but without asking for a runtime.
pub fn plan_native(
    start: &Start<'_>,
    account: &Account,
    files: &dyn Files,
) -> Result<Result<NativePlan, Unfit>, PlanError> {
    let decisions = decide(start, files)?;
    Ok(native(start, decisions, account, files))
}

fn native(
    start: &Start<'_>,
    decisions: Decisions,
    account: &Account,
    files: &dyn Files,
) -> Result<NativePlan, Unfit> {
    let Decisions {
        image,
        target,
        gpu,
        options,
        binds,
        passed,
        notes,
    } = decisions;
    let program = match (start.what, target) {
        (What::Shell, _) | (_, None) => return Err(Unfit::Shell),
        (_, Some(target)) => target,
    };
    if !start.policy.clean {
        return Err(Unfit::Environment);
    }
    let cwd = start.cwd.ok_or(Unfit::NoWorkingDirectory)?;
    let mut mounts = usual(start, account, files)?;
    let from = mounts.len();
    mounts.extend(binds.mounts()?);
    options.understood(&mut mounts, from, files)?;
    let binds = mounts[from..]
        .iter()
        .map(|mount| mount.target.as_os_str())
        .collect::<Vec<_>>()
        .join(OsStr::new(","));
    let caller = Environment(start.environment);
    let runtime = |unfit| find(start.policy, &caller, start.folder, files).map_err(|_| unfit);
    let keeps_privileges = account.is_root()
        && root::keeps_privileges(&runtime(Unfit::Root)?.program, files).ok_or(Unfit::Root)?;
    let access = match start.launch.form {
        Form::Folder => ImageAccess::Folder,
        Form::Sif if account.is_root() => ImageAccess::Kernel,
        Form::Sif => ImageAccess::Sif {
            server: find_server(start.policy, &caller, start.folder, files)
                .ok_or(Unfit::NoServer)?,
            keep: start.policy.keep,
            runtime: caller.get("XDG_RUNTIME_DIR").map(PathBuf::from),
            job: JOB
                .iter()
                .map(|name| caller.get(name).unwrap_or_default())
                .collect::<Vec<_>>()
                .join(OsStr::new("\0")),
        },
    };
    let about = About {
        image: &image,
        home: account.home(),
        cwd,
        binds,
    };
    let environment = NativeEnvironment::new(&caller, &passed, &about)?;
    if let Some(offer) = gpu.or(options.gpu()) {
        let runtime = runtime(Unfit::Gpu)?;
        let path = caller.get("PATH").unwrap_or_default();
        let driver = gpu::mounts(offer, &runtime.program, path, files).ok_or(Unfit::Gpu)?;
        mounts.extend(driver);
    }
    Ok(NativePlan {
        image,
        access,
        mounts,
        account: account.clone(),
        keeps_privileges,
        cwd: cwd.to_owned(),
        program,
        arguments: start
            .arguments
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
        environment,
        notes,
    })
}

/// What every container sees of the host.
fn usual(
    start: &Start<'_>,
    account: &Account,
    files: &dyn Files,
) -> Result<Vec<NativeMount>, Unfit> {
    let home = account.home();
    if files.kind(home) != Some(Kind::Folder) || home == Path::new("/") {
        return Err(Unfit::NoHome(home.to_owned()));
    }
    let same = |path: &Path, kind| NativeMount {
        source: path.to_owned(),
        target: path.to_owned(),
        kind,
    };
    let mut mounts: Vec<NativeMount> = Vec::with_capacity(16);
    // The runtime mounts them anew where it may.
    let kernel = if account.is_root() {
        MountKind::SystemAlone
    } else {
        MountKind::System
    };
    for (path, kind) in [
        ("/dev", MountKind::System),
        ("/proc", kernel),
        ("/sys", kernel),
    ] {
        mounts.push(same(Path::new(path), kind));
    }
    for path in ["/etc/localtime", "/etc/hosts"] {
        if files.kind(Path::new(path)) == Some(Kind::File) {
            mounts.push(same(Path::new(path), MountKind::Data));
        }
    }
    for path in [home, Path::new("/tmp"), Path::new("/var/tmp")] {
        mounts.push(same(path, MountKind::Data));
    }
    for folder in &start.policy.covered {
        let folder = Path::new(&**folder);
        let known = mounts.iter().any(|mount| mount.target == folder);
        if !known && files.kind(folder) == Some(Kind::Folder) {
            mounts.push(same(folder, MountKind::Data));
        }
    }
    Ok(mounts)
}

impl super::binds::Binds {
    /// The binds as mounts.
    fn mounts(&self) -> Result<Vec<NativeMount>, Unfit> {
        self.list()
            .map(|(word, source, target, options)| {
                bind(source, target, options).ok_or_else(|| Unfit::Bind(word.to_owned()))
            })
            .collect()
    }
}

/// A bind; `None` when its options are not understood, or its target is no path in the image.
fn bind(source: &Path, target: &Path, options: &[u8]) -> Option<NativeMount> {
    let kind = match options {
        b"" | b"rw" => MountKind::Data,
        b"ro" => MountKind::ReadOnly,
        _ => return None,
    };
    // Over `/etc` the runtime lays its own files once more.
    let plain =
        source.is_absolute() && target.is_absolute() && !Path::new("/etc").starts_with(target);
    plain.then(|| NativeMount {
        source: source.to_owned(),
        target: target.to_owned(),
        kind,
    })
}

impl super::options::Options {
    /// Adds the binds of the options to those `from` there; any other option is the runtime's.
    fn understood(
        &self,
        mounts: &mut Vec<NativeMount>,
        from: usize,
        files: &dyn Files,
    ) -> Result<(), Unfit> {
        let mut words = self.words().iter();
        let both = self.has(&["--nv"]) && self.has(&["--rocm"]);
        while let Some(word) = words.next() {
            let text = match word.as_bytes() {
                b"--cleanenv" | b"-e" => continue,
                b"--nv" | b"--rocm" if !both => continue,
                b"--bind" | b"-B" => words
                    .next()
                    .ok_or_else(|| Unfit::Option(word.clone()))?
                    .as_os_str(),
                bytes => match bytes.strip_prefix(b"--bind=") {
                    Some(text) => OsStr::from_bytes(text),
                    None => return Err(Unfit::Option(word.clone())),
                },
            };
            let mut binds = super::binds::Binds::default();
            binds.add_text(text, files);
            // A source that is missing is an error of the runtime.
            let missing = !binds.take_missing().is_empty();
            for mount in binds.mounts()? {
                let taken = mounts[from..]
                    .iter()
                    .any(|other| other.target == mount.target);
                if missing || taken {
                    return Err(Unfit::Bind(text.to_owned()));
                }
                mounts.push(mount);
            }
            if missing {
                return Err(Unfit::Bind(text.to_owned()));
            }
        }
        Ok(())
    }
}
