//! What goes wrong with registries.

use std::{io, path::PathBuf};

use nd_names::Sha256;
use nd_oci::OciError;
use nd_report::{Cancelled, with_causes};
use nd_store::StoreError;

use crate::{Cause, FetchError, SafeUrl};

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry knows no such image, or does not admit to.
    #[error("`{reference}` is not in its registry")]
    NotFound {
        /// The image.
        reference: String,
    },
    /// The registry wants to know who asks, and what we have to show did not do.
    #[error("`{registry}` refuses access to `{repository}`{}", hint(*.shown))]
    Denied {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// Whether a credential was shown.
        shown: bool,
    },
    /// No usable answer.
    #[error("failed to ask {url}: {}", with_causes(&**.cause))]
    Answer {
        /// What was asked.
        url: SafeUrl,
        /// Why there is no answer.
        cause: Box<Cause>,
    },
    /// An answer that is not what the specification says.
    #[error("the answer of {url} is not valid: {problem}")]
    Invalid {
        /// What was asked.
        url: SafeUrl,
        /// What is wrong.
        problem: &'static str,
    },
    /// A document that is no JSON of its kind.
    #[error("the answer of {url} is not valid")]
    Json {
        /// What was asked.
        url: SafeUrl,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest with other bytes than its digest says.
    #[error("the manifest of `{reference}` is {}, expected {}", found.oci(), expected.oci())]
    Digest {
        /// The image.
        reference: String,
        /// What was asked for or announced.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// A registry that took other bytes than were sent, as it says itself.
    #[error("{url} says that it is {} now, and not {}, which was sent", found.oci(), sent.oci())]
    Stored {
        /// What was sent to.
        url: Box<SafeUrl>,
        /// What was sent.
        sent: Sha256,
        /// What the registry has.
        found: Sha256,
    },
    /// An index without an image for the architecture.
    #[error("`{reference}` has no image for linux/{architecture}, only for {}", offered.join(", "))]
    Platform {
        /// The image.
        reference: String,
        /// What was asked for.
        architecture: &'static str,
        /// What there is.
        offered: Vec<String>,
    },
    /// A descriptor whose digest is no `sha256` digest.
    #[error("`{reference}` names a blob by `{digest}`, only `sha256` is used")]
    DigestAlgorithm {
        /// The image.
        reference: String,
        /// The digest as written.
        digest: String,
    },
    /// The network is off and the image was not pulled before.
    #[error("`{reference}` was not pulled before and the network is off")]
    Offline {
        /// The image.
        reference: String,
    },
    /// An image that is to stand under the digest of another.
    #[error("`{reference}` cannot be image {}", found.oci())]
    OtherImage {
        /// Where it was to stand.
        reference: String,
        /// Its digest.
        found: Sha256,
    },
    /// A name that makes no address.
    #[error("`{registry}` makes no address of a registry")]
    Address {
        /// The registry as written.
        registry: String,
    },
    /// A name that is no reference to an image.
    #[error("`{text}` is no name of an image")]
    Reference {
        /// The name.
        text: String,
    },
    /// An image that the configuration does not allow to be pulled.
    #[error("`{reference}` is blocked in `registries.conf`")]
    Blocked {
        /// The image.
        reference: String,
    },
    /// A `registries.conf` that could not be read.
    #[error("failed to read `{}`", path.display())]
    ConfFile {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A `registries.conf` that is not valid.
    #[error("`{}` is not valid", path.display())]
    Conf {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: toml::de::Error,
    },
    /// A file with credentials that could not be read.
    #[error("failed to read credentials from `{}`", path.display())]
    CredentialsFile {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file with credentials that is not valid. What is wrong is not shown: it may be secret.
    #[error("`{}` is no file of registry credentials", .0.display())]
    CredentialsFormat(PathBuf),
    /// A program that keeps credentials and gave none.
    #[error("`{program}` gave no credential")]
    Helper {
        /// Which one.
        program: String,
    },
    /// A program that keeps credentials and could not be run.
    #[error(transparent)]
    Program(#[from] nd_host::ProgramError),
    /// A blob.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The documents of the image do not fit together.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// The store.
    #[error("failed to keep an image")]
    Store(#[from] StoreError),
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl RegistryError {
    /// Whether another place of the same image may do better.
    pub(crate) fn is_of_its_place(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::Denied { .. }
                | Self::Answer { .. }
                | Self::Invalid { .. }
                | Self::Json { .. }
                | Self::Digest { .. }
                | Self::Platform { .. }
                | Self::Fetch(FetchError::NoSource { .. })
        )
    }
}

fn hint(shown: bool) -> &'static str {
    if shown {
        " with the credentials there are"
    } else {
        "; there are no credentials for it"
    }
}
