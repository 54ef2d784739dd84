//! Pulling: manifest, choice of the architecture, blobs.

use std::{collections::BTreeSet, num::NonZeroUsize};

use nd_names::{Architecture, Sha256};
use nd_oci::{BlobSource as _, Image};
use nd_report::{Cancel, with_causes};
use oci_spec::{
    distribution::Reference,
    image::{Descriptor, ImageIndex, ImageManifest},
};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

use super::{Registries, RegistryError, talk::Repository};
use crate::{
    Cause, FetchError, Fetched, Network, Request,
    fetcher::{blocking, until_cancelled},
};

/// Blobs downloaded at a time.
pub(crate) const PARALLEL: NonZeroUsize = NonZeroUsize::new(4).unwrap();
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// Kind of the records of what a name stood for.
const RECORD: &str = "image-name";

/// An image that is in the store with all its blobs.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Digest of what the name stands for: an index of several architectures, or the manifest. A
    /// lock pins this one.
    pub digest: Sha256,
    /// The image, checked against its digests; [`Image::load`] finds it again by its own digest.
    pub image: Image,
    /// Where it came from, `REGISTRY/REPOSITORY`; a mirror is another than that of the name.
    pub from: String,
    /// What the registry says about how much more it will give.
    pub quota: Option<Quota>,
}

/// How many pulls a registry allows and how many are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Allowed in a window of time.
    pub limit: u64,
    /// Left in it.
    pub remaining: u64,
}

impl Registries {
    /// Pulls an image for one architecture into the store, from a mirror if the configuration names
    /// one that has it. What is there already is not asked for
    /// again; with the network off, only that is used.
    ///
    /// # Errors
    ///
    /// See [`RegistryError`]. Blobs that came completely stay for the next attempt, those that came
    /// in part are gone on with.
    pub async fn pull(
        &self,
        reference: &Reference,
        architecture: Architecture,
        cancel: &Cancel,
    ) -> Result<Pulled, RegistryError> {
        until_cancelled(self.pull_now(reference, architecture, cancel), cancel).await
    }

