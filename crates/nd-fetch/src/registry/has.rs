//! Whether a registry has an image, without pulling it.

use nd_report::Cancel;
use oci_spec::distribution::Reference;
use reqwest::{
    Method,
    header::{ACCEPT, HeaderMap, HeaderValue},
};

use super::{Registries, RegistryError, pull::ACCEPTED, talk::unexpected};
use crate::fetcher::{blocking, until_cancelled};

impl Registries {
    /// Whether the registry of `reference` has an image of this name.
    ///
    /// # Errors
    ///
    /// See [`RegistryError`].
    pub async fn has(&self, reference: &Reference, cancel: &Cancel) -> Result<bool, RegistryError> {
        until_cancelled(self.has_now(reference), cancel).await
    }

    /// [`Self::has`] on a runtime of its own, for callers that are not asynchronous.
    pub fn has_blocking(
        &self,
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<bool, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.has(reference, cancel))?
    }

    async fn has_now(&self, reference: &Reference) -> Result<bool, RegistryError> {
        let repository = self.target(reference)?;
        let name = reference.digest().or(reference.tag()).unwrap_or("latest");
        let url = repository.url(&format!("manifests/{name}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let answer = self
            .asked(&repository, &Method::HEAD, &url, &headers)
            .await?;
        match answer.response.status().as_u16() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(unexpected(&url, &answer)),
        }
    }
}
