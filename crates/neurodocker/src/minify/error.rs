//! Why an image cannot be made smaller.

use std::{io, path::PathBuf};

use nd_builder::BuildError;
use nd_oci::{OciError, TarError};
use nd_report::Cancelled;
use nd_rootfs::{ContentsError, IndexError};
use nd_runtime::RuntimeError;
use nd_sif::SifError;
use nd_squashfs::{ReadError, WriteError};
use nd_store::StoreError;

/// An image cannot be made smaller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MinifyError {
    /// There is no such file or folder.
    #[error("there is no image `{image}`")]
    NoImage {
        /// As it was given.
        image: String,
    },
    /// The image lies where it cannot be taken from.
    #[error("`{image}` is neither on disk nor in a registry of images")]
    Elsewhere {
        /// As it was given.
        image: String,
    },
    /// No file is called so, and a registry was not asked, because nothing says that it should be.
    #[error("there is no image `{image}`")]
    PerhapsInRegistry {
        /// As it was given.
        image: String,
    },
    /// There is no image of this program's architecture anywhere.
    #[error("images of registries are for architectures that this program is not made for")]
    Architecture,
    /// A registry did not give the image.
    #[error("the image cannot be fetched")]
    Registry(#[from] nd_fetch::registry::RegistryError),
    /// Downloads cannot be set up.
    #[error(transparent)]
    Fetch(#[from] nd_fetch::FetchError),
    /// It is there but no image.
    #[error(
        "`{image}` is neither an OCI layout or archive, nor an archive of Docker, nor a SIF file"
    )]
    UnknownFormat {
        /// As it was given.
        image: String,
    },
    /// A SIF has no system partition of squashfs.
    #[error("`{path}` has no squashfs partition that is the system")]
    NoPartition {
        /// The file.
        path: PathBuf,
    },
    /// The output is there already.
    #[error("`{path}` is there already")]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// A SIF says in scripts what a configuration says in data.
    #[error("a SIF file can only be made smaller as a SIF file: its environment is a script")]
    SifToOci,
    /// A directory cannot be pruned.
    #[error("directory `{directory}` cannot be pruned: {problem}")]
    Directory {
        /// As it was given.
        directory: String,
        /// Why.
        problem: &'static str,
    },
    /// A pattern is none.
    #[error("pattern `{pattern}` cannot be used: {problem}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// Why.
        problem: &'static str,
    },
    /// A command of the user fails in the image as it is.
    #[error("command `{command}` fails in the image as it is, with exit status {status}")]
    CommandFailed {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// The last line of what it said.
        last_line: String,
    },
    /// What a command looks at could not be taken down.
    #[error("{missed} paths that `{command}` looks at could not be taken down")]
    Incomplete {
        /// The command.
        command: String,
        /// How many.
        missed: u64,
    },
    /// The result does not do what the image does.
    #[error(
        "command `{command}` does not do in the result what it does in the image: {difference}"
    )]
    Different {
        /// The command.
        command: String,
        /// What differs.
        difference: String,
        /// How many times files were put back.
        rounds: usize,
    },
    /// A file could not be read or written.
    #[error("cannot read or write `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A configuration is not what it should be.
    #[error("the configuration of the image cannot be used")]
    Config(#[from] serde_json::Error),
    /// Layers could not be read or written.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A path of the image is none.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A SIF file could not be read or written.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// A squashfs image could not be read.
    #[error(transparent)]
    Squashfs(#[from] ReadError),
    /// A squashfs image could not be written.
    #[error(transparent)]
    Pack(#[from] WriteError),
    /// Contents of files could not be read.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// What is left is no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Layers could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] BuildError),
    /// A command could not be run.
    #[error(transparent)]
    Run(#[from] RuntimeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled(#[from] Cancelled),
}

impl MinifyError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Elsewhere { image } => vec![format!(
                "fetch it first, as `skopeo copy {image} oci:FOLDER` does, then give `FOLDER`"
            )],
            Self::PerhapsInRegistry { image } => {
                vec![format!("write `docker://{image}` for one in a registry")]
            }
            Self::Exists { .. } => vec!["give another `--output`, or remove it first".into()],
            Self::CommandFailed { last_line, .. } if !last_line.is_empty() => {
                vec![format!("the last it said is: {last_line}")]
            }
            Self::Different { .. } => vec![
                "what it needs can be kept with `--keep PATTERN`".into(),
                "leave out what it is not about, such as times, in the output of the command"
                    .into(),
            ],
            _ => Vec::new(),
        }
    }
}
