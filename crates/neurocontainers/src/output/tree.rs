//! The identity of the merged tree, remembered by its layers.

use std::sync::Arc;

use nd_builder::ImageLayer;
use nd_names::Sha256;
use nd_oci::{LayerContents, Limits};
use nd_rootfs::{Duplicates, Index, LayerIndex, TreeDigest, TreeDigests, TreeRecord, merge};
use nd_store::Store;
use serde::{Deserialize, Serialize};

use super::{OutputError, image::digest_of};

/// Kind of the records that keep facts by layers.
const RECORDS: &str = "tree-facts";
/// Compression of the list: it is written once and kept long.
const LIST_LEVEL: i32 = 9;

/// What is known of a merged tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFacts {
    tree: String,
    tree_full: String,
    tree_rest: String,
    /// How many entries there are.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// SHA-256 of the uncompressed list.
    pub list: Sha256,
    /// Blob in the store with the compressed list.
    pub list_blob: Sha256,
}

impl TreeFacts {
    /// The three digests; `None` if the record was written by another version.
    pub fn digests(&self) -> Option<TreeDigests> {
        let parse = |text: &str| text.parse::<TreeDigest>().ok();
        Some(TreeDigests {
            tree: parse(&self.tree)?,
            full: parse(&self.tree_full)?,
            rest: parse(&self.tree_rest)?,
        })
    }

    /// The document `tree.json` of a packaging: `config` is the digest of the run configuration,
    /// `image` that of the packaging's file system, if it has one of its own.
    pub fn document(
        &self,
        ids: &str,
        config: &Sha256,
        image: Option<&Sha256>,
    ) -> Result<Vec<u8>, OutputError> {
        let mut document = serde_json::json!({
            "version": 1,
            "tree": self.tree,
            "tree_full": self.tree_full,
            "tree_rest": self.tree_rest,
            "entries": self.entries,
            "bytes": self.bytes,
            "list": self.list.hex(),
            "ids": ids,
            "config": config.hex(),
        });
        if let Some(image) = image {
            document["image"] = image.hex().into();
        }
        let mut text = serde_json::to_vec_pretty(&document)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The indexes of layers, the lowest first: from the store, or read from its blobs once.
pub(crate) fn indexes(
    store: &Store,
    layers: &[ImageLayer],
) -> Result<Vec<LayerIndex>, OutputError> {
    let mut indexes: Vec<LayerIndex> = Vec::with_capacity(layers.len());
    for layer in layers {
        let index = if let Some(index) = store.layer_index(&layer.diff_id)? {
            index
        } else {
            let blob = nd_oci::BlobSource::open(store, &layer.digest)?;
            let read = nd_oci::index_layer(blob, layer.compression, Limits::default())?;
            read.check(&layer.digest, &layer.diff_id)?;
            store.put_layer(&layer.digest, &layer.diff_id, &read.index)?;
            read.index
        };
        indexes.push(index);
    }
    Ok(indexes)
}

/// Merges the layers, all of which must be indexed in the store.
pub(crate) fn merged(
    store: &Store,
    layers: &[ImageLayer],
) -> Result<(Index, LayerContents), OutputError> {
    let indexes = indexes(store, layers)?;
    let merged = merge(&indexes.iter().collect::<Vec<_>>(), Duplicates::Refuse)?;
    let blobs = layers.iter().map(ImageLayer::blob).collect();
    let diff_ids: Vec<Sha256> = layers.iter().map(|layer| layer.diff_id).collect();
    let contents = LayerContents::new(Arc::new(store.clone()), blobs, Limits::default());
    let contents = contents.known_to(store, &diff_ids)?;
    Ok((merged.index, contents))
}

/// The identity of the tree of these layers: from an earlier run, or by merging them.
pub fn tree_facts(store: &Store, layers: &[ImageLayer]) -> Result<TreeFacts, OutputError> {
    let diff_ids: Vec<Sha256> = layers.iter().map(|layer| layer.diff_id).collect();
    let key = digest_of(&(1, diff_ids))?;
    if let Some(bytes) = store.record(RECORDS, &key)?
        && let Ok(facts) = serde_json::from_slice::<TreeFacts>(&bytes)
        && facts.digests().is_some()
        && store.blob(&facts.list_blob)?.is_some()
    {
        return Ok(facts);
    }
    let (index, _) = merged(store, layers)?;
    let (record, list) = TreeRecord::of(&index);
    let list =
        zstd::encode_all(&list[..], LIST_LEVEL).map_err(OutputError::io("tree.mtree.zst"))?;
    let (list_blob, _) = store.put_blob(&list[..], None)?;
    let facts = TreeFacts {
        tree: record.digests.tree.to_string(),
        tree_full: record.digests.full.to_string(),
        tree_rest: record.digests.rest.to_string(),
        entries: record.entries,
        bytes: record.bytes,
        list: record.list,
        list_blob,
    };
    store.put_record(RECORDS, &key, &serde_json::to_vec(&facts)?)?;
    Ok(facts)
}
