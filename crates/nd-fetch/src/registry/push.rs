//! Pushing: blobs that are not there yet, then the manifest.

use std::{io::Read as _, sync::Arc};

use bytes::Bytes;
use nd_names::Sha256;
use nd_oci::{BlobSource, Image, OciError, PlatformIndex};
use nd_report::{Cancel, Cancelled, Event, Reporter, StepId, StepOutcome};
use oci_spec::{distribution::Reference, image::MediaType};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use tokio::time::Instant;

use super::{
    Registries, RegistryError,
    pull::PARALLEL,
    talk::{DOCUMENT, Repository, unexpected},
};
use crate::{
    Cause, SafeUrl,
    body::{self, Source},
    fetcher::{blocking, until_cancelled},
    http, retry,
};

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Blobs that were sent.
    pub sent: usize,
    /// Blobs that the registry took from another repository.
    pub mounted: usize,
    /// Blobs that were there.
    pub there: usize,
}

/// A manifest or an index.
struct Document {
    digest: Sha256,
    kind: MediaType,
    bytes: Vec<u8>,
}

pub(super) enum Put {
    Sent,
    Mounted,
    There,
}

impl Registries {
    /// Pushes an image byte for byte; its tag is set last, when everything it needs is there. With
    /// `mount_from`, blobs are first asked for from that repository of the same registry.
    ///
    /// # Errors
    ///
    /// See [`RegistryError`]. Blobs that were sent stay in the registry, so the next attempt is
    /// shorter.
    pub async fn push(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        reference: &Reference,
        mount_from: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Pushed, RegistryError> {
        let work = self.push_now(blobs, image, reference, mount_from);
        until_cancelled(work, cancel).await
    }

    /// Sends `images`, one for each platform, and then their index, which gets the name.
    ///
    /// # Errors
    ///
    /// As [`Self::push`].
    pub async fn push_index(
        &self,
        blobs: &dyn BlobSource,
        images: &[Image],
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<PlatformIndex, RegistryError> {
        let work = self.push_index_now(blobs, images, reference);
        until_cancelled(work, cancel).await
    }

    /// [`Self::push_index`] on a runtime of its own, for callers that are not asynchronous.
    pub fn push_index_blocking(
        &self,
        blobs: &dyn BlobSource,
        images: &[Image],
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<PlatformIndex, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.push_index(blobs, images, reference, cancel))?
    }

    async fn push_index_now(
        &self,
        blobs: &dyn BlobSource,
        images: &[Image],
        reference: &Reference,
    ) -> Result<PlatformIndex, RegistryError> {
        let index = PlatformIndex::of(blobs, images)?;
        let (registry, name) = (reference.registry(), reference.repository());
        for image in images {
            let digest = image.digest.oci();
            let alone = Reference::with_digest(registry.into(), name.into(), digest);
            self.push_now(blobs, image, &alone, None).await?;
        }
        let repository = self.target(reference)?.for_writing();
        let document = Document {
            digest: index.digest,
            kind: MediaType::ImageIndex,
            bytes: index.bytes.clone(),
        };
        self.put_document(&repository, document, reference).await?;
        Ok(index)
    }

    /// [`Self::push`] on a runtime of its own, for callers that are not asynchronous.
    pub fn push_blocking(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        reference: &Reference,
        mount_from: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Pushed, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.push(blobs, image, reference, mount_from, cancel))?
    }

    async fn push_now(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        reference: &Reference,
        mount_from: Option<&str>,
    ) -> Result<Pushed, RegistryError> {
        let repository = self.target(reference)?.for_writing();
        let manifest = manifest(blobs, image)?;
        let mut digests: Vec<_> = image.layers.iter().map(|layer| layer.digest).collect();
        digests.sort();
        digests.dedup();
        digests.retain(|digest| *digest != image.config_digest);
        // The first one finds out who may push; the others share what it was given.
        let config = open(blobs, &image.config_digest)?;
        let first = self.put_blob(&repository, image.config_digest, config, mount_from);
        let mut done = vec![first.await?];
        let turns = Arc::new(tokio::sync::Semaphore::new(PARALLEL.get()));
        let mut running = tokio::task::JoinSet::new();
        for digest in digests {
            let file = open(blobs, &digest)?;
            let (alone, turns) = (self.clone(), turns.clone());
            let (repository, from) = (repository.clone(), mount_from.map(str::to_owned));
            running.spawn(async move {
                let _turn = turns.acquire().await;
                let from = from.as_deref();
                alone.put_blob(&repository, digest, file, from).await
            });
        }
        // Dropping the set, at the first error or a wish to stop, ends the others.
        while let Some(ended) = running.join_next().await {
            done.push(match ended {
                Ok(result) => result?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(Cancelled.into()),
            });
        }
        let kind = image.manifest.media_type().clone();
        let document = Document {
            digest: image.digest,
            kind: kind.unwrap_or(MediaType::ImageManifest),
            bytes: manifest,
        };
        self.put_document(&repository, document, reference).await?;
        let mut pushed = Pushed::default();
        for put in done {
            match put {
                Put::Sent => pushed.sent += 1,
                Put::Mounted => pushed.mounted += 1,
                Put::There => pushed.there += 1,
            }
        }
        Ok(pushed)
    }

