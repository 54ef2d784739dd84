//! Why something was not published.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use nd_report::Cancelled;

use super::Inability;
use crate::sync::ViewError;

/// Why something was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// Somebody else changes the repository.
    #[error("the repository is in use: {0}")]
    Busy(String),
    /// The publisher cannot do a part of it.
    #[error("publisher `{publisher}` cannot do it: {}", List(cannot))]
    Unable {
        /// Which publisher.
        publisher: &'static str,
        /// What it cannot do.
        cannot: Vec<Inability>,
    },
    /// A file or folder.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder that something else than a publisher of ours has filled.
    #[error("`{}` is not empty and was not made by this program", .0.display())]
    NotOurs(PathBuf),
    /// A path that leads through a link.
    #[error("`{0}` leads through something that is no directory")]
    Through(String),
    /// A tree could not be written.
    #[error(transparent)]
    Unpack(#[from] transparent_singularity::UnpackError),
    /// What was published cannot be read back.
    #[error(transparent)]
    Directory(#[from] nd_oci::DirectoryError),
    /// The same, from the files of a repository.
    #[error(transparent)]
    Tree(#[from] nd_cvmfs::TreeError),
    /// What is published cannot be looked at.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A repository's files.
    #[error(transparent)]
    Cvmfs(#[from] nd_cvmfs::PublishError),
    /// A repository's manifest.
    #[error("the manifest of the repository cannot be read")]
    Manifest(#[source] nd_cvmfs::ReadError),
    /// An index that is none.
    #[error(transparent)]
    Index(#[from] nd_rootfs::IndexError),
    /// Settings of `cvmfs_server`.
    #[error(transparent)]
    Config(#[from] super::ServerConfigError),
    /// A program of others.
    #[error(transparent)]
    Program(#[from] nd_host::ProgramError),
    /// The server of a repository.
    #[error(transparent)]
    Place(#[from] crate::PlaceError),
    /// A program said that it was published, and it was not.
    #[error(
        "`cvmfs_server publish` ended without an error, and revision {revision} is still the current one"
    )]
    NotPublished {
        /// The revision.
        revision: u64,
    },
    /// A program said that a transaction is open, and there is none.
    #[error("`cvmfs_server transaction` ended without an error, and no transaction is open")]
    NotOpened,
    /// A transaction that could not be ended; the next run tries again.
    #[error("a transaction of ours is open and could not be aborted")]
    NotAborted(#[source] Option<nd_host::ProgramError>),
    /// Our own notes.
    #[error("the journal `{}` cannot be read", path.display())]
    Journal {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PublisherError {
    pub(super) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

struct List<'a>(&'a [Inability]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Inability { path, what }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{what} (`{path}`)")?;
        }
        Ok(())
    }
}
