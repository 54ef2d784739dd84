//! Why something cannot be locked, or is not what was locked.

use neurocontainers_recipe::lock::{Change, LockError};

/// A lock cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum LockProblem {
    /// There is no lock of this container.
    #[error("`{path}` does not lock the container `{container}`")]
    Missing {
        /// The file.
        path: String,
        /// The container.
        container: String,
    },
    /// The lock file cannot be read.
    #[error("`{path}` cannot be used: {source}")]
    Form {
        /// The file.
        path: String,
        /// Why.
        source: LockError,
    },
    /// Something is not what was locked.
    #[error("what is built differs from `{path}`:\n{}", lines(changes))]
    Drift {
        /// The file.
        path: String,
        /// What differs, from the lock to what is there.
        changes: Vec<Change>,
    },
    /// Something that was locked has no known source, and there is no network.
    #[error("without a network these cannot be had, since only packages of the distribution's archives are kept:\n{}", .0.join("\n"))]
    Unfetchable(Vec<String>),
    /// Files of archives cannot be had: one line each.
    #[error("{}", .0.join("\n"))]
    Fetch(Vec<String>),
    /// The archive changed while it was read.
    #[error("the archives changed while they were read, which leaves these packages unknown:\n{}", .0.join("\n"))]
    Moving(Vec<String>),
}

impl LockProblem {
    /// Several failures to fetch as one.
    pub(super) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fetch(mut lines), Self::Fetch(more)) => {
                lines.extend(more);
                Self::Fetch(lines)
            }
            (first, _) => first,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Missing { .. } => "`neurocontainers lock NAME` writes it",
            Self::Drift { .. } => "`neurocontainers lock NAME --update` locks what is there now",
            Self::Fetch(_) => {
                "`neurocontainers fetch --locked NAME` downloads it while there is a network; what an archive \
                 no longer has is locked anew by `neurocontainers lock NAME --update`"
            }
            Self::Moving(_) => "try again",
            Self::Form { .. } | Self::Unfetchable(_) => return None,
        };
        Some(text.to_owned())
    }
}

fn lines(changes: &[Change]) -> String {
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
