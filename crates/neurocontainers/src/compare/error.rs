//! Why two builds cannot be compared.

use std::{io, path::PathBuf};

use crate::{output::OutputError, pipeline::PipelineError};

/// Two builds cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// It names nothing.
    #[error("`{asked}` is neither an OCI layout, a SIF nor a container that was built here")]
    Unknown {
        /// What was asked for.
        asked: String,
    },
    /// Not as many builds are remembered.
    #[error("of `{container}`, {known} builds are remembered, and `{asked}` is none of them")]
    TooOld {
        /// What was asked for.
        asked: String,
        /// The container.
        container: String,
        /// How many builds are remembered.
        known: usize,
    },
    /// What is needed of a build was removed.
    #[error("layer {layer} of `{build}` is not in the cache any more")]
    Gone {
        /// The build.
        build: String,
        /// `diff_id` of the layer.
        layer: String,
    },
    /// A layout that is not what it says.
    #[error("layer {layer} of `{build}` is damaged")]
    Damaged {
        /// The build.
        build: String,
        /// `diff_id` of the layer.
        layer: String,
    },
    /// The image.
    #[error("failed to read `{build}`")]
    Output {
        /// The build.
        build: String,
        /// Why.
        #[source]
        source: Box<OutputError>,
    },
    /// What is remembered.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
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

impl CompareError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { .. } => "write `NAME`, `NAME~1` for the build before, `NAME/VERSION`, \
                                     or the path of a layout or SIF"
                .into(),
            Self::Gone { .. } => {
                "compare the layout or the SIF of that build, if you have it".into()
            }
            _ => return None,
        })
    }
}
