//! Images from registries into the store and from there into registries, by the distribution specification, over the same
//! connections as other downloads.
//!
//! Manifests are small and asked for as they are; every blob is a [`crate::Request`] with a digest,
//! so that it is downloaded once, resumed, verified while it streams and never torn.

mod attach;
mod auth;
mod challenge;
mod conf;
mod error;
mod has;
mod pull;
mod push;
mod reference;
mod referrers;
mod talk;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use attach::Artifact;
pub use auth::Credentials;
pub use conf::{Places, RegistriesConf};
pub use error::RegistryError;
pub use oci_spec::distribution::Reference;
pub use pull::{Pulled, Quota};
pub use push::Pushed;
pub use reference::parse_reference;
pub use referrers::Referrer;

use crate::{Credential, Fetcher};

/// How registries are spoken to.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Who we are, by registry.
    pub credentials: Credentials,
    /// Registries (`host:port`) that are spoken to without encryption, besides those that `conf`
    /// calls insecure.
    pub plain_http: Vec<String>,
    /// Mirrors and other places of images to pull.
    pub conf: RegistriesConf,
    /// Which of these places are asked.
    pub places: Places,
    /// How long a place may take to its first answer, whatever it is; as long as anything else when
    /// absent.
    pub first_answer: Option<Duration>,
}

impl RegistryOptions {
    /// What the files of this user say; see [`Credentials::from_environment`] and
    /// [`RegistriesConf::from_environment`].
    pub fn from_environment(environment: &nd_host::Environment) -> Result<Self, RegistryError> {
        Ok(Self {
            credentials: Credentials::from_environment(environment)?,
            plain_http: Vec::new(),
            conf: RegistriesConf::from_environment(environment)?,
            ..Self::default()
        })
    }
}

/// Registries, spoken to through a [`Fetcher`] and into its store. Clones share what they have
/// learnt: a token is asked for once per repository.
#[derive(Debug, Clone)]
pub struct Registries {
    fetcher: Fetcher,
    options: Arc<RegistryOptions>,
    /// What was accepted, by registry and repository.
    accepted: Arc<Mutex<BTreeMap<(String, String), Credential>>>,
}

impl Registries {
    /// Nothing is opened yet.
    pub fn new(fetcher: Fetcher, options: RegistryOptions) -> Self {
        Self {
            fetcher,
            options: Arc::new(options),
            accepted: Arc::default(),
        }
    }

    pub(crate) fn with_own_connections(&self) -> Self {
        Self {
            fetcher: self.fetcher.with_own_connections(),
            ..self.clone()
        }
    }
}
