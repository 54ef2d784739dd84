//! An image as one tree: merged index and contents.

use std::sync::Arc;

use nd_names::Sha256;
use nd_rootfs::{Duplicates, Index, LayerIndex, merge};
use nd_store::Store;

use crate::{
    BlobSource, Image, LayerContents, Limits, OciError, index_layer,
    layout::{load_image, own_architecture},
};

/// The root file system of an image, without unpacking it.
#[derive(Debug)]
pub struct ImageTree {
    /// The merged tree.
    pub index: Index,
    /// Its bytes.
    pub contents: LayerContents,
    /// What was odd about the layers.
    pub notes: Vec<String>,
}

impl Image {
    /// Reads and checks the documents of an image by the digest of its manifest (or of an index
    /// that holds one for this machine).
    pub fn load(blobs: &dyn BlobSource, digest: Sha256) -> Result<Self, OciError> {
        load_image(blobs, digest, own_architecture())
    }
}

impl ImageTree {
    /// Merges the layers of an image. With a store, layers indexed before are not read again; a
    /// layer without an index is read once, verified against its digest and diff id, and indexed.
    pub fn open(
        image: &Image,
        blobs: Arc<dyn BlobSource>,
        store: Option<&Store>,
        limits: Limits,
    ) -> Result<Self, OciError> {
        let mut indexes: Vec<LayerIndex> = Vec::with_capacity(image.layers.len());
        for (layer, diff_id) in image.layers.iter().zip(&image.diff_ids) {
            if let Some(index) = store
                .map(|store| store.layer_index(diff_id))
                .transpose()?
                .flatten()
            {
                indexes.push(index);
                continue;
            }
            let read = index_layer(blobs.open(&layer.digest)?, layer.compression, limits)?;
            read.check(&layer.digest, diff_id)?;
            if let Some(store) = store {
                store.put_layer(&layer.digest, diff_id, &read.index)?;
            }
            indexes.push(read.index);
        }
        let merged = merge(&indexes.iter().collect::<Vec<_>>(), Duplicates::Refuse)?;
        let contents = LayerContents::new(blobs, image.layers.clone(), limits);
        let contents = match store {
            Some(store) => contents.known_to(store, &image.diff_ids)?,
            None => contents,
        };
        Ok(Self {
            index: merged.index,
            contents,
            notes: merged.notes,
        })
    }
}