    async fn put_document(
        &self,
        repository: &Repository,
        document: Document,
        reference: &Reference,
    ) -> Result<(), RegistryError> {
        if let Some(text) = reference.digest()
            && text != document.digest.oci()
        {
            return Err(RegistryError::OtherImage {
                reference: reference.whole(),
                found: document.digest,
            });
        }
        let name = match (reference.tag(), reference.digest()) {
            (Some(tag), _) => tag.to_owned(),
            (None, Some(_)) => document.digest.oci(),
            (None, None) => "latest".to_owned(),
        };
        let kind = document.kind.to_string();
        self.put_manifest(repository, &name, &kind, document.bytes.into())
            .await
    }

    /// Puts a document under a name, a tag or its digest, with patience.
    pub(super) async fn put_manifest(
        &self,
        repository: &Repository,
        name: &str,
        kind: &str,
        bytes: Bytes,
    ) -> Result<(), RegistryError> {
        let url = repository.url(&format!("manifests/{name}"))?;
        let digest = Sha256::of(&bytes);
        let body = Source::Memory(bytes);
        let mut failures = 0;
        loop {
            let sent = self.send(repository, &url, kind, (&body, &digest), None);
            let cause = match sent.await {
                Err(RegistryError::Answer { cause, .. }) => cause,
                other => return other,
            };
            failures += 1;
            let may = retry::may_pass(&cause);
            if !self.again(failures, &cause, may, &url).await {
                return Err(RegistryError::Answer { url, cause });
            }
        }
    }

    pub(super) async fn put_blob(
        &self,
        repository: &Repository,
        digest: Sha256,
        body: Source,
        mount_from: Option<&str>,
    ) -> Result<Put, RegistryError> {
        let none = HeaderMap::new();
        let url = repository.url(&format!("blobs/{}", digest.oci()))?;
        let answer = self.asked(repository, &Method::HEAD, &url, &none).await?;
        match answer.response.status().as_u16() {
            200 => return Ok(Put::There),
            404 => {}
            _ => return Err(unexpected(&url, &answer)),
        }
        let (reporter, id) = self.fetcher.new_step();
        let started = Instant::now();
        reporter.event(Event::Started {
            id,
            title: &format!(
                "{}/{} {}",
                repository.registry,
                repository.name,
                &digest.hex()[..12]
            ),
            bytes: Some(body.size()),
        });
        let result = self
            .upload(
                repository,
                &digest,
                &body,
                mount_from,
                (reporter.clone(), id),
            )
            .await;
        reporter.event(Event::Finished {
            id,
            outcome: match result {
                Ok(Put::Sent) => StepOutcome::Done,
                Ok(_) => StepOutcome::Cached,
                Err(_) => StepOutcome::Failed,
            },
            took: started.elapsed(),
        });
        result
    }

