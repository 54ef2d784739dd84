//! The build folder: everything a build reads, in `build/CONTAINER/`.
//!
//! What belongs there is planned first; the folder is made beside its place and swapped in, so that
//! it is complete or as it was. A plan that equals the one the folder was made from changes nothing.

mod apply;
mod plan;

use std::{io, path::PathBuf};

use nd_instructions::Origin;

pub use plan::{StagePlan, StageSources};

/// Name of the context that declared files are mounted from.
pub const CACHE_CONTEXT: &str = "neurocontainer-cache";
/// Folder of that context in the build folder.
pub const CACHE_FOLDER: &str = "cache";
/// Folder of the outputs in the build folder; staging keeps it.
pub const OUTPUT_FOLDER: &str = "out";

/// How names of folders begin that are being staged.
pub(crate) const STAGING: &str = ".nd-stage";

/// A build folder that is up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The folder.
    pub folder: PathBuf,
    /// Whether it was up to date already.
    pub cached: bool,
}

/// Why a build folder cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file of the recipe is not there.
    #[error("{}: declared file `{name}` not found: `{path}`", place(origin))]
    NotFound {
        /// Name of the declared file.
        name: String,
        /// Where it should be, below the recipe's folder.
        path: String,
        /// Where it was declared.
        origin: Box<Origin>,
    },
    /// A declared file without a source.
    #[error("{}: declared file `{name}` has no source", place(origin))]
    NoSource {
        /// Name of the declared file.
        name: String,
        /// Where it was declared.
        origin: Box<Origin>,
    },
    /// A download that nobody made.
    #[error(
        "{}: declared file `{name}` is fetched from `{url}`, and is not at hand",
        place(origin)
    )]
    NotFetched {
        /// Name of the declared file.
        name: String,
        /// Its address.
        url: String,
        /// Where it was declared.
        origin: Box<Origin>,
    },
    /// A file that is not the promised one.
    #[error(
        "{}: declared file `{name}` has digest sha256:{found}, not sha256:{expected}",
        place(origin)
    )]
    Digest {
        /// Name of the declared file.
        name: String,
        /// What the recipe says.
        expected: Box<nd_names::Sha256>,
        /// What is there.
        found: Box<nd_names::Sha256>,
        /// Where it was declared.
        origin: Box<Origin>,
    },
    /// A source of a copy is not there.
    #[error(
        "{}: copy source `{source_path}` does not exist in the recipe's folder",
        place(origin)
    )]
    CopySource {
        /// The source.
        source_path: String,
        /// Where it was asked for.
        origin: Box<Origin>,
    },
    /// A path that would leave the build folder, or stand for two things.
    #[error("`{path}` cannot be staged: {problem}")]
    Path {
        /// The path in the build folder.
        path: String,
        /// Why not.
        problem: &'static str,
    },
    /// A file could not be read or written.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StageError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

fn place(origin: &Origin) -> String {
    format!("{}:{}", origin.file, origin.line)
}