    /// [`Self::pull`] on a runtime of its own, for callers that are not asynchronous.
    pub fn pull_blocking(
        &self,
        reference: &Reference,
        architecture: Architecture,
        cancel: &Cancel,
    ) -> Result<Pulled, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.pull(reference, architecture, cancel))?
    }

    async fn pull_now(
        &self,
        reference: &Reference,
        architecture: Architecture,
        cancel: &Cancel,
    ) -> Result<Pulled, RegistryError> {
        let conf = &self.options.conf;
        let places = conf.chosen_places(reference, self.options.places)?;
        let last = places.len().saturating_sub(1);
        for (n, place) in places.iter().enumerate() {
            let repository = self.repository(&place.registry, &place.repository, place.plain);
            let pulled = self
                .pull_from(&repository, reference, architecture, cancel)
                .await;
            match pulled {
                Err(error) if n < last && error.is_of_its_place() => {
                    let next = &places[n + 1];
                    self.fetcher.say(&format!(
                        "{}; trying `{}/{}`",
                        with_causes(&error),
                        next.registry,
                        next.repository
                    ));
                }
                other => return other,
            }
        }
        Err(RegistryError::NotFound {
            reference: reference.whole(),
        })
    }

    async fn pull_from(
        &self,
        repository: &Repository,
        reference: &Reference,
        architecture: Architecture,
        cancel: &Cancel,
    ) -> Result<Pulled, RegistryError> {
        let name = reference.whole();
        if self.fetcher.options().network == Network::On
            && let Some(limit) = self.options.first_answer
        {
            self.first_answer(repository, limit).await?;
        }
        let top = if let Some(text) = reference.digest() {
            let digest = text.parse().map_err(|_| RegistryError::DigestAlgorithm {
                reference: name.clone(),
                digest: text.to_owned(),
            })?;
            self.manifest_by_digest(repository, &name, digest).await?
        } else {
            let tag = reference.tag().unwrap_or("latest");
            self.manifest_by_tag(repository, &name, tag).await?
        };
        let mut manifest = top.clone();
        if top.is_index() {
            let index: ImageIndex = top.parse(repository)?;
            let chosen = choose(&index, &name, architecture)?;
            let chosen = digest_of(chosen, &name)?;
            manifest = self.manifest_by_digest(repository, &name, chosen).await?;
        }
        let parsed: ImageManifest = manifest.parse(repository)?;
        self.blobs(repository, &name, &parsed, cancel).await?;
        let image = Image::load(self.fetcher.store(), manifest.digest)?;
        Ok(Pulled {
            digest: top.digest,
            image,
            from: format!("{}/{}", repository.registry, repository.name),
            quota: top.quota,
        })
    }

    async fn blobs(
        &self,
        repository: &Repository,
        name: &str,
        manifest: &ImageManifest,
        cancel: &Cancel,
    ) -> Result<(), RegistryError> {
        let mut seen = BTreeSet::new();
        let mut requests = Vec::new();
        for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
            let digest = digest_of(blob, name)?;
            if !seen.insert(digest) {
                continue;
            }
            requests.push(Request {
                name: Some(format!("{name} {}", &digest.hex()[..12])),
                sha256: Some(digest),
                size: Some(blob.size()),
                ..Request::new(repository.url(&format!("blobs/{}", digest.oci()))?)
            });
        }
        self.bring(repository, requests, cancel).await.map(drop)
    }

    /// Downloads blobs of a repository, several at a time; one result for each, in their order.
    pub(super) async fn bring(
        &self,
        repository: &Repository,
        mut requests: Vec<Request>,
        cancel: &Cancel,
    ) -> Result<Vec<Fetched>, RegistryError> {
        for request in &mut requests {
            request.credential = self.accepted(repository);
        }
        let results = self.fetcher.fetch_all(&requests, PARALLEL, cancel).await;
        let mut fetched = Vec::new();
        let mut renewed = false;
        for (mut request, result) in requests.into_iter().zip(results) {
            fetched.push(match result {
                Err(FetchError::NoSource { tried, .. }) if unauthorised(&tried) => {
                    // A token lives for minutes, a pull may take longer; a registry may also give
                    // manifests to everybody and blobs to some.
                    if !std::mem::replace(&mut renewed, true) {
                        self.forget(repository);
                        self.introduce_for(repository, &request.urls[0]).await?;
                    }
                    request.credential = self.accepted(repository);
                    Box::pin(self.fetcher.fetch(&request, cancel)).await?
                }
                result => result?,
            });
        }
        Ok(fetched)
    }

    async fn manifest_by_tag(
        &self,
        repository: &Repository,
        name: &str,
        tag: &str,
    ) -> Result<Manifest, RegistryError> {
        let key = name_key(name);
        let store = self.fetcher.store();
        if self.fetcher.options().network == Network::Off {
            let known = store.record(RECORD, &key)?;
            let known = known.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
            let known = known.ok_or_else(|| offline(name))?;
            return self.manifest_by_digest(repository, name, known).await;
        }
        let manifest = self.ask_manifest(repository, name, tag, None).await?;
        store.put_record(RECORD, &key, manifest.digest.oci().as_bytes())?;
        Ok(manifest)
    }

    async fn manifest_by_digest(
        &self,
        repository: &Repository,
        name: &str,
        digest: Sha256,
    ) -> Result<Manifest, RegistryError> {
        let store = self.fetcher.store();
        if store.blob(&digest)?.is_some() {
            let mut bytes = Vec::new();
            let file = store.open(&digest)?;
            let read =
                std::io::Read::read_to_end(&mut std::io::Read::take(file, 8 << 20), &mut bytes);
            if read.is_ok() && Sha256::of(&bytes) == digest {
                return Ok(Manifest {
                    bytes,
                    digest,
                    quota: None,
                });
            }
        }
        if self.fetcher.options().network == Network::Off {
            return Err(offline(name));
        }
        self.ask_manifest(repository, name, &digest.oci(), Some(digest))
            .await
    }

    async fn ask_manifest(
        &self,
        repository: &Repository,
        name: &str,
        tag: &str,
        expected: Option<Sha256>,
    ) -> Result<Manifest, RegistryError> {
        let url = repository.url(&format!("manifests/{tag}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let document = self.document(repository, &url, &headers).await?;
        let document = document.ok_or_else(|| RegistryError::NotFound {
            reference: name.to_owned(),
        })?;
        let found = Sha256::of(&document.bytes);
        let text = |header: &str| document.headers.get(header)?.to_str().ok();
        // What the registry announces must be what it gives, too.
        let announced = text("docker-content-digest").and_then(|text| text.parse().ok());
        for expected in expected.into_iter().chain(announced) {
            if expected != found {
                return Err(RegistryError::Digest {
                    reference: name.to_owned(),
                    expected,
                    found,
                });
            }
        }
        let count = |header| {
            let text = text(header)?;
            text.split(';').next()?.trim().parse().ok()
        };
        let quota = count("ratelimit-limit").zip(count("ratelimit-remaining"));
        let manifest = Manifest {
            quota: quota.map(|(limit, remaining)| Quota { limit, remaining }),
            digest: found,
            bytes: document.bytes,
        };
        let store = self.fetcher.store();
        store.put_blob(&manifest.bytes[..], Some(&found))?;
        Ok(manifest)
    }
}

fn unauthorised(tried: &[crate::Tried]) -> bool {
    tried
        .iter()
        .all(|tried| matches!(tried.cause, Cause::Status { code: 401, .. }))
}

fn offline(name: &str) -> RegistryError {
    RegistryError::Offline {
        reference: name.to_owned(),
    }
}

fn name_key(name: &str) -> Sha256 {
    Sha256::of(format!("nd-fetch image name\0{name}").as_bytes())
}

#[derive(Debug, Clone)]
struct Manifest {
    bytes: Vec<u8>,
    digest: Sha256,
    quota: Option<Quota>,
}

impl Manifest {
    fn is_index(&self) -> bool {
        serde_json::from_slice::<serde_json::Value>(&self.bytes)
            .is_ok_and(|value| value["manifests"].is_array())
    }

    fn parse<T: DeserializeOwned>(&self, repository: &Repository) -> Result<T, RegistryError> {
        let url = repository.url(&format!("manifests/{}", self.digest.oci()))?;
        serde_json::from_slice(&self.bytes).map_err(|source| RegistryError::Json { url, source })
    }
}

pub(super) fn digest_of(descriptor: &Descriptor, name: &str) -> Result<Sha256, RegistryError> {
    let text = descriptor.digest().to_string();
    let hex = text.strip_prefix("sha256:");
    hex.and_then(|hex| hex.parse().ok())
        .ok_or(RegistryError::DigestAlgorithm {
            reference: name.to_owned(),
            digest: text,
        })
}

/// The image for an architecture; indexes hold attestations and variants besides.
fn choose<'a>(
    index: &'a ImageIndex,
    name: &str,
    architecture: Architecture,
) -> Result<&'a Descriptor, RegistryError> {
    let mut offered = Vec::new();
    for descriptor in index.manifests() {
        let Some(platform) = descriptor.platform() else {
            continue;
        };
        let (os, processor) = (
            platform.os().to_string(),
            platform.architecture().to_string(),
        );
        if os == "linux" && processor == architecture.oci() {
            return Ok(descriptor);
        }
        offered.push(format!("{os}/{processor}"));
    }
    offered.sort();
    offered.dedup();
    if offered.is_empty() {
        offered.push("nothing that is named".into());
    }
    Err(RegistryError::Platform {
        reference: name.to_owned(),
        architecture: architecture.oci(),
        offered,
    })
}
