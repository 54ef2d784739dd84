//! Why there is no container.

use std::{io, path::PathBuf};

use nd_builder::{BuildError, PlanError};
use nd_names::NameError;
use nd_report::{Diagnostic, Sink};
use nd_rootfs::ContentsError;
use nd_store::StoreError;
use neurocontainers_recipe::Sources;

use crate::{
    base::BaseError,
    check::CheckError,
    emulation::NoEmulator,
    output::OutputError,
    recipes::{PlaceError, RecipeFolder},
    stage::StageError,
};

/// A container could not be built or tested.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// There is no such recipe.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The recipe is wrong: everything that is, for rendering.
    #[error("the recipe `{recipe}` has errors")]
    Recipe {
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
        /// The texts that this speaks of.
        sources: Sources,
        /// The recipe.
        recipe: String,
    },
    /// The recipe is for another version.
    #[error("`{recipe}` is version {found}, not {wanted}")]
    Version {
        /// The recipe.
        recipe: String,
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// Nobody runs its programs here.
    #[error(transparent)]
    Emulator(#[from] NoEmulator),
    /// A word of the container's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no Dockerfile for it.
    #[error(transparent)]
    Dockerfile(#[from] neurodocker::RenderError),
    /// There is no Apptainer definition for it.
    #[error(transparent)]
    Definition(#[from] neurodocker::ApptainerError),
    /// A local context that the recipe does not use, or that is no folder.
    #[error("local context `{key}`: `{}` is no folder", path.display())]
    Local {
        /// Its key.
        key: String,
        /// Its path.
        path: PathBuf,
    },
    /// There is no base image.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// An engine of the machine.
    #[error(transparent)]
    Engine(#[from] crate::engines::EngineError),
    /// Downloads cannot be made at all, or the caller stopped them.
    #[error(transparent)]
    Fetch(#[from] nd_fetch::FetchError),
    /// A lock.
    #[error(transparent)]
    Lock(#[from] crate::lock::LockProblem),
    /// The build folder.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The build. Its last lines are redacted.
    #[error("{text}")]
    Build {
        /// What it says, without addresses of the machine.
        text: String,
        /// The same with its causes.
        #[source]
        source: Box<BuildError>,
    },
    /// The outputs.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A check could not be done.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Contents of the image.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document.
    #[error("failed to write a document")]
    Json(#[from] serde_json::Error),
    /// A file.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PipelineError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn recipe(sink: Sink, sources: Sources, folder: &RecipeFolder) -> Self {
        Self::Recipe {
            diagnostics: sink.into_diagnostics(),
            sources,
            recipe: folder.shown.clone(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Base(error) => error.hint(),
            Self::Emulator(error) => Some(error.hint()),
            Self::Lock(problem) => problem.hint(),
            _ => None,
        }
    }
}
