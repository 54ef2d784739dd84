//! Base images: bootstrapped from the distribution's archive, or taken from disk, into the store.

mod archive;
mod bootstrap;
mod error;
mod facts;
mod import;
mod inside;
mod layer;
mod registry;
mod sif;

use nd_host::Programs;
use nd_oci::Image;
use nd_store::Store;
use serde::{Deserialize, Serialize};

pub use bootstrap::{Bootstrap, Bootstrapper, LockedState};
pub use error::BaseError;
use import::archives_of;
pub use import::import;
pub use registry::{FromRegistry, RegistryPlaces};

use crate::machine::AptSource;

/// A base image whose documents and layers are in the store.
#[derive(Debug)]
pub struct Base {
    /// The image.
    pub image: Image,
    /// What it is and where it came from.
    pub origin: BaseOrigin,
    /// Whether it was in the store already.
    pub cached: bool,
    /// The archives that it was made from, if it was made here.
    made_from: Option<BaseArchives>,
}

/// Where the packages of a base image come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseArchives {
    /// The archives that its distribution names by default; empty where that is unknown.
    pub public: Vec<AptSource>,
    /// Its own lists of archives: absolute path and text.
    pub lists: Vec<(String, String)>,
}

impl Base {
    /// The archives of its packages. Where it was not made from them, its files are read and the
    /// bootstrap tool is asked, which only a build has a use for.
    pub fn archives(
        &self,
        store: &Store,
        programs: &dyn Programs,
    ) -> Result<BaseArchives, BaseError> {
        match &self.made_from {
            Some(archives) => Ok(archives.clone()),
            None => archives_of(&self.image, store, programs),
        }
    }
}

/// What a base image is and where it came from; recorded in the image and its release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseOrigin {
    /// Its reference, as the recipe has it (`debian:bullseye`).
    pub name: String,
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// How it came about.
    #[serde(flatten)]
    pub how: BaseKind,
}

/// How a base image came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BaseKind {
    /// Made from a distribution's archive.
    Bootstrap {
        /// `debian:bullseye`.
        bootstrap: String,
        /// Digest over what the archive's suites stated, `sha256:…`.
        archive_state: String,
        /// When the archive was last changed, RFC 3339.
        archive_date: String,
    },
    /// An OCI layout.
    Layout,
    /// An OCI archive, or one of Docker.
    Archive,
    /// A folder of `manifest.json` and blobs, which the containers tools call `dir:`.
    Folder,
    /// A SIF.
    Sif,
    /// Pulled from a registry.
    Registry {
        /// What the name stands for, with its registry. Mirrors are settings of one machine and
        /// no part of this.
        reference: String,
        /// Digest of what the name stood for, `sha256:…`: an index of several architectures, or the
        /// manifest.
        index: String,
        /// Why it was taken from there.
        why: String,
    },
}

impl BaseOrigin {
    /// What packagings depend on: the origin without what chance decides.
    pub(crate) fn identity(&self) -> Self {
        let mut same = self.clone();
        if let BaseKind::Registry { index, why, .. } = &mut same.how {
            index.clear();
            why.clear();
        }
        same
    }

    /// The origin in one line.
    pub fn describe(&self) -> String {
        match &self.how {
            BaseKind::Bootstrap {
                bootstrap,
                archive_date,
                ..
            } => format!("{bootstrap}, bootstrapped from the archive of {archive_date}"),
            BaseKind::Layout => format!("{}, from an OCI layout", self.name),
            BaseKind::Archive => format!("{}, from an OCI archive", self.name),
            BaseKind::Folder => format!("{}, from a folder", self.name),
            BaseKind::Sif => format!("{}, from a SIF", self.name),
            BaseKind::Registry { reference, .. } => {
                format!("{reference}@{}, from a registry", self.digest)
            }
        }
    }
}
