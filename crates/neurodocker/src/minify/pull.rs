//! Images of registries.

use std::sync::Arc;

use nd_fetch::{
    FetchOptions, Fetcher,
    registry::{Registries, RegistryError, RegistryOptions},
};
use nd_host::Environment;
use nd_names::Architecture;
use nd_oci::Image;
use nd_report::{Cancel, Reporter};
use nd_store::Store;

use super::error::MinifyError;

/// Who brings an image from a registry.
pub(crate) trait Registry {
    /// Brings the image of a name, for the architecture of this machine, into the store.
    fn pull(&self, name: &str, store: &Store, cancel: &Cancel) -> Result<Image, MinifyError>;
}

/// Registries as the environment of this user configures them; nothing is read before one is asked.
pub(crate) struct OfEnvironment<'e> {
    pub(crate) environment: &'e Environment,
    pub(crate) reporter: Arc<dyn Reporter>,
}

impl Registry for OfEnvironment<'_> {
    fn pull(&self, name: &str, store: &Store, cancel: &Cancel) -> Result<Image, MinifyError> {
        let architecture = Architecture::of_this_program().ok_or(MinifyError::Architecture)?;
        let options = RegistryOptions::from_environment(self.environment)?;
        let candidates = options.conf.resolve(name)?;
        let fetch = FetchOptions::from_environment(self.environment)?;
        let fetcher = Fetcher::new(fetch, store.clone(), self.reporter.clone());
        let registries = Registries::new(fetcher, options);
        let mut first = None;
        for reference in &candidates {
            match registries.pull_blocking(reference, architecture, cancel) {
                Ok(pulled) => return Ok(pulled.image),
                Err(error @ RegistryError::NotFound { .. }) => first = first.or(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        let none = || RegistryError::Reference {
            text: name.to_owned(),
        };
        Err(first.unwrap_or_else(none).into())
    }
}
