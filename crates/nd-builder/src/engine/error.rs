//! Why the engine could not do its work.

use std::io;

use nd_oci::{OciError, UpperError};
use nd_rootfs::PathError;

use super::users::UserError;

/// What goes wrong inside the engine; it reaches the caller as text.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("the request of the builder is not understood")]
    Request(#[from] serde_json::Error),
    #[error("the request of the builder lacks descriptor {0}")]
    Descriptor(usize),
    #[error("failed to {doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` cannot be copied: {problem}")]
    Copy { path: String, problem: &'static str },
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("failed to read what the step changed")]
    Upper(#[from] UpperError),
    #[error(transparent)]
    Oci(#[from] OciError),
    #[error(transparent)]
    Sandbox(#[from] nd_sandbox::SandboxError),
    #[error("cancelled")]
    Cancelled,
}

/// Says what was tried when it failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, EngineError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, EngineError> {
        self.map_err(|error| EngineError::io(what())(error))
    }
}

impl EngineError {
    pub(crate) fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::Io {
            doing,
            source: source.into(),
        }
    }

    /// The error and its causes, outermost first.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut out: Vec<String> = nd_report::causes(self).map(ToString::to_string).collect();
        out.dedup();
        out
    }
}
