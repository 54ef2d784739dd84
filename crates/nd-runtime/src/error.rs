//! Why a command could not be run. How it ended once it ran stands in its output.

use std::{io, path::PathBuf};

use nd_host::ProgramError;
use nd_sandbox::SandboxError;

/// A runtime could not run a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Another program that runs containers is missing, or could not be started.
    #[error("the runtime could not be run")]
    Program(#[from] ProgramError),
    /// The sandbox could not be set up.
    #[error("the sandbox could not be set up")]
    Sandbox(#[from] SandboxError),
    /// The sandbox could not be set up for this command.
    #[error("the command could not be run: {reason}")]
    Refused {
        /// Why, with causes.
        reason: String,
    },
    /// A directory or file of the host cannot be shown inside.
    #[error("cannot open `{}` to show it inside", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path has a character that the runtime's command line cannot express.
    #[error("`{program}` cannot be told to show `{}` inside", path.display())]
    Inexpressible {
        /// The runtime.
        program: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The image wants a user it does not have.
    #[error("the image has no user or group `{name}`")]
    UnknownUser {
        /// The name.
        name: String,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}
