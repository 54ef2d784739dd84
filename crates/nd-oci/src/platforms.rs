//! Images for several platforms under one name: an OCI image index.

use nd_names::{Architecture, Sha256};
use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use serde_json::json;

use crate::{
    BlobSource, Image, Layout, OciError,
    layout::{canonical, digest_of, document, load_image, parse},
    write_layer::descriptor,
};

/// An index that is not kept anywhere yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformIndex {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its digest.
    pub digest: Sha256,
}

impl PlatformIndex {
    /// The index of `images`, whose manifests are in `blobs`, in their order. Each has a platform of
    /// its own: a client takes the first that is its own, and would never see another.
    pub fn of(blobs: &dyn BlobSource, images: &[Image]) -> Result<Self, OciError> {
        let mut manifests = Vec::new();
        let mut platforms = Vec::new();
        for image in images {
            let platform = (image.config.os(), image.config.architecture());
            if platforms.contains(&platform) {
                return Err(OciError::Invalid {
                    what: image.digest.oci(),
                    problem: format!("a second image for {}/{}", platform.0, platform.1),
                });
            }
            let mut entry = json!(of_manifest(blobs, image)?);
            entry["platform"] = json!({ "architecture": platform.1, "os": platform.0 });
            platforms.push(platform);
            manifests.push(entry);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": manifests,
        });
        let bytes = canonical("image index", &index)?;
        let digest = Sha256::of(&bytes);
        Ok(Self { bytes, digest })
    }
}

impl Layout {
    /// Copies `images` here, verified, and names their index `reference`.
    pub fn take_index(
        &self,
        blobs: &dyn BlobSource,
        images: &[Image],
        reference: &str,
    ) -> Result<PlatformIndex, OciError> {
        let index = PlatformIndex::of(blobs, images)?;
        for image in images {
            self.take_blobs(blobs, image)?;
        }
        let (_, size) = self.put(&index.bytes[..], Some(index.digest))?;
        let entry = descriptor(MediaType::ImageIndex, index.digest, size);
        self.list_entry(json!(entry), Some(reference))?;
        Ok(index)
    }

    /// As [`Layout::image`] without a name, for another architecture than this machine's.
    pub fn image_for(&self, architecture: Architecture) -> Result<Image, OciError> {
        let image = self.only()?;
        load_image(self, image, architecture.oci())
    }
}

/// What an index says of an image.
fn of_manifest(blobs: &dyn BlobSource, image: &Image) -> Result<Descriptor, OciError> {
    let what = image.digest.oci();
    let file = blobs.open(&image.digest)?;
    let size = file.metadata().map_err(OciError::io(what))?.len();
    let kind = image.manifest.media_type().clone();
    let kind = kind.unwrap_or(MediaType::ImageManifest);
    Ok(descriptor(kind, image.digest, size))
}

/// The image of an index that is for `architecture`, and its manifest.
pub(crate) fn chosen(
    blobs: &dyn BlobSource,
    digest: Sha256,
    bytes: &[u8],
    architecture: &str,
) -> Result<Sha256, OciError> {
    let index: ImageIndex = parse("index", bytes)?;
    let fits = |d: &&Descriptor| {
        d.platform().as_ref().is_some_and(|p| {
            p.architecture().to_string() == architecture && p.os().to_string() == "linux"
        })
    };
    let found = index.manifests().iter().find(fits);
    let found = found.ok_or_else(|| OciError::Invalid {
        what: digest.oci(),
        problem: format!("it holds no image for linux/{architecture}"),
    })?;
    let inner = digest_of(found)?;
    let nested: serde_json::Value = parse("manifest", &document(blobs, inner)?)?;
    if nested["manifests"].is_array() {
        return Err(OciError::Invalid {
            what: inner.oci(),
            problem: "an index within an index".into(),
        });
    }
    Ok(inner)
}
