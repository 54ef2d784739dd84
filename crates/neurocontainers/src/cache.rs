//! What is kept between builds, as people think of it: steps, downloaded files, base images.

use std::collections::{HashMap, HashSet};

use nd_names::Sha256;
use nd_store::{Item, ItemKind, Store, StoreError};
use serde::Deserialize;

/// What an item of the store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheKind {
    /// Results of steps: layers, unpacked trees, indexes, and what is remembered of builds and tests.
    Steps,
    /// Downloaded files, whole and in part.
    Files,
    /// Base images.
    Images,
}

impl CacheKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Steps, Self::Files, Self::Images];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Files => "files",
            Self::Images => "images",
        }
    }
}

/// Tells what items are for.
#[derive(Debug, Default)]
pub struct Sorter {
    blobs: HashMap<String, CacheKind>,
}

/// As much of a download's record, or of an image's manifest, as is needed here.
#[derive(Deserialize)]
struct Named {
    record: Option<Digest>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Digest {
    digest: Sha256,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

impl Sorter {
    /// Reads what the store remembers of its blobs.
    pub fn of(store: &Store, items: &[Item]) -> Result<Self, StoreError> {
        let mut sorter = Self::default();
        let mut manifests: HashSet<Sha256> = HashSet::new();
        for item in items {
            let Some(kind) = record_kind(item) else {
                continue;
            };
            let name = item.path.file_name().and_then(|name| name.to_str());
            let Some(key) = name.and_then(|name| name.parse::<Sha256>().ok()) else {
                continue;
            };
            match kind {
                "download" => {
                    let bytes = store.record(kind, &key)?.unwrap_or_default();
                    if let Ok(Named {
                        record: Some(record),
                        ..
                    }) = serde_json::from_slice(&bytes)
                    {
                        sorter.blobs.insert(record.digest.hex(), CacheKind::Files);
                    }
                }
                // Named after the manifest it is about.
                "base-facts" => {
                    manifests.insert(key);
                }
                "image-name" => {
                    let bytes = store.record(kind, &key)?.unwrap_or_default();
                    let text = String::from_utf8_lossy(&bytes);
                    let digest: Option<Sha256> = text
                        .strip_prefix("sha256:")
                        .and_then(|hex| hex.parse().ok());
                    manifests.extend(digest);
                }
                _ => {}
            }
        }
        for manifest in manifests {
            let bytes = fs_err::read(store.blob_path(&manifest)).unwrap_or_default();
            sorter.blobs.insert(manifest.hex(), CacheKind::Images);
            let Ok(named) = serde_json::from_slice::<Named>(&bytes) else {
                continue;
            };
            for descriptor in named.config.into_iter().chain(named.layers) {
                let hex = descriptor.digest.trim_start_matches("sha256:").to_owned();
                sorter.blobs.insert(hex, CacheKind::Images);
            }
        }
        Ok(sorter)
    }

    /// What an item is for. A blob that nothing names any more was a layer of a step.
    pub fn kind(&self, item: &Item) -> CacheKind {
        match item.kind {
            ItemKind::Blob => {
                let name = item.path.file_name().and_then(|name| name.to_str());
                let kind = name.and_then(|name| self.blobs.get(name));
                kind.copied().unwrap_or(CacheKind::Steps)
            }
            ItemKind::Partial => CacheKind::Files,
            ItemKind::Record => match record_kind(item) {
                Some("download" | "partial") => CacheKind::Files,
                Some(kind) if kind.starts_with("base-") || kind == "image-name" => {
                    CacheKind::Images
                }
                _ => CacheKind::Steps,
            },
            ItemKind::Index | ItemKind::Tree => CacheKind::Steps,
        }
    }
}

fn record_kind(item: &Item) -> Option<&str> {
    (item.kind == ItemKind::Record)
        .then(|| item.path.parent()?.file_name()?.to_str())
        .flatten()
}
