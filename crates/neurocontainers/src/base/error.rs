//! Why there is no base image.

use std::{io, path::PathBuf};

use nd_fetch::registry::RegistryError;
use nd_host::ProgramError;
use nd_oci::OciError;
use nd_rootfs::ContentsError;
use nd_store::StoreError;

use crate::machine::Redactor;

/// A base image could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A program that bootstraps is missing.
    #[error("`{program}` is not installed, which bootstraps base images")]
    Tool {
        /// Its name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The bootstrap tool could not be run in the sandbox.
    #[error("failed to run `mmdebstrap` in the sandbox")]
    Sandbox(#[source] super::inside::Failure),
    /// The bootstrap failed; what it said names no address of the machine.
    #[error("{0}")]
    Failed(String),
    /// The bootstrap tool says of no archive for this suite.
    #[error("`mmdebstrap` knows no archive for the suite `{suite}`")]
    UnknownSuite {
        /// The suite.
        suite: String,
    },
    /// A bootstrap of a distribution that cannot be made.
    #[error("cannot bootstrap `{what}`, expected `debian:SUITE` or `ubuntu:SUITE`")]
    Distribution {
        /// What was asked for.
        what: String,
    },
    /// The archive cannot be asked, and no base of this suite was made before.
    #[error("the archive of `{suite}` cannot be reached, and no base of it is in the cache")]
    Unreachable {
        /// The suite.
        suite: String,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// There is no network, and no base of this suite was made before.
    #[error("no base of `{suite}` is in the cache, and there is no network to make one from")]
    Offline {
        /// The suite.
        suite: String,
    },
    /// The base on disk is no image.
    #[error("`{}` is no base image: {problem}", path.display())]
    NoImage {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: &'static str,
    },
    /// The base on disk is for another architecture.
    #[error("`{}` is an image for {found}, not for {wanted}", path.display())]
    Architecture {
        /// Where.
        path: PathBuf,
        /// What it is for.
        found: String,
        /// What is built.
        wanted: &'static str,
    },
    /// A definition without a base image.
    #[error("`{reference}` is no base image of this container")]
    NoBase {
        /// The reference.
        reference: String,
    },
    /// The recipe does not say what its base image is bootstrapped from.
    #[error("the recipe does not say what `{reference}` is bootstrapped from")]
    NoBootstrap {
        /// The reference.
        reference: String,
    },
    /// No registry gave the base image.
    #[error("failed to pull base image `{reference}`")]
    Registry {
        /// The reference.
        reference: String,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// Settings of connections.
    #[error(transparent)]
    Fetch(#[from] nd_fetch::FetchError),
    /// A registry's image is for another architecture.
    #[error("base image `{reference}` is for {found}, not for {wanted}")]
    OtherArchitecture {
        /// The reference.
        reference: String,
        /// What it is for.
        found: String,
        /// What is built.
        wanted: &'static str,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] nd_report::Cancelled),
    /// A SIF.
    #[error(transparent)]
    Sif(#[from] nd_sif::SifError),
    /// The file system of a SIF.
    #[error("failed to read the file system of the SIF")]
    Squashfs(#[from] nd_squashfs::ReadError),
    /// A file.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// Contents of an image.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// A document of ours.
    #[error("failed to write a document")]
    Json(#[from] serde_json::Error),
}

impl BaseError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// The error without addresses of the machine, which command lines and outputs of programs name.
    pub(super) fn redacted(self, redactor: &Redactor) -> Self {
        match self {
            Self::Program(error) => {
                let text = redactor.line(error.to_string().as_bytes());
                Self::Failed(String::from_utf8_lossy(&text).into_owned())
            }
            Self::Failed(text) => {
                let text = redactor.line(text.as_bytes());
                Self::Failed(String::from_utf8_lossy(&text).into_owned())
            }
            other => other,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tool { package, .. } => Some(format!("install the package `{package}`")),
            Self::NoBootstrap { .. } => {
                Some("add `bootstrap: debian:SUITE` to the recipe's `build`".into())
            }
            Self::Registry { .. } => Some(
                "name a mirror in `registries.conf`, give an OCI layout or archive with `--base PATH`, \
                 or add `bootstrap: debian:SUITE` to the recipe's `build`"
                    .into(),
            ),
            Self::Unreachable { .. } => {
                Some("check the machine's apt sources, or give a base with `--base PATH`".into())
            }
            _ => None,
        }
    }
}
