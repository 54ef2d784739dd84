//! Engines: what turns a prepared and staged container into an image.
//!
//! The embedded one is `nd-builder`. The others are programs of the machine, which are handed the
//! rendered Dockerfile or definition and the build folder; what they make is taken into the store and
//! goes on as every other build does: outputs, release record and tests are ours.

mod commands;
mod outside;
mod stubs;

use nd_builder::Built;

pub use commands::{Base, Inputs, commands};
pub use outside::Outside;

use crate::pipeline::{BuildWish, PipelineError, Planned, Prepared, Workshop};

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineKind {
    /// This program.
    #[default]
    Embedded,
    /// `buildah`, without a daemon.
    Buildah,
    /// `docker`, whose daemon must run.
    Docker,
    /// `buildctl`, whose daemon must run.
    Buildkit,
    /// `apptainer` or `singularity`, by the definition file.
    Apptainer,
}

impl EngineKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Buildah => "buildah",
            Self::Docker => "docker",
            Self::Buildkit => "buildkit",
            Self::Apptainer => "apptainer",
        }
    }

    /// Programs that do it, the first that is there is taken.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Embedded => &[],
            Self::Buildah => &["buildah"],
            Self::Docker => &["docker"],
            Self::Buildkit => &["buildctl"],
            Self::Apptainer => &["apptainer", "singularity"],
        }
    }
}

/// What an engine builds.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// What every part works with.
    pub workshop: &'a Workshop<'a>,
    /// The container.
    pub prepared: &'a Prepared,
    /// Its bases, its build folder and its plan.
    pub planned: &'a Planned,
    /// How it is built.
    pub wish: &'a BuildWish,
}

/// Something that builds.
pub trait Engine {
    /// Builds; all layers of the image are in the store then.
    fn build(&self, job: &Job<'_>) -> Result<Built, PipelineError>;
}

/// Why an engine of the machine built nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It is not installed.
    #[error("the engine `{engine}` is not installed: there is no `{program}`")]
    Missing {
        /// The engine.
        engine: &'static str,
        /// Its program.
        program: &'static str,
    },
    /// A recipe with file mounts, and a Docker without BuildKit.
    #[error("this recipe mounts files, for which Docker needs BuildKit (`docker buildx`)")]
    NeedsBuildkit,
    /// It failed. What it said names no address of the machine.
    #[error("{0}")]
    Failed(String),
    /// Steps with secrets, which only the embedded engine keeps out of images.
    #[error("secrets are given to steps by the embedded engine alone")]
    Secrets,
}
