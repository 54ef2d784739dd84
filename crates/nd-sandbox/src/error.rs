//! Why a process could not be run. How it ended once it ran is an [`Exit`](crate::Exit).

use std::{io, path::PathBuf};

/// The sandbox could not be set up, or was lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The program does not call the hook.
    #[error("`nd_sandbox::hook` must be called first in `main` of every program that builds")]
    HookMissing,
    /// No role of this name was given to the hook.
    #[error("no role `{role}` was given to `nd_sandbox::hook`")]
    UnknownRole {
        /// The name.
        role: String,
    },
    /// A step of the set-up failed.
    #[error("failed to {doing}")]
    Setup {
        /// What was tried, to be read after "failed to".
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// User namespaces are switched off for this user.
    #[error("this machine does not let this user make user namespaces (see {setting})")]
    NoUserNamespace {
        /// The kernel setting that decides, or the most likely one.
        setting: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Layers cannot be stacked here.
    #[error("layers cannot be stacked here: {why}")]
    NotStacked {
        /// What is missing, and what would help.
        why: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A program cannot run those of another architecture here.
    #[error("`{program}` cannot be the emulator: it {why}")]
    Emulator {
        /// The program.
        program: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A program that maps ids failed.
    #[error("failed to map ids")]
    IdMap(#[source] Box<nd_host::ProgramError>),
    /// The overlay has more directories than the kernel takes.
    #[error("an overlay takes {limit} directories at most, not {count}")]
    TooManyLowers {
        /// How many there are.
        count: usize,
        /// How many the kernel takes.
        limit: usize,
    },
    /// The program is not in the image, or cannot be executed there.
    #[error("cannot run `{program}` in the image")]
    Exec {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine or a step's supervisor was killed from outside.
    #[error("the sandbox's {process} ended unexpectedly ({how})")]
    Died {
        /// Which process.
        process: &'static str,
        /// How it ended.
        how: String,
    },
    /// A message of another process of ours could not be understood.
    #[error("unexpected message from the sandbox's {process}")]
    Protocol {
        /// Which process sent it.
        process: &'static str,
    },
}
impl SandboxError {
    /// For `map_err`: the error of a step of the set-up.
    pub(crate) fn setup<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Setup {
            doing,
            source: source.into(),
        }
    }
}
