//! From all that is known to one call of the runtime.

mod binds;
mod environment;
mod gpu;
mod native;
mod options;
mod runtime;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

pub use self::native::{
    Account, EnvironmentScript, ImageAccess, MountKind, NativeEnvironment, NativeMount, NativePlan,
    ShellVariable, ShellVariables, Unfit, UnknownScript, plan_native, source_script,
};
pub(crate) use self::{environment::GPU_VARIABLES, gpu::LIBRARIES as GPU_LIBRARIES};
use crate::{
    Demand, Files, Form, Kind, LaunchFile, Policy, Temporary, WorkingDirectory,
    plan::{
        binds::{Binds, word_of},
        environment::Environment,
        options::Options,
    },
    quote::quote,
};

/// What is to be started in the image.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// A command of the launch file.
    Command(&'a OsStr),
    /// Any program that the image has, by name or absolute path.
    Program(&'a OsStr),
    /// The runtime's interactive shell.
    Shell,
}

/// All that a plan depends on, besides files.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// What is known of the container.
    pub launch: &'a LaunchFile<'a>,
    /// The folder of the launch file, absolute.
    pub folder: &'a Path,
    /// What the site decides.
    pub policy: &'a Policy<'a>,
    /// The environment of the caller.
    pub environment: &'a [(&'a OsStr, &'a OsStr)],
    /// The physical working directory; `None` when it is gone.
    pub cwd: Option<&'a Path>,
    /// What is started.
    pub what: What<'a>,
    /// Its arguments, as they are.
    pub arguments: &'a [&'a OsStr],
}

/// A call of the runtime, complete: this is executed, and printed by `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The runtime, absolute.
    pub program: PathBuf,
    /// Its arguments, from `argv[0]` on.
    pub argv: Vec<OsString>,
    /// Variables that are set besides the caller's.
    pub set: Vec<(OsString, OsString)>,
    /// Variables of the caller that are left out.
    pub unset: Vec<OsString>,
    /// What the user should know; one line each.
    pub notes: Vec<Note>,
}

/// What the user should know of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Sources of binds that do not exist; the runtime would refuse to start.
    MissingBinds(Vec<PathBuf>),
    /// Nothing binds the working directory.
    Uncovered(PathBuf),
    /// The working directory is gone.
    NoWorkingDirectory,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBinds(paths) => {
                f.write_str("left out of the container because they do not exist:")?;
                for path in paths {
                    write!(f, " `{}`", path.display())?;
                }
                Ok(())
            }
            Self::Uncovered(path) => write!(
                f,
                "the working directory `{}` is not bound into the container",
                path.display()
            ),
            Self::NoWorkingDirectory => {
                f.write_str("the working directory does not exist any more")
            }
        }
    }
}

/// Why there is no call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The launch file has no such command.
    UnknownCommand {
        /// The name.
        name: OsString,
        /// The container.
        container: OsString,
    },
    /// There is no image.
    NoImage {
        /// Where it should be.
        path: PathBuf,
    },
    /// The policy demands a digest, and none was recorded for the image.
    NoDigest {
        /// The image.
        path: PathBuf,
    },
    /// The policy demands a digest, and the image is a folder, of which nothing compares one at a start.
    FolderDigest {
        /// The image.
        path: PathBuf,
    },
    /// There is no runtime.
    NoRuntime {
        /// The names that were looked for.
        names: Vec<OsString>,
    },
}

