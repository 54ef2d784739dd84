//! Artifacts that refer to an image, such as its SIF file.

use nd_names::Sha256;
use nd_report::Cancel;
use oci_spec::{distribution::Reference, image::ImageManifest};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::Value;

use super::{
    Registries, RegistryError,
    pull::{ACCEPTED, digest_of},
    talk::Repository,
};
use crate::{
    Fetched, Request,
    fetcher::{blocking, until_cancelled},
};

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An artifact that refers to an image, before it is downloaded.
#[derive(Debug)]
pub struct Referrer {
    repository: Repository,
    digest: Sha256,
    request: Request,
}

impl Referrer {
    /// The digest of its bytes, by which other places can be asked for them.
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

impl Registries {
    /// Downloads the only layer of the first artifact of type `artifact` that refers to the image
    /// `reference`: by the referrers API, or by the tag that stands for it where a registry has none.
    /// `None` when the image or such an artifact is not there.
    ///
    /// # Errors
    ///
    /// See [`RegistryError`]; an artifact with another number of layers is one.
    pub async fn referrer(
        &self,
        reference: &Reference,
        artifact: &str,
        cancel: &Cancel,
    ) -> Result<Option<Fetched>, RegistryError> {
        match self.find_referrer(reference, artifact, cancel).await? {
            Some(found) => self.fetch_referrer(&found, cancel).await.map(Some),
            None => Ok(None),
        }
    }

    /// What [`Self::referrer`] would download.
    ///
    /// # Errors
    ///
    /// As [`Self::referrer`].
    pub async fn find_referrer(
        &self,
        reference: &Reference,
        artifact: &str,
        cancel: &Cancel,
    ) -> Result<Option<Referrer>, RegistryError> {
        until_cancelled(self.find_referrer_now(reference, artifact), cancel).await
    }

    /// Downloads what was found.
    ///
    /// # Errors
    ///
    /// As [`Self::referrer`].
    pub async fn fetch_referrer(
        &self,
        found: &Referrer,
        cancel: &Cancel,
    ) -> Result<Fetched, RegistryError> {
        let Referrer {
            repository,
            request,
            ..
        } = found;
        let work = self.bring(repository, vec![request.clone()], cancel);
        let fetched = until_cancelled(work, cancel).await?.pop();
        fetched.ok_or_else(|| RegistryError::NotFound {
            reference: request.title().to_owned(),
        })
    }

    /// [`Self::find_referrer`] on a runtime of its own, for callers that are not asynchronous.
    pub fn find_referrer_blocking(
        &self,
        reference: &Reference,
        artifact: &str,
        cancel: &Cancel,
    ) -> Result<Option<Referrer>, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.find_referrer(reference, artifact, cancel))?
    }

    /// [`Self::fetch_referrer`] on a runtime of its own, for callers that are not asynchronous.
    pub fn fetch_referrer_blocking(
        &self,
        found: &Referrer,
        cancel: &Cancel,
    ) -> Result<Fetched, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.fetch_referrer(found, cancel))?
    }

    /// [`Self::referrer`] on a runtime of its own, for callers that are not asynchronous.
    pub fn referrer_blocking(
        &self,
        reference: &Reference,
        artifact: &str,
        cancel: &Cancel,
    ) -> Result<Option<Fetched>, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.referrer(reference, artifact, cancel))?
    }

    async fn find_referrer_now(
        &self,
        reference: &Reference,
        artifact: &str,
    ) -> Result<Option<Referrer>, RegistryError> {
        let repository = self.target(reference)?;
        let name = reference.whole();
        let tag = reference.digest().or(reference.tag()).unwrap_or("latest");
        let Some((_, subject)) = self
            .checked(&repository, &name, tag, ACCEPTED, None)
            .await?
        else {
            return Ok(None);
        };
        let path = format!(
            "referrers/{}?artifactType={}",
            subject.oci(),
            encoded(artifact)
        );
        let listed = self.listed(&repository, &path, artifact).await?;
        let found = if listed.is_some() {
            listed
        } else {
            let tag = format!("manifests/sha256-{}", subject.hex());
            self.listed(&repository, &tag, artifact).await?
        };
        let Some(digest) = found else {
            return Ok(None);
        };
        let Some((bytes, _)) = self
            .checked(&repository, &name, &digest.oci(), MANIFEST, Some(digest))
            .await?
        else {
            return Ok(None);
        };
        let url = repository.url(&format!("manifests/{}", digest.oci()))?;
        let manifest: ImageManifest =
            serde_json::from_slice(&bytes).map_err(|source| RegistryError::Json { url, source })?;
        let [layer] = &manifest.layers()[..] else {
            return Err(RegistryError::NotFound { reference: name });
        };
        let digest = digest_of(layer, &name)?;
        let request = Request {
            name: Some(format!("{name} {}", &digest.hex()[..12])),
            sha256: Some(digest),
            size: Some(layer.size()),
            ..Request::new(repository.url(&format!("blobs/{}", digest.oci()))?)
        };
        Ok(Some(Referrer {
            repository,
            digest,
            request,
        }))
    }

    /// The first descriptor of that artifact type in an index of the repository.
    async fn listed(
        &self,
        repository: &Repository,
        path: &str,
        artifact: &str,
    ) -> Result<Option<Sha256>, RegistryError> {
        let url = repository.url(path)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(INDEX));
        // A registry without the API answers 404, and some another refusal: both mean the tag.
        let Ok(Some(document)) = self.document(repository, &url, &headers).await else {
            return Ok(None);
        };
        let index: Value = serde_json::from_slice(&document.bytes)
            .map_err(|source| RegistryError::Json { url, source })?;
        let fits = |entry: &&Value| entry["artifactType"].as_str() == Some(artifact);
        let entries = index["manifests"].as_array().map_or(&[][..], Vec::as_slice);
        let found = entries
            .iter()
            .find(fits)
            .and_then(|entry| entry["digest"].as_str());
        Ok(found.and_then(|text| text.strip_prefix("sha256:")?.parse().ok()))
    }

    /// A manifest, verified against `expected` and against what the registry announces.
    async fn checked(
        &self,
        repository: &Repository,
        name: &str,
        tag: &str,
        accept: &'static str,
        expected: Option<Sha256>,
    ) -> Result<Option<(Vec<u8>, Sha256)>, RegistryError> {
        let url = repository.url(&format!("manifests/{tag}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let Some(document) = self.document(repository, &url, &headers).await? else {
            return Ok(None);
        };
        let found = Sha256::of(&document.bytes);
        let announced = document.headers.get("docker-content-digest");
        let announced = announced.and_then(|text| text.to_str().ok()?.parse().ok());
        for expected in expected.into_iter().chain(announced) {
            if expected != found {
                return Err(RegistryError::Digest {
                    reference: name.to_owned(),
                    expected,
                    found,
                });
            }
        }
        Ok(Some((document.bytes, found)))
    }
}

/// A media type as the value of a query: `+` would be a blank.
fn encoded(text: &str) -> String {
    text.replace('%', "%25")
        .replace('+', "%2B")
        .replace('/', "%2F")
}
