//! Why a build ended early.

use std::fmt;

use nd_instructions::Origin;
use nd_names::Sha256;
use nd_oci::OciError;
use nd_rootfs::TreePath;
use nd_sandbox::SandboxError;
use nd_store::StoreError;

use crate::plan::InputError;

/// Which step something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// What the step does, one line.
    pub title: String,
    /// Where it was written.
    pub origin: Option<Origin>,
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{}:{}: ", origin.file, origin.line)?;
        }
        f.write_str(&self.title)
    }
}

/// How a script ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepExit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took longer than it may.
    TimedOut,
    /// It used more memory than it may.
    OutOfMemory,
    /// It left too little room on the disk of the store.
    DiskFull,
}

impl fmt::Display for StepExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("its time limit"),
            Self::OutOfMemory => f.write_str("its memory limit"),
            Self::DiskFull => f.write_str("a full disk"),
        }
    }
}

/// An error of the engine process and its causes, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFailure {
    /// The texts; at least one.
    pub causes: Vec<String>,
}

impl fmt::Display for EngineFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.causes.join(": "))
    }
}

impl std::error::Error for EngineFailure {}

/// Why a build ended early.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A script failed.
    #[error("{step} ended with {exit}")]
    Script {
        /// The step.
        step: StepName,
        /// How it ended.
        exit: StepExit,
        /// The last lines it said, at most 20.
        tail: Vec<String>,
    },
    /// A script put a secret into its layer.
    #[error("{step} left a secret in a file of the image; the layer was thrown away")]
    SecretKept {
        /// The step.
        step: StepName,
    },
    /// A step could not be done.
    #[error("{step} could not be done")]
    Step {
        /// The step.
        step: StepName,
        /// Why.
        #[source]
        source: EngineFailure,
    },
    /// A layer could not be unpacked.
    #[error("layer {layer} could not be unpacked")]
    Unpack {
        /// Digest of its blob.
        layer: Sha256,
        /// Why.
        #[source]
        source: EngineFailure,
    },
    /// A layer is not what its digests say.
    #[error("layer {layer} is {found}, but should be {expected}")]
    Layer {
        /// Digest of its blob.
        layer: Sha256,
        /// What it should be.
        expected: Sha256,
        /// What it is.
        found: Sha256,
    },
    /// A layer of a base holds device nodes, and none were wanted.
    #[error("layer {layer} holds {count} device nodes, `{first}` first, which no step can see")]
    Devices {
        /// Digest of its blob.
        layer: Sha256,
        /// How many.
        count: usize,
        /// The first of them.
        first: TreePath,
    },
    /// A layer's blob is not in the store.
    #[error("layer {layer} is not in the store")]
    NoBlob {
        /// Digest of the blob.
        layer: Sha256,
    },
    /// The lowest layers could not be made one.
    #[error("the lowest {count} layers could not be made one tree")]
    Flatten {
        /// How many.
        count: usize,
        /// Why.
        #[source]
        source: EngineFailure,
    },
    /// More layers than the kernel stacks.
    #[error("the image has {count} layers, and the kernel stacks {limit} at most")]
    TooManyLayers {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A folder of the store could not be emptied.
    #[error("failed to remove a folder of the store")]
    Upkeep {
        /// Why.
        #[source]
        source: EngineFailure,
    },
    /// An input of a step cannot be used.
    #[error("{step} cannot use an input")]
    Input {
        /// The step.
        step: StepName,
        /// Why.
        #[source]
        source: Box<InputError>,
    },
    /// Something of the machine that was to be mounted cannot be opened.
    #[error("failed to open `{path}` for a mount of the build")]
    HostMount {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The plan was made for another id mode.
    #[error("the plan is for id mode `{planned}`, the build runs in `{chosen}`")]
    IdMode {
        /// Mode of the plan.
        planned: String,
        /// Mode of the build.
        chosen: &'static str,
    },
    /// An engine process could not be run.
    #[error("failed to run the build engine")]
    Sandbox(#[from] SandboxError),
    /// The store.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
    /// A file in the store.
    #[error("failed to {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A base image, or what is copied.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl BuildError {
    pub(crate) fn io<E: Into<std::io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            doing,
            source: source.into(),
        }
    }
}
