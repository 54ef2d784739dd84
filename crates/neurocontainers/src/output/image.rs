//! What an image says besides its files.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use nd_builder::{ImageLayer, ImageState};
use nd_names::{Architecture, ImageName, Sha256};
use nd_rootfs::TreeDigests;
use serde::Serialize;

use crate::base::BaseOrigin;

/// Version of what outputs look like: part of their key.
const VERSION: u32 = 1;

/// One line of an image's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// What made it.
    pub created_by: String,
    /// Whether it has no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// An image before it is written in any packaging.
#[derive(Debug, Clone)]
pub struct ImageDescription {
    /// Its full name.
    pub name: ImageName,
    /// Its architecture.
    pub architecture: Architecture,
    /// Its date, seconds since 1970.
    pub epoch: i64,
    /// Environment, entry point and so on; labels of the recipe.
    pub state: ImageState,
    /// Its layers, the lowest first.
    pub layers: Vec<ImageLayer>,
    /// How it came about.
    pub history: Vec<History>,
    /// Labels about it, besides those of the recipe and its identity.
    pub labels: IndexMap<String, String>,
    /// What it was built from.
    pub base: BaseOrigin,
    /// Name of the id mode of the build.
    pub ids: &'static str,
}

impl ImageDescription {
    /// Its date as RFC 3339.
    pub fn created(&self) -> String {
        Timestamp::from_second(self.epoch).map_or_else(|_| String::new(), |stamp| stamp.to_string())
    }

    /// All labels: the recipe's, those about the image, and the digest of its tree. Sorted.
    pub fn all_labels(&self, digests: &TreeDigests) -> IndexMap<String, String> {
        let mut labels = self.state.labels.clone();
        labels.extend(self.labels.clone());
        labels.insert("org.neurodesk.tree".into(), digests.tree.to_string());
        labels.sort_keys();
        labels
    }

    /// Annotations of the manifest: the same, and the digest that knows attributes.
    pub fn annotations(&self, digests: &TreeDigests) -> BTreeMap<String, String> {
        let about =
            |key: &str| key.starts_with("org.opencontainers.") || key.starts_with("org.neurodesk.");
        let mut out: BTreeMap<String, String> = self
            .all_labels(digests)
            .into_iter()
            .filter(|(key, _)| about(key))
            .collect();
        out.insert("org.neurodesk.tree-full".into(), digests.full.to_string());
        out
    }

    /// The state with all labels.
    pub fn final_state(&self, digests: &TreeDigests) -> ImageState {
        ImageState {
            labels: self.all_labels(digests),
            ..self.state.clone()
        }
    }

    /// Digest of the run configuration, without labels: what two images are compared by besides
    /// their trees.
    pub fn config_digest(&self) -> Result<Sha256, serde_json::Error> {
        let bare = ImageState {
            labels: IndexMap::new(),
            ..self.state.clone()
        };
        digest_of(&bare)
    }

    /// Digest of everything that the packagings of this image depend on.
    pub fn key(&self, more: &impl Serialize) -> Result<Sha256, serde_json::Error> {
        digest_of(&(
            VERSION,
            self.name.stem(),
            self.architecture.as_str(),
            self.epoch,
            &self.state,
            &self.layers,
            (&self.history, &self.labels, self.base.identity(), self.ids),
            more,
        ))
    }
}

/// SHA-256 of a value's JSON.
pub(crate) fn digest_of(value: &impl Serialize) -> Result<Sha256, serde_json::Error> {
    let bytes = serde_json::to_vec(value)?;
    Ok(Sha256::of(bytes))
}
