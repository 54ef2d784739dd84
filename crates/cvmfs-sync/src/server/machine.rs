//! A machine, or a folder in its place, on which steps are looked at and done.

mod apply;
mod device;
mod state;
mod untouched;

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use nd_fetch::FetchOptions;
use nd_host::{FileLock, Finished, Invocation, ProgramError, Programs, RootDir};
use nd_report::Cancel;

use super::{
    step::{Action, CommandLine, State, Step},
    words::FilePath,
};

/// Where state of our own is kept: replaced files, digests of what we wrote, and what services were
/// started with.
const OWN: &str = "/var/lib/cvmfs-sync";
/// The largest file that is looked at, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Where steps are looked at and done.
pub struct Machine<'a> {
    root: RootDir,
    base: PathBuf,
    programs: Option<&'a dyn Programs>,
    cancel: &'a Cancel,
    now: Timestamp,
    fetch: FetchOptions,
}

impl std::fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// What an operator allows besides what is missing.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The one device that may get a file system, if it is empty.
    pub format: Option<FilePath>,
    /// Files that somebody changed are replaced; what they held is kept.
    pub replace: bool,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It was so before.
    Was,
    /// It is being done; this was missing.
    Doing(String),
    /// It was done.
    Did,
}

/// Why a step could not be looked at or done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A file could not be read or written.
    #[error("failed to use `{path}`")]
    Io {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Something else is there that somebody may want.
    #[error("refused: {0}")]
    Refused(String),
    /// What had to be so is not, and nothing here can make it so, or what should have made it so did not.
    #[error("it is not so: {0}")]
    NotSo(String),
}

/// A step could not be looked at or done; those before it were.
#[derive(Debug, thiserror::Error)]
#[error("step `{id}` ({title}) failed")]
pub struct ApplyError {
    /// Its name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether [`Allowed::replace`] would have let it be done.
    pub replaceable: bool,
    /// Why.
    #[source]
    pub source: StepError,
}

impl<'a> Machine<'a> {
    /// The machine whose root is `base`. Without `programs` it is a folder: only steps of files can be
    /// done there.
    pub fn open(
        base: impl Into<PathBuf>,
        programs: Option<&'a dyn Programs>,
        cancel: &'a Cancel,
        now: Timestamp,
        fetch: FetchOptions,
    ) -> io::Result<Self> {
        let base = base.into();
        Ok(Self {
            root: RootDir::open(&base)?,
            base,
            programs,
            cancel,
            now,
            fetch,
        })
    }

    /// Looks at `steps`, as far as they can be done here. Changes nothing.
    pub fn plan<'s>(&self, steps: &'s [Step]) -> Result<Vec<(&'s Step, State)>, ApplyError> {
        self.possible(steps)
            .map(|step| {
                let state = self.state(step).map_err(|source| failed(step, source))?;
                Ok((step, state))
            })
            .collect()
    }

    /// Does what is not done yet, in order, up to the first step that cannot be done. Can be killed at
    /// any moment and called again: each step is looked at before and after.
    pub fn apply(
        &self,
        steps: &[Step],
        allowed: &Allowed,
        each: &mut dyn FnMut(&Step, Progress),
    ) -> Result<(), ApplyError> {
        for step in self.possible(steps) {
            self.step(step, allowed, each)
                .map_err(|source| failed(step, source))?;
        }
        Ok(())
    }

    fn possible<'s>(&self, steps: &'s [Step]) -> impl Iterator<Item = &'s Step> {
        let all = self.programs.is_some();
        steps.iter().filter(move |step| all || step.is_of_files())
    }

    fn run(&self, words: &CommandLine) -> Result<Finished, ProgramError> {
        let program = words.first().cloned().unwrap_or_default();
        let Some(programs) = self.programs else {
            return Err(ProgramError::Missing { program });
        };
        // Packages must not ask, output is compared in English, and no process may stand in a
        // repository that is being remounted.
        let invocation = Invocation::new(program)
            .args(words.iter().skip(1))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C")
            .directory("/");
        programs.run(&invocation, &mut |_, _| {}, self.cancel)
    }

    /// The lock of whoever applies steps here; `None` when somebody else holds it.
    pub fn lock(&self) -> Result<Option<FileLock>, StepError> {
        let own = self.root.create_dir_all(OWN.as_bytes(), 0o755);
        own.map_err(io_at(OWN))?;
        let own = self.root.directory(OWN.as_bytes()).map_err(io_at(OWN))?;
        // By descriptor: no symlink of a folder that stands for a machine leads to a file of the host.
        let here = format!("/proc/self/fd/{}/lock", own.as_fd().as_raw_fd());
        FileLock::try_exclusive(Path::new(&here)).map_err(io_at(OWN))
    }

    /// What a file holds, if it is there.
    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, StepError> {
        match self.root.read(path.as_bytes(), MAX_FILE) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at(path)(error)),
        }
    }

    /// The text that a file holds, if it is there. Other bytes are an error: lines that we do not own
    /// are written back as they are, or not at all.
    pub fn text(&self, path: &str) -> Result<Option<String>, StepError> {
        let text = self.bytes(path)?.map(String::from_utf8).transpose();
        text.map_err(|error| io_at(path)(io::Error::new(io::ErrorKind::InvalidData, error)))
    }
}

fn failed(step: &Step, source: StepError) -> ApplyError {
    ApplyError {
        id: step.id.clone(),
        title: step.title.clone(),
        replaceable: matches!(step.action, Action::File(_)),
        source,
    }
}

fn io_at(path: &str) -> impl FnOnce(io::Error) -> StepError {
    let path = path.to_owned();
    move |source| StepError::Io { path, source }
}
