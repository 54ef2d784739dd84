//! Attaching an artifact, such as a SIF file, to an image.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use nd_names::Sha256;
use nd_oci::{BlobSource, Image, OciError};
use nd_report::Cancel;
use oci_spec::{distribution::Reference, image::MediaType};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::{Registries, RegistryError, referrers::INDEX, talk::Repository};
use crate::{
    body::Source,
    fetcher::{blocking, until_cancelled},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A file that belongs to an image.
#[derive(Debug)]
pub struct Artifact {
    /// What it is, a media type: of the artifact and of its one layer.
    pub kind: String,
    /// The file; it is read by offset.
    pub file: Arc<File>,
    /// SHA-256 of its bytes.
    pub digest: Sha256,
    /// What it is called.
    pub title: String,
    /// When it was made, RFC 3339.
    pub created: String,
}

impl Registries {
    /// Pushes a file as an artifact that refers to `image`, which lies in the repository of
    /// `reference`. Gives the digest of the artifact's manifest.
    ///
    /// A registry without the referrers API gets the tag `sha256-HEX` that stands for it, to which
    /// this adds; two that write it at once may lose one, as the specification says.
    ///
    /// # Errors
    ///
    /// See [`RegistryError`].
    pub async fn attach(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        artifact: &Artifact,
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<Sha256, RegistryError> {
        let work = self.attach_now(blobs, image, artifact, reference);
        until_cancelled(work, cancel).await
    }

    /// [`Self::attach`] on a runtime of its own, for callers that are not asynchronous.
    pub fn attach_blocking(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        artifact: &Artifact,
        reference: &Reference,
        cancel: &Cancel,
    ) -> Result<Sha256, RegistryError> {
        let alone = self.with_own_connections();
        blocking(alone.attach(blobs, image, artifact, reference, cancel))?
    }

    async fn attach_now(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        artifact: &Artifact,
        reference: &Reference,
    ) -> Result<Sha256, RegistryError> {
        let repository = self.target(reference)?.for_writing();
        let io = |digest: Sha256| {
            move |source| OciError::Io {
                path: digest.oci().into(),
                source,
            }
        };
        let subject = blobs.open(&image.digest)?.metadata();
        let subject = subject.map_err(io(image.digest))?.len();
        let size = artifact.file.metadata().map_err(io(artifact.digest))?.len();
        let kind = image.manifest.media_type().clone();
        let kind = kind.unwrap_or(MediaType::ImageManifest).to_string();
        let nothing = Bytes::from_static(b"{}");
        let empty = Sha256::of(&nothing);
        self.put_blob(&repository, empty, Source::Memory(nothing), None)
            .await?;
        let body = Source::File(artifact.file.clone(), size);
        self.put_blob(&repository, artifact.digest, body, None)
            .await?;
        let annotations = json!({"org.opencontainers.image.created": artifact.created});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact.kind,
            "config": {"mediaType": EMPTY, "digest": empty.oci(), "size": 2},
            "layers": [{
                "mediaType": artifact.kind,
                "digest": artifact.digest.oci(),
                "size": size,
                "annotations": {"org.opencontainers.image.title": artifact.title},
            }],
            "subject": {"mediaType": kind, "digest": image.digest.oci(), "size": subject},
            "annotations": annotations,
        });
        let bytes = text(&manifest);
        let digest = Sha256::of(&bytes);
        let size = bytes.len();
        self.put_manifest(&repository, &digest.oci(), MANIFEST, bytes)
            .await?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(INDEX));
        let api = repository.url(&format!("referrers/{}", image.digest.oci()))?;
        if let Ok(Some(document)) = self.document(&repository, &api, &headers).await
            && index(&document.bytes).is_some()
        {
            return Ok(digest);
        }
        let descriptor = json!({
            "mediaType": MANIFEST,
            "artifactType": artifact.kind,
            "digest": digest.oci(),
            "size": size,
            "annotations": annotations,
        });
        self.add_to_tag(&repository, &image.digest, descriptor)
            .await?;
        Ok(digest)
    }

    /// Adds to the index that stands for the referrers API, unless it is in there.
    async fn add_to_tag(
        &self,
        repository: &Repository,
        subject: &Sha256,
        descriptor: Value,
    ) -> Result<(), RegistryError> {
        let tag = format!("sha256-{}", subject.hex());
        let url = repository.url(&format!("manifests/{tag}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(INDEX));
        let there = self.document(repository, &url, &headers).await?;
        let mut entries = match there {
            None => Vec::new(),
            Some(document) => index(&document.bytes).ok_or(RegistryError::Invalid {
                url: url.clone(),
                problem: "it is no index of artifacts",
            })?,
        };
        let digest = descriptor["digest"].clone();
        if entries.iter().any(|entry| entry["digest"] == digest) {
            return Ok(());
        }
        entries.push(descriptor);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        self.put_manifest(repository, &tag, INDEX, text(&index))
            .await
    }
}

fn text(document: &Value) -> Bytes {
    document.to_string().into()
}

fn index(bytes: &[u8]) -> Option<Vec<Value>> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    match document["manifests"].take() {
        Value::Array(entries) => Some(entries),
        _ => None,
    }
}
