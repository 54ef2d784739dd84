//! Run a command in an image: embedded sandbox or Apptainer.
//!
//! Tests of containers, health checks and `exec` run through [`Runtime`] and do not know which it is.

mod apptainer;
mod error;
mod sandbox;
mod spec;

pub use apptainer::{ApptainerOptions, ApptainerRuntime};
pub use error::RuntimeError;
pub use nd_host::{Input, Stream};
pub use nd_sandbox::{Access, IdMode, Recorded, Role, hook};
pub use sandbox::{SandboxImage, SandboxRuntime, role};
pub use spec::{Bind, RunOutput, RunSpec, Runtime};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