impl PlanError {
    /// The status that the launcher ends with.
    pub fn status(&self) -> i32 {
        match self {
            Self::NoRuntime { .. } => crate::STATUS_NOT_FOUND,
            Self::UnknownCommand { .. }
            | Self::NoImage { .. }
            | Self::NoDigest { .. }
            | Self::FolderDigest { .. } => crate::STATUS_BROKEN,
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand { name, container } => write!(
                f,
                "`{}` is no command of the container `{}`",
                name.display(),
                container.display()
            ),
            Self::NoImage { path } => write!(f, "the image `{}` does not exist", path.display()),
            Self::NoDigest { path } => write!(
                f,
                "`{}`: the policy demands the digest that was recorded at installation, and none was; install \
                 the image anew",
                path.display()
            ),
            Self::FolderDigest { path } => write!(
                f,
                "`{}`: the policy demands a digest, which nothing compares with a folder; install the image as \
                 a file",
                path.display()
            ),
            Self::NoRuntime { names } => {
                f.write_str("found no")?;
                for (at, name) in names.iter().enumerate() {
                    let between = if at == 0 { " " } else { " or " };
                    write!(f, "{between}`{}`", name.display())?;
                }
                f.write_str(" on `PATH`; load its module first, or ask for it to be installed")
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// What is decided of a start before it is known who carries it out.
struct Decisions {
    image: PathBuf,
    /// What is started; nothing for the runtime's shell.
    target: Option<OsString>,
    gpu: Option<gpu::Offer>,
    options: Options,
    binds: Binds,
    /// Variables that reach the command.
    passed: Vec<(OsString, OsString)>,
    notes: Vec<Note>,
}

fn decide(start: &Start<'_>, files: &dyn Files) -> Result<Decisions, PlanError> {
    let Start {
        launch,
        folder,
        policy,
        ..
    } = *start;
    let target = match start.what {
        What::Command(name) => {
            let command = launch
                .command(name)
                .ok_or_else(|| PlanError::UnknownCommand {
                    name: name.to_owned(),
                    container: launch.name.clone().into_owned(),
                })?;
            Some(command.program().to_owned())
        }
        What::Program(program) => Some(program.to_owned()),
        What::Shell => None,
    };
    let image = folder.join(&*launch.image);
    if files.kind(&image).is_none() {
        return Err(PlanError::NoImage { path: image });
    }
    demanded(start, &image, files)?;
    let environment = Environment(start.environment);
    let mut options = Options::default();
    options.extend(launch.options.iter().map(|word| word.clone().into_owned()));
    options.extend(policy.options.iter().map(|word| word.clone().into_owned()));
    if let Some(text) = environment.get("neurodesk_singularity_opts") {
        options.extend(crate::quote::words(text));
    }

    let gpu = gpu::option(launch, policy, &options, files);
    let mut notes = Vec::new();
    let passed = environment::passed(launch, policy, &environment, gpu);
    let mut binds = Binds::default();
    temporary(policy, &environment, files, &mut binds);
    display(policy, &environment, files, &mut binds);
    binds.read_variables(&environment, files);
    for bind in launch.binds.iter().chain(&policy.binds) {
        binds.add_text(bind, files);
    }
    match start.cwd {
        None => notes.push(Note::NoWorkingDirectory),
        Some(cwd) if !options.covers(cwd, &environment, policy, &binds) => match policy.cwd {
            WorkingDirectory::Bind => binds.add(word_of(cwd), cwd, cwd, files),
            WorkingDirectory::Warn => notes.push(Note::Uncovered(cwd.to_owned())),
            WorkingDirectory::Leave => {}
        },
        Some(_) => {}
    }
    let missing = binds.take_missing();
    if !missing.is_empty() {
        notes.insert(0, Note::MissingBinds(missing));
    }
    Ok(Decisions {
        image,
        target,
        gpu,
        options,
        binds,
        passed,
        notes,
    })
}

/// Whether a start of `image` can meet what the policy demands. The bytes of a file are compared by whoever carries
/// the start out.
fn demanded(start: &Start<'_>, image: &Path, files: &dyn Files) -> Result<(), PlanError> {
    let path = || image.to_owned();
    // What is a file now is one, whatever it was.
    let folder = start.launch.form == Form::Folder && files.kind(image) == Some(Kind::Folder);
    let recorded = start.launch.sha256.is_some();
    match (start.policy.demand_digest, folder, recorded) {
        (Demand::All, true, _) => Err(PlanError::FolderDigest { path: path() }),
        (Demand::All | Demand::Files, false, false) => Err(PlanError::NoDigest { path: path() }),
        _ => Ok(()),
    }
}

/// Decides what is called. Reads no file; asks `files` what paths are.
///
/// The arguments of the call are, in this order: `--silent exec`, `--cleanenv`, the GPU's option,
/// `--bind` for everything bound, options recorded at installation, those of the policy, those in
/// `neurodesk_singularity_opts`, `--pwd`, the image, the command, its arguments.
pub fn plan(start: &Start<'_>, files: &dyn Files) -> Result<Call, PlanError> {
    let decisions = decide(start, files)?;
    let policy = start.policy;
    let runtime = runtime::find(policy, &Environment(start.environment), start.folder, files)?;
    let verb = if decisions.target.is_some() {
        "exec"
    } else {
        "shell"
    };
    let mut argv: Vec<OsString> = Vec::with_capacity(24 + start.arguments.len());
    argv.push(runtime.program.clone().into());
    argv.extend(["--silent".into(), verb.into()]);
    if policy.clean {
        argv.push("--cleanenv".into());
    }
    argv.extend(decisions.gpu.map(|gpu| gpu.option().into()));
    for bind in decisions.binds.words() {
        argv.push("--bind".into());
        argv.push(bind);
    }
    argv.extend(decisions.options.into_words());
    if let Some(cwd) = start.cwd {
        argv.push("--pwd".into());
        argv.push(cwd.into());
    }
    argv.push(decisions.image.into());
    if let Some(target) = decisions.target {
        argv.push(target);
        argv.extend(start.arguments.iter().map(|word| (*word).to_owned()));
    }
    // Values are not put into `--env`, which divides at commas and which old versions do not have.
    let mut set: Vec<(OsString, OsString)> = decisions
        .passed
        .into_iter()
        .map(|(name, value)| (runtime.family.handed(&name), value))
        .collect();
    set.sort();
    Ok(Call {
        program: runtime.program,
        argv,
        set,
        unset: decisions.binds.variables_read(),
        notes: decisions.notes,
    })
}

/// Another folder as `/tmp`, when one is named that exists; with the X11 socket, which it would hide.
fn temporary(
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    files: &dyn Files,
    binds: &mut Binds,
) {
    let tmp = Path::new("/tmp");
    let folder = match &policy.temporary {
        Temporary::Off => None,
        Temporary::Folder(folder) => Some(&**folder),
        Temporary::Auto => ["TEMPDIR", "TEMP", "TMPDIR", "TMP"]
            .iter()
            .find_map(|name| environment.get(name).filter(|value| !value.is_empty())),
    };
    let Some(folder) = folder.map(Path::new) else {
        return;
    };
    if !folder.is_absolute() || files.kind(folder) != Some(Kind::Folder) || files.same(folder, tmp)
    {
        return;
    }
    let mut word = word_of(folder);
    word.push(":/tmp");
    binds.add(word, folder, tmp, files);
    let socket = Path::new("/tmp/.X11-unix");
    if policy.x11 && environment.get("DISPLAY").is_some() && files.kind(socket).is_some() {
        binds.add(word_of(socket), socket, socket, files);
    }
}

/// What programs with windows need.
fn display(
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    files: &dyn Files,
    binds: &mut Binds,
) {
    if let Some(authority) = environment.authority(policy, files) {
        let mut word = word_of(authority);
        word.push(":");
        word.push(word_of(authority));
        word.push(":ro");
        binds.add(word, authority, authority, files);
    }
    if let Some(socket) = environment.wayland_socket(policy, files) {
        binds.add(word_of(&socket), &socket, &socket, files);
    }
}

impl Call {
    /// The environment of the call, from that of the caller.
    pub fn environment<'a>(
        &'a self,
        inherited: &[(&'a OsStr, &'a OsStr)],
    ) -> Vec<(&'a OsStr, &'a OsStr)> {
        let changed = |name: &OsStr| {
            self.unset.iter().any(|unset| unset == name)
                || self.set.iter().any(|(set, _)| set == name)
        };
        inherited
            .iter()
            .filter(|(name, _)| !changed(name))
            .copied()
            .chain(
                self.set
                    .iter()
                    .map(|(name, value)| (name.as_os_str(), value.as_os_str())),
            )
            .collect()
    }

    /// The call as a line that a shell runs with the same effect.
    pub fn to_shell(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.unset.is_empty() || !self.set.is_empty() {
            out.extend_from_slice(b"env ");
        }
        for name in &self.unset {
            out.extend_from_slice(b"-u ");
            quote(name, &mut out);
            out.push(b' ');
        }
        for (name, value) in &self.set {
            let mut both = name.clone();
            both.push("=");
            both.push(value);
            quote(&both, &mut out);
            out.push(b' ');
        }
        quote(self.program.as_os_str(), &mut out);
        for word in self.argv.iter().skip(1) {
            out.push(b' ');
            quote(word, &mut out);
        }
        out
    }
}