    /// A new upload each time: what a registry made of half of one is not known.
    async fn upload(
        &self,
        repository: &Repository,
        digest: &Sha256,
        body: &Source,
        mount_from: Option<&str>,
        told: (Arc<dyn Reporter>, StepId),
    ) -> Result<Put, RegistryError> {
        let mut failures = 0;
        loop {
            let mut begin = repository.url("blobs/uploads/")?.bare();
            if let Some(from) = mount_from {
                begin
                    .query_pairs_mut()
                    .append_pair("mount", &digest.oci())
                    .append_pair("from", from);
            }
            let begin = address(repository, begin)?;
            let none = HeaderMap::new();
            let answer = self.asked(repository, &Method::POST, &begin, &none).await?;
            match answer.response.status().as_u16() {
                201 => return Ok(Put::Mounted),
                202 => {}
                _ => return Err(unexpected(&begin, &answer)),
            }
            let location = answer.response.headers().get(LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let to = location.and_then(|location| begin.url().join(location).ok());
            let mut to = to.ok_or(RegistryError::Invalid {
                url: begin.clone(),
                problem: "it names no address to send to",
            })?;
            to.query_pairs_mut().append_pair("digest", &digest.oci());
            let to = address(repository, to)?;
            if begin.url().scheme() == "https" && to.url().scheme() != "https" {
                return Err(RegistryError::Invalid {
                    url: begin,
                    problem: "the address to send to is not encrypted",
                });
            }
            let kind = "application/octet-stream";
            let cause = match self
                .send(repository, &to, kind, (body, digest), Some(told.clone()))
                .await
            {
                Ok(()) => return Ok(Put::Sent),
                Err(RegistryError::Answer { cause, .. }) => cause,
                Err(error) => return Err(error),
            };
            failures += 1;
            // The registry may have forgotten an upload that it was slow to take, or the address of it
            // is good no longer.
            let forgotten = matches!(*cause, Cause::Status { code: 404, .. });
            let may = forgotten || retry::may_pass(&cause);
            if !self.again(failures, &cause, may, &begin).await {
                return Err(RegistryError::Answer { url: to, cause });
            }
        }
    }

    /// Sends a body, which has this digest, to where it is to stand; the credential only to the
    /// registry itself.
    pub(super) async fn send(
        &self,
        repository: &Repository,
        url: &SafeUrl,
        kind: &str,
        (source, digest): (&Source, &Sha256),
        told: Option<(Arc<dyn Reporter>, StepId)>,
    ) -> Result<(), RegistryError> {
        let fail = |cause| RegistryError::Answer {
            url: url.clone(),
            cause: Box::new(cause),
        };
        let at_home = url.url().origin() == repository.url("")?.url().origin();
        let idle = self.fetcher.options().timeouts.idle;
        let mut introduced = false;
        loop {
            let credential = self.accepted(repository);
            let credential = credential.filter(|_| at_home);
            let request = self.fetcher.client()?.put(url.bare());
            let request = http::with_credential(request, credential.as_ref());
            let request = request.header(CONTENT_TYPE, kind);
            let response = body::send(request, source, idle, told.clone())
                .await
                .map_err(fail)?;
            match response.status().as_u16() {
                201 => return stored(url, digest, response.headers()),
                401 if at_home && !introduced => {
                    introduced = true;
                    self.introduce(repository, url, response.headers()).await?;
                }
                401 | 403 if at_home => return Err(self.denied(repository)),
                code => {
                    return Err(fail(Cause::Status {
                        code,
                        retry_after: retry::retry_after(response.headers()),
                        at: None,
                    }));
                }
            }
        }
    }
}

/// What a registry says that it has must be what was sent.
fn stored(url: &SafeUrl, sent: &Sha256, headers: &HeaderMap) -> Result<(), RegistryError> {
    let said = headers.get("docker-content-digest");
    let said = said.and_then(|text| text.to_str().ok()?.parse().ok());
    match said {
        Some(found) if found != *sent => Err(RegistryError::Stored {
            url: Box::new(url.clone()),
            sent: *sent,
            found,
        }),
        _ => Ok(()),
    }
}

fn address(repository: &Repository, url: url::Url) -> Result<SafeUrl, RegistryError> {
    let url = SafeUrl::from_url(url).ok().filter(|url| !url.is_file());
    url.ok_or_else(|| RegistryError::Address {
        registry: repository.registry.clone(),
    })
}

/// The bytes of the manifest, as they are.
fn manifest(blobs: &dyn BlobSource, image: &Image) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let file = blobs.open(&image.digest)?;
    file.take(DOCUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| OciError::Io {
            path: image.digest.oci().into(),
            source,
        })?;
    let found = Sha256::of(&bytes);
    if found == image.digest {
        Ok(bytes)
    } else {
        let expected = image.digest;
        Err(OciError::Digest { expected, found }.into())
    }
}

/// A blob as the body of a request.
fn open(blobs: &dyn BlobSource, digest: &Sha256) -> Result<Source, OciError> {
    let file = blobs.open(digest)?;
    let size = file.metadata().map_err(|source| OciError::Io {
        path: digest.oci().into(),
        source,
    })?;
    Ok(Source::File(Arc::new(file), size.len()))
}
